"""Pretrains and measures the embedded model. Running artbank needs none of it."""
