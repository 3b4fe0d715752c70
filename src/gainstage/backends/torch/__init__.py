"""PyTorch: the only rooms that import it."""
