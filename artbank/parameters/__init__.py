"""What a run, a bank and a picture are asked to be: all parameters, with their texts and limits."""
