"""The frozen base model: find, check and load its weights, and run its UNet, VAE and text encoder."""
