"""Attention: moments of a softmax over Gaussian scores and of averages over tokens."""
