"""Networks of PyTorch with one known fault each, and the same networks without it."""
