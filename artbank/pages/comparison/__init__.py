"""The page of a comparison: blinded pairs of pictures, which a person votes on."""
