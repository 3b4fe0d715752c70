"""Prediction: the moments of signal and gradient at every operation of a graph, from its weights' moments alone."""
