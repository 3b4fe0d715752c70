"""Prediction: the moments of signal and gradient at every operation of a graph, from its weights' moments alone."""

from gainstage.theory.propagation.backward import backward
from gainstage.theory.propagation.forward import forward
from gainstage.theory.propagation.prediction import predicted_profile
from gainstage.theory.propagation.run import InputMoments, Run
from gainstage.theory.propagation.signal import Signal
from gainstage.theory.propagation.weights import leaves_values, planned

__all__ = ["InputMoments", "Run", "Signal", "backward", "forward", "leaves_values", "planned", "predicted_profile"]
