"""`artbank verify`: compares an output with its rows, and repairs it."""
