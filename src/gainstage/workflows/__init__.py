"""What people come for; these functions only orchestrate."""

from gainstage.workflows.check import check
from gainstage.workflows.fix import fix
from gainstage.workflows.initialize import apply, initialize, plan
from gainstage.workflows.trace import trace

__all__ = ["apply", "check", "fix", "initialize", "plan", "trace"]
