"""Prefect flows.

`watch_gallery` triggers `train_banks`; `stylize_archive` runs `stylize_shards` on a work pool.
"""
