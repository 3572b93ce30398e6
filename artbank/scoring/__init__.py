"""CLIP scores of pictures, and the reference of a collection that they are compared with."""
