"""What the scenes are drawn from: light, textures, and one module per kind of subject."""
