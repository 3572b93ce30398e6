"""An archive becomes pictures, scores and rows: plan a run, read photos, stylize shards, finish the output."""
