"""PyTorch: the only rooms that import it."""

from gainstage.backends.torch.calibrate import calibrate
from gainstage.backends.torch.forecast import in_training, input_moments, placeholder, version, weight_moments
from gainstage.backends.torch.groups import parameter_groups
from gainstage.backends.torch.lsuv import lsuv
from gainstage.backends.torch.record import record
from gainstage.backends.torch.structure import structure
from gainstage.backends.torch.trace import materialise, trace
from gainstage.backends.torch.write import apply, snapshot

__all__ = [
    "apply", "calibrate", "in_training", "input_moments", "lsuv", "materialise", "parameter_groups", "placeholder",
    "record", "snapshot", "structure", "trace", "version", "weight_moments",
]  # fmt: skip
