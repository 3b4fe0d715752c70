"""Facts about the task: input, target, output, loss and optimizer, without tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gainstage.records.loss_shape import LossShape

__all__ = [
    "CoordinateFacts",
    "InputFacts",
    "LossFacts",
    "LossKind",
    "OptimizerFacts",
    "OutputFacts",
    "TargetFacts",
    "Task",
]

LossKind = Literal[
    "cross_entropy",  # log-softmax inside: expects logits
    "nll",  # expects log-probabilities
    "bce",  # expects probabilities
    "bce_logits",  # sigmoid inside: expects logits
    "mse",
    "l1",
    "huber",
    "kl",
    "probability_nll",  # −log of a probability (Keras's cross-entropy): expects probabilities
    "surrogate",  # no loss was given: random signs stand in for the gradient at the output
    "other",
]


@dataclass(frozen=True, slots=True)
class InputFacts:
    """Facts about one input of the model.

    Args:
        shape: shape including the batch.
        kind: ``tokens`` for integers, ``image`` for arrays of three or more axes besides the batch, else ``values``.
        synthetic: whether gainstage generated the input (standard normal values or uniform tokens).
        mean, spread, minimum, maximum: over all elements, ``spread`` a standard deviation (None for tokens).
        feature_spread: (smallest, median, largest) standard deviation over examples of a feature: a column of a table
            or a channel of an image. Constant features are excluded.
        feature_mean: (smallest, largest) mean of a feature.
        constant_features: features with the same value in every example.
        features: number of features.
        nonfinite: number of elements that are NaN or infinite.
        normalised_first: whether a normalisation is applied to the input before any weight.
    """

    shape: tuple[int, ...]
    kind: Literal["tokens", "image", "values"]
    synthetic: bool = False
    mean: float | None = None
    spread: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    feature_spread: tuple[float, float, float] | None = None
    feature_mean: tuple[float, float] | None = None
    constant_features: int = 0
    features: int = 0
    nonfinite: int = 0
    normalised_first: bool = False


@dataclass(frozen=True, slots=True)
class CoordinateFacts:
    """Inputs of few dimensions, and how values over them vary.

    Args:
        dimensions: of the input, at most three.
        spacing: median distance between nearest neighbours, over the root mean square distance of any two examples.
        target, output: root mean square difference between nearest neighbours, over that between any two examples, of
            the targets and of what the model returns.
        target_is_smooth: whether the targets differ more at twice the distance: noise does not.
    """

    dimensions: int
    spacing: float
    target: float
    output: float
    target_is_smooth: bool


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """Facts about the labels.

    Args:
        shape: shape including the batch.
        kind: ``classes`` (integers), ``multi_label`` (zeros and ones, several a row), ``one_hot``, ``binary`` (zeros
            and ones, one a row), ``probabilities`` or ``values``.
        minimum, maximum, mean, spread: over all elements, ``spread`` a standard deviation.
        classes: number of different classes that occur, where the labels are classes.
        entropy: entropy of the class frequencies in this batch, in nats.
    """

    shape: tuple[int, ...]
    kind: Literal["classes", "multi_label", "one_hot", "binary", "probabilities", "values"]
    minimum: float
    maximum: float
    mean: float
    spread: float
    classes: int | None = None
    entropy: float | None = None


@dataclass(frozen=True, slots=True)
class OutputFacts:
    """Facts about the model's output that the loss reads.

    Args:
        node: index of the output's node in the graph.
        shape: shape including the batch.
        units: size of the axis that the loss treats as classes or outputs.
        function: the last activation or softmax before the output, if any (``softmax``, ``sigmoid``, ``relu``, …).
        minimum, maximum, mean, spread: over all elements, ``spread`` a standard deviation.
        clipped: the share of elements that equal the smallest or the largest one exactly.
        spread_within: root mean square over examples of the standard deviation over the units of one example: for
            logits, the quantity that the softmax depends on.
    """

    node: int
    shape: tuple[int, ...]
    units: int
    function: str = ""
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    spread: float | None = None
    spread_within: float | None = None
    clipped: float | None = None


@dataclass(frozen=True, slots=True)
class LossFacts:
    """Facts about the loss.

    Args:
        kind: the kind of loss, recognised from the operations that it runs and not from its name.
        value: the loss on this batch.
        node: index of the loss's node in the graph.
        inner: an activation that the loss itself applies to the model's output (``log_softmax``, ``log``, …).
        chance: the loss of the best constant guess on these labels (entropy of the classes, variance of the targets),
            where it is defined.
        uniform: the loss at equal probabilities for all classes (log C), where it is defined.
        mean_reduced: whether the loss is a mean over examples, so that it can be compared with ``chance``.
        alone: whether the loss depends on this output alone; else its value contains other terms (a critic's, a
            divergence).
    """

    kind: LossKind
    value: float
    node: int | None = None
    inner: str = ""
    chance: float | None = None
    uniform: float | None = None
    mean_reduced: bool = True
    alone: bool = True


@dataclass(frozen=True, slots=True)
class OptimizerFacts:
    """The optimizer: its name and the learning rate of every parameter group.

    ``memory`` is the largest factor by which a gradient carries over to the next step (momentum, Adam's beta_1), and
    ``memory_of_squares`` the factor for squared gradients that goes with it (Adam's beta_2); None where there is none.
    ``steps`` counts the steps that it has made.
    """

    name: str
    learning_rates: tuple[float, ...]
    memory: float | None = None
    memory_of_squares: float | None = None
    steps: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """All known facts about the task; None means unknown, and rules that depend on it are listed as not judged.

    ``loss_shape`` describes the loss as a function of the outputs alone, ``joint_shape`` that of several outputs at
    once, ``coordinates`` inputs of few dimensions.
    """

    inputs: tuple[InputFacts, ...] = ()
    target: TargetFacts | None = None
    output: OutputFacts | None = None
    loss: LossFacts | None = None
    optimizer: OptimizerFacts | None = None
    examples: int = 0
    training: bool = True
    loss_shape: LossShape | None = None
    coordinates: CoordinateFacts | None = None
    joint_shape: LossShape | None = None
