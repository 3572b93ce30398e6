"""Prefect flows: `train_banks`, `stylize_archive`, and `stylize_shards`, which the latter has run on a work pool."""
