"""Keras 3 on TensorFlow, JAX and PyTorch: the only rooms that import it."""

from gainstage.backends.keras.measuring.prediction_inputs import (
    in_training,
    input_moments,
    placeholder,
    version,
    weight_moments,
)
from gainstage.backends.keras.measuring.record import record
from gainstage.backends.keras.models.batch import first_examples
from gainstage.backends.keras.models.words import words
from gainstage.backends.keras.tracing.graph_from_layers import structure
from gainstage.backends.keras.tracing.own_trace import own_trace
from gainstage.backends.keras.tracing.trace import materialise, trace
from gainstage.backends.keras.training.finite_differences import gradient_checks
from gainstage.backends.keras.training.given import loss_of, optimizer_of
from gainstage.backends.keras.training.movements import movements
from gainstage.backends.keras.training.overfit import overfit
from gainstage.backends.keras.writing.calibrate import calibrate
from gainstage.backends.keras.writing.checkpoint import write_checkpoint
from gainstage.backends.keras.writing.initializer import Initializer
from gainstage.backends.keras.writing.lsuv import lsuv
from gainstage.backends.keras.writing.parameter_groups import parameter_groups
from gainstage.backends.keras.writing.write import apply, drawn_whole, snapshot

__all__ = [
    "Initializer", "apply", "calibrate", "drawn_whole", "first_examples", "gradient_checks", "in_training",
    "input_moments", "loss_of", "lsuv", "materialise", "movements", "optimizer_of", "overfit", "own_trace",
    "parameter_groups", "placeholder", "record", "snapshot", "structure", "trace", "version", "weight_moments",
    "words", "write_checkpoint",
]  # fmt: skip
