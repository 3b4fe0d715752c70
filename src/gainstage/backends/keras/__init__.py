"""Keras 3 on TensorFlow, JAX and PyTorch: the only rooms that import it."""

from gainstage.backends.keras.calibrate import calibrate
from gainstage.backends.keras.forecast import in_training, input_moments, placeholder, version, weight_moments
from gainstage.backends.keras.groups import parameter_groups
from gainstage.backends.keras.initializer import Initializer
from gainstage.backends.keras.lsuv import lsuv
from gainstage.backends.keras.record import record
from gainstage.backends.keras.structure import structure
from gainstage.backends.keras.trace import materialise, trace
from gainstage.backends.keras.write import apply, snapshot

__all__ = [
    "Initializer", "apply", "calibrate", "in_training", "input_moments", "lsuv", "materialise", "parameter_groups",
    "placeholder", "record", "snapshot", "structure", "trace", "version", "weight_moments",
]  # fmt: skip
