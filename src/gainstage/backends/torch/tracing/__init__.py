"""Tracing: from a PyTorch model to a SignalGraph."""
