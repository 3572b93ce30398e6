"""`artbank doctor`: checks whether a machine, its models and its stores are fit for the work."""
