"""The page of an output: photos beside their pictures, scores and failures."""
