"""Draws the scenes and the paintings that the embedded model is pretrained on."""
