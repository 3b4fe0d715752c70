"""The subject of the lab: a network with its batch, built and started as the page's state says."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from gainstage.backends import Framework, Workbench, backend_of, framework_of, workbench_of
from gainstage.backends.load import load as load_model
from gainstage.data import Dataset, load
from gainstage.errors import InputError
from gainstage.graph import Role
from gainstage.lab.state import MOST_WEIGHTS, OWN, State
from gainstage.records import Assignment, Plan
from gainstage.streams import Stream
from gainstage.workflows import initialize
from gainstage.workflows.supplying import dataset_of

__all__ = ["Given", "Prepared", "Subject", "built", "edited", "started"]


@dataclass(frozen=True)
class Given:
    """The model that the lab was started with.

    Args:
        model: of a supported framework; the lab works on copies.
        x: an example batch.
        y: labels, where there are any.
        loss: as in ``gs.check``.
        name: for the page.
    """

    model: Any
    x: Any
    y: Any = None
    loss: Any = None
    name: str = "your model"


@dataclass(frozen=True)
class Subject:
    """A network, and what runs through it.

    Args:
        model: of the framework.
        framework: whose model it is.
        x, y: a batch and its labels; None where there are no labels.
        loss: of the workbench, of (output, labels); None where there is none.
        dataset: to train on; None where there are no labels.
        synthetic: whether the batch was made up.
        plain: whether it is the lab's own network, whose layers run one after the other.
    """

    model: Any
    framework: Framework
    x: Any
    y: Any = None
    loss: Any = None
    dataset: Dataset | None = None
    synthetic: bool = False
    plain: bool = False

    @property
    def bench(self) -> Workbench:
        """Return the workbench of the framework."""
        return workbench_of(self.framework)


@lru_cache(maxsize=4)
def _dataset(name: str, seed: int) -> Dataset:
    return load(name, seed=seed)


def built(state: State, given: Given | None = None) -> Subject:
    """Build the network of a state, as its framework initializes it.

    Args:
        state: what the page asks for.
        given: the model that the lab was started with.

    Raises:
        GainstageError: the model cannot be found or built, is too large, or the data do not fit.
    """
    if state.model == OWN:
        return _copied(given)
    if state.model:
        return _listed(state)
    framework: Framework = "keras" if state.framework == "keras" else "torch"
    bench = workbench_of(framework)
    dataset = _dataset(state.data, state.seed)
    sizes = (dataset.features, *[state.width] * state.depth, dataset.classes)
    model = bench.network(
        sizes, state.activation, norm=_norm(state), residual=state.residual, dropout=state.dropout, seed=state.seed
    )
    x, y = bench.labelled_batch(dataset, batch=state.batch)
    return Subject(model, framework, x, y, bench.loss(model, x, dataset.classes), dataset, plain=True)


def _norm(state: State) -> Any:
    return state.norm


def _copied(given: Given | None) -> Subject:
    if given is None:
        raise InputError("The lab was started without a model of your own. Choose the lab's own network.")
    framework = framework_of(given.model)
    if framework is None:
        raise InputError(f"Expected a model of PyTorch or Keras; received {type(given.model).__name__}.")
    dataset = None if given.y is None else dataset_of((given.x, given.y), loss=given.loss)
    backend = backend_of(given.model)
    loss = backend.loss_of(given.loss, labelled=given.y is not None)
    return Subject(copy.deepcopy(given.model), framework, given.x, given.y, loss, dataset)


def _listed(state: State) -> Subject:
    _refuse_too_large(state.model)
    loaded = load_model(state.model, seed=state.seed)
    bench = workbench_of(loaded.framework)
    if loaded.inputs is None:
        raise InputError(f"The input of '{state.model}' is not known. Start the lab with it: gainstage lab --help.")
    batch = bench.example_batch(loaded.model, loaded.inputs, batch=min(state.batch, 8), seed=state.seed)
    batch = bench.with_own_labels(loaded.model, batch)
    return Subject(loaded.model, loaded.framework, batch, synthetic=True)


def _refuse_too_large(name: str) -> None:
    """Build a PyTorch model without memory first, and count its weights.

    Raises:
        InputError: it has more weights than the lab takes.
    """
    if name.startswith("keras:"):
        return  # Keras builds no model without memory; its collection ends at some 350 million weights
    model = load_model(name, memoryless=True).model
    weights = sum(int(np.prod(p.shape)) for p in backend_of(model).structure(model).parameters)
    if weights > 10 * MOST_WEIGHTS:
        raise InputError(f"'{name}' has {weights:,} weights; the lab takes up to {10 * MOST_WEIGHTS:,}.")


def started(subject: Subject, state: State) -> Plan:
    """Draw the weights of a network by the scheme of a state, without its gain and its biases; return the plan."""
    return initialize(subject.model, state.scheme, x=subject.x, seed=state.seed)


def edited(plan: Plan, state: State) -> tuple[Plan, Mapping[str, float], Mapping[str, Any]]:
    """Return a plan with the gain and the biases of a state, the factors on weights, and the values of biases.

    Args:
        plan: at gain 1.
        state: whose gain multiplies hidden weights, and whose ``bias`` is the standard deviation of hidden biases.
    """
    factors: dict[str, float] = {}
    values: dict[str, Any] = {}
    hidden = {a.parameter for a in plan if _is_hidden(a)}
    lines = []
    for line in plan:
        if state.gain != 1 and line.parameter in hidden:
            factors[line.parameter] = state.gain
            lines.append(_louder(line, state.gain))
        elif state.bias and line.role is Role.BIAS and not _of_output(line, plan):
            drawn = state.bias * Stream(plan.seed, line.parameter).normal(int(np.prod(line.shape)))
            values[line.parameter] = np.asarray(drawn, np.float32)
            told = f"normal, spread {state.bias:g}, as asked"
            numbers = tuple(map(float, values[line.parameter]))
            lines.append(replace(line, bias="measured", values=numbers, scheme="constant", reason=told))
        else:
            lines.append(line)
    return replace(plan, assignments=tuple(lines)), factors, values


def _louder(line: Assignment, gain: float) -> Assignment:
    spread = None if line.spread is None else line.spread * gain
    return replace(line, gain=line.gain * gain, spread=spread, reason=f"{line.reason}; times {gain:g}, as asked")


def _is_hidden(line: Assignment) -> bool:
    return line.kernel is not None and line.role not in (Role.HEAD, Role.EMBEDDING)


def _of_output(line: Assignment, plan: Plan) -> bool:
    """Report whether a bias belongs to the output layer, whose weight has the role of a head."""
    weight = line.weight or _sibling(line.parameter)
    return any(a.parameter == weight and a.role is Role.HEAD for a in plan)


def _sibling(bias: str) -> str:
    """Return the path of the weight beside a bias, as both frameworks name it."""
    for end, weight in (("/bias", "/kernel"), ("bias", "weight")):
        if bias.endswith(end):
            return bias.removesuffix(end) + weight
    return ""


class Prepared:
    """A network whose gain and biases can be changed without drawing its weights anew.

    Args:
        state: the state that it is built for.
        given: the model that the lab was started with.

    Raises:
        GainstageError: as ``built``.
    """

    def __init__(self, state: State, given: Given | None = None) -> None:
        self.subject = built(state, given)
        self._plan = started(self.subject, state)
        self._restore: Callable[[], None] = backend_of(self.subject.model).snapshot(self.subject.model)
        self.plan = self._plan
        self.to(state)

    def to(self, state: State) -> None:
        """Bring gain and biases to those of a state; everything else must be as it was built."""
        self.plan, factors, values = edited(self._plan, state)
        self._restore()
        bench = self.subject.bench
        if factors:
            bench.multiply_weights(self.subject.model, factors)
        if values:
            bench.write_values(self.subject.model, values)

    @staticmethod
    def key(state: State) -> State:
        """Return what two states have in common that share a prepared network."""
        usual = State()
        return state.changed(
            gain=usual.gain, bias=usual.bias, optimizer=usual.optimizer, rate=usual.rate, steps=usual.steps
        )
