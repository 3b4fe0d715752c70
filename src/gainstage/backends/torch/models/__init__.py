"""PyTorch models and what they are called with: loading, example inputs, batches, restoring."""
