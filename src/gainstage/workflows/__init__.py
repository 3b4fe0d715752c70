"""What people come for; these functions only orchestrate."""

from gainstage.workflows.checking import check
from gainstage.workflows.comparing import compare
from gainstage.workflows.fixing import fix
from gainstage.workflows.initializing import apply, initialize, plan
from gainstage.workflows.judging_formats import formats
from gainstage.workflows.learning_rates import parameter_groups
from gainstage.workflows.materializing import materialize
from gainstage.workflows.predicting import predict
from gainstage.workflows.preflighting import preflight
from gainstage.workflows.resizing import scaling
from gainstage.workflows.tracing import trace
from gainstage.workflows.watching import watch

__all__ = [
    "apply", "check", "compare", "fix", "formats", "initialize", "materialize", "parameter_groups", "plan", "predict",
    "preflight", "scaling", "trace", "watch",
]  # fmt: skip
