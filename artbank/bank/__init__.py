"""The method, first half: a bank of style prompt vectors (ISPB), its attention (SSAM), and how both are trained."""
