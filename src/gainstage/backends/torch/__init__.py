"""PyTorch: the only rooms that import it."""

from gainstage.backends.torch.calibrate import calibrate
from gainstage.backends.torch.record import record
from gainstage.backends.torch.structure import structure
from gainstage.backends.torch.trace import materialise, trace
from gainstage.backends.torch.write import apply, snapshot

__all__ = ["apply", "calibrate", "materialise", "record", "snapshot", "structure", "trace"]
