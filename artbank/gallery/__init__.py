"""A gallery becomes registered banks: read collections, find what changed, train, register."""
