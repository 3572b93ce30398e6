"""Captions of artworks and photos, from files beside them and from tables."""
