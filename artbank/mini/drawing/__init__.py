"""Draw scenes and paintings by code: the pretraining corpus, the samples of banks, the demo."""
