"""Measuring: moments of signals, gradients, weights and task on one batch."""
