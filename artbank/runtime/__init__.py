"""Services of a running process: prefetching, shared loading, telemetry, signals, names by content."""
