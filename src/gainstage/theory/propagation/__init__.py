"""Prediction: the moments of signal and gradient at every operation of a graph, from its weights' moments alone."""

from gainstage.theory.propagation.backward import backward
from gainstage.theory.propagation.forward import forward
from gainstage.theory.propagation.prediction import predicted_profile
from gainstage.theory.propagation.run import InputMoments, Run
from gainstage.theory.propagation.weights import planned

__all__ = ["InputMoments", "Run", "backward", "forward", "planned", "predicted_profile"]
