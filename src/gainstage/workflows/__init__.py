"""What people come for; these functions only orchestrate."""

from gainstage.workflows.checking import check
from gainstage.workflows.comparing import compare
from gainstage.workflows.fixing import fix
from gainstage.workflows.initializing import apply, initialize, parameter_groups, plan
from gainstage.workflows.materializing import materialize
from gainstage.workflows.predicting import predict
from gainstage.workflows.tracing import trace
from gainstage.workflows.watching import watch

__all__ = [
    "apply", "check", "compare", "fix", "initialize", "materialize", "parameter_groups", "plan", "predict", "trace",
    "watch",
]  # fmt: skip
