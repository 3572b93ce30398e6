"""The method, second half: a photo and a bank become a picture."""
