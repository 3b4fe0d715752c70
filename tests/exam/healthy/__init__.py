"""Networks of PyTorch that train well as they are."""
