"""Tracing: from a Keras model to a SignalGraph."""
