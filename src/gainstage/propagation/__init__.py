"""Prediction: the moments of signal and gradient at every operation of a graph, from its weights' moments alone."""

from gainstage.propagation.backward import backward
from gainstage.propagation.forward import forward
from gainstage.propagation.forward_pass import ForwardPass
from gainstage.propagation.prediction import predicted_profile
from gainstage.propagation.signal import Signal
from gainstage.propagation.weights import leaves_values, planned

__all__ = ["ForwardPass", "Signal", "backward", "forward", "leaves_values", "planned", "predicted_profile"]
