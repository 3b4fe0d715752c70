"""Keras models and what they are called with: loading, names, weight layouts, inputs, losses, restoring."""
