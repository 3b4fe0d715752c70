"""Training Keras models, one at a time."""
