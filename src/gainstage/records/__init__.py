"""Frozen records: all data that passes between the packages of gainstage, without framework objects."""

from gainstage.records.acceptance import Acceptance, Known, accepting, against, known_findings
from gainstage.records.comparison import Arm, Band, Comparison, Contrast, Measure, RateLimit, Trial, TrialOutcome
from gainstage.records.diagnosis import Accepted, Change, Diagnosis, Finding, Fixed, Remedy, Severity, Unjudged
from gainstage.records.figure import Figure
from gainstage.records.formats import Formats, FormatShares, LossScale, TensorFormats
from gainstage.records.gradient_check import GradientCheck
from gainstage.records.history import Alert, History, LayerReading, Look, NonFinite, StepReading, WatchedParameter
from gainstage.records.input_moments import InputMoments
from gainstage.records.lesson import (
    Answer,
    Answers,
    Bound,
    Check,
    Claim,
    Evidence,
    Line,
    Outcome,
    Picture,
    Slider,
    Verdict,
)
from gainstage.records.loss_shape import LossShape
from gainstage.records.magnitudes import PER_OCTAVE, Magnitudes, TensorKind, TensorMagnitudes
from gainstage.records.moments import Histogram, Moments, UnitStats
from gainstage.records.overfit import Attempt, Overfit
from gainstage.records.plan import Assignment, BiasRule, Plan
from gainstage.records.preflight import Cost, Decision, Preflight
from gainstage.records.profile import NodeProfile, Note, ParameterProfile, Profile, Refold, Source, Step
from gainstage.records.proof import Proof
from gainstage.records.reactions import Reactions
from gainstage.records.rendering import (
    Rendered,
    register_code,
    register_document,
    register_page,
    register_renderer,
)
from gainstage.records.scaling import CARRIES, Axis, ModuleScaling, Quantity, Scaling, Slope, Trend
from gainstage.records.task import (
    CoordinateFacts,
    InputFacts,
    LossFacts,
    LossKind,
    OptimizerFacts,
    OutputFacts,
    TargetFacts,
    Task,
)
from gainstage.records.training import Evaluation, FirstStep, TrainingCurve
from gainstage.records.weights import WeightMoments
from gainstage.records.wiring import Stray, Wiring

__all__ = [
    "Acceptance", "Accepted", "Alert", "Answer", "Answers", "Arm", "Assignment", "Attempt", "Axis", "Band", "BiasRule",
    "Bound", "CARRIES", "Change", "Check", "Claim", "Comparison", "Contrast", "CoordinateFacts", "Cost", "Decision",
    "Diagnosis", "Evaluation", "Evidence", "Figure", "Finding", "FirstStep", "Fixed", "FormatShares", "Formats",
    "GradientCheck", "Histogram", "History", "InputFacts", "InputMoments", "Known", "LayerReading", "Line", "Look",
    "LossFacts", "LossKind", "LossScale", "LossShape", "Magnitudes", "Measure", "ModuleScaling", "Moments",
    "NodeProfile", "NonFinite", "Note", "OptimizerFacts", "Outcome", "OutputFacts", "Overfit", "PER_OCTAVE",
    "ParameterProfile", "Picture", "Plan", "Preflight", "Profile", "Proof", "Quantity", "RateLimit", "Reactions",
    "Refold", "Remedy", "Rendered", "Scaling", "Severity", "Slider", "Slope", "Source", "Step", "StepReading", "Stray",
    "TargetFacts", "Task", "TensorFormats", "TensorKind", "TensorMagnitudes", "TrainingCurve", "Trend", "Trial",
    "TrialOutcome", "UnitStats", "Unjudged", "Verdict", "WatchedParameter", "WeightMoments", "Wiring", "accepting",
    "against", "known_findings", "register_code", "register_document", "register_page", "register_renderer",
]  # fmt: skip
