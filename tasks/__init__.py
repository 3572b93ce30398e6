"""Prefect tasks: each a few lines around a call into `artbank`, with what is retried and what a run shows of it."""
