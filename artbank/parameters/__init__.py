"""Parameters: recipes of banks and pictures, presets, configurations of runs, and how options are written."""
