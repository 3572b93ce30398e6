"""What a process needs while it runs: bounded prefetching, telemetry, signals and identity."""
