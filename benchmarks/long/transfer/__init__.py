"""Real trainings: whether the best learning rate of a small model is the best of a model eight times as wide."""
