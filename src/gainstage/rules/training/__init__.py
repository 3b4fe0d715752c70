"""Window → Findings: what the numbers of a training mean while it runs, rule by rule."""

from gainstage.rules.training import gradients, layers, loop, losses, steps
from gainstage.rules.training.alarms import Alarms, RuleState
from gainstage.rules.training.table import TrainingRule, training_rules
from gainstage.rules.training.window import Window, window_of

__all__ = ["Alarms", "RuleState", "TrainingRule", "Window", "training_rules", "window_of"]

# Importing a family enters its rules into the table.
_FAMILIES = (gradients, layers, losses, loop, steps)
