"""What a run may cost, what it did cost, what came of it, and what a person should look at."""
