"""The trace of an input that a model describes itself."""

from __future__ import annotations

from torch import nn

from gainstage.backends.torch.models.described_inputs import described_batches
from gainstage.backends.torch.tracing.trace import trace, unwrap
from gainstage.errors import GainstageError
from gainstage.graph import SignalGraph

__all__ = ["own_trace"]


def own_trace(model: nn.Module) -> SignalGraph | None:
    """Trace the first input that the model describes and runs on; None where there is none.

    >>> own_trace(nn.Linear(2, 1)) is None
    True
    """
    model = unwrap(model)
    for batch in described_batches(model):
        try:
            return trace(model, batch)
        except GainstageError:
            continue
    return None
