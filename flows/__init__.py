"""Prefect flows.

`watch_gallery` triggers `train_banks`; `stylize_archive` runs `stylize_shards` on a work pool.
"""

from artbank.runtime.cores import share_cores

share_cores()
