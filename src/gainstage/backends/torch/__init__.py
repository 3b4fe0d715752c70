"""PyTorch: the only rooms that import it."""

from gainstage.backends.torch.measuring.finite_differences import gradient_checks
from gainstage.backends.torch.measuring.prediction_inputs import (
    in_training,
    input_moments,
    placeholder,
    version,
    weight_moments,
)
from gainstage.backends.torch.measuring.record import record
from gainstage.backends.torch.models.batch import first_examples
from gainstage.backends.torch.models.words import words
from gainstage.backends.torch.tracing.graph_from_modules import structure
from gainstage.backends.torch.tracing.own_trace import own_trace
from gainstage.backends.torch.tracing.trace import materialise, trace
from gainstage.backends.torch.training.given import loss_of, optimizer_of
from gainstage.backends.torch.training.movements import movements
from gainstage.backends.torch.training.overfit import overfit
from gainstage.backends.torch.writing.calibrate import calibrate
from gainstage.backends.torch.writing.checkpoint import write_checkpoint
from gainstage.backends.torch.writing.lsuv import lsuv
from gainstage.backends.torch.writing.parameter_groups import parameter_groups
from gainstage.backends.torch.writing.write import apply, drawn_whole, snapshot

__all__ = [
    "apply", "calibrate", "drawn_whole", "first_examples", "gradient_checks", "in_training", "input_moments", "loss_of",
    "lsuv", "materialise", "movements", "optimizer_of", "overfit", "own_trace", "parameter_groups", "placeholder",
    "record", "snapshot", "structure", "trace", "version", "weight_moments", "words", "write_checkpoint",
]  # fmt: skip
