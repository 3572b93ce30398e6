"""The Python API: train a bank and draw photos with it, in a notebook or a program; `artbank` exports its names."""
