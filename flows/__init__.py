"""Prefect flows: `train_banks`, `watch_gallery`, which has it run for what changed, `stylize_archive`, and
`stylize_shards`, which the latter has run on a work pool.
"""
