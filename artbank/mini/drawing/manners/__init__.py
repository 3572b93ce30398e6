"""The sixteen manners of the painters, with their strokes, papers and surfaces."""
