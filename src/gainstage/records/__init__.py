"""Frozen records: everything that flows between the rooms of gainstage, with no framework object inside."""

from gainstage.records.diagnosis import Change, Diagnosis, Finding, Fixed, Remedy, Severity, Unjudged
from gainstage.records.moments import Moments, UnitStats
from gainstage.records.plan import Assignment, BiasRule, Plan
from gainstage.records.profile import NodeProfile, Note, ParameterProfile, Profile, Source, Step
from gainstage.records.rendering import Rendered, register_renderer
from gainstage.records.task import InputFacts, LossFacts, LossKind, OptimizerFacts, OutputFacts, TargetFacts, Task
from gainstage.records.training import Evaluation, TrainingCurve

__all__ = [
    "Assignment", "BiasRule", "Change", "Diagnosis", "Evaluation", "Finding", "Fixed", "InputFacts", "LossFacts",
    "LossKind", "Moments", "NodeProfile", "Note", "OptimizerFacts", "OutputFacts", "ParameterProfile", "Plan",
    "Profile", "Remedy", "Rendered", "Severity", "Source", "Step", "TargetFacts", "Task", "TrainingCurve", "UnitStats",
    "Unjudged", "register_renderer",
]  # fmt: skip
