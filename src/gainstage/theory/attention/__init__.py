"""Attention: softmax of Gaussian scores and what averaging over tokens leaves."""
