"""The parts of scenes: light, textures, and one module per kind of subject."""
