"""Prediction of signal and gradient moments at every operation of a graph, from the moments of its weights alone."""

from gainstage.propagation.backward import backward
from gainstage.propagation.first_updates import first_updates
from gainstage.propagation.forward import forward
from gainstage.propagation.forward_pass import ForwardPass
from gainstage.propagation.prediction import predicted_passes, predicted_profile
from gainstage.propagation.signal import Signal
from gainstage.propagation.weights import leaves_values, planned

__all__ = [
    "ForwardPass", "Signal", "backward", "forward", "first_updates", "leaves_values", "planned",
    "predicted_passes", "predicted_profile",
]  # fmt: skip
