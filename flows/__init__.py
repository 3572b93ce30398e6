"""Prefect flows: `train_banks` and `stylize_archive`."""
