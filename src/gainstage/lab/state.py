"""The state of the lab: what the page's controls say, read from untrusted text and written into addresses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, get_args
from urllib.parse import parse_qsl, urlencode

from gainstage.backends.model_names import ACTIVATION_NAMES, Norm
from gainstage.errors import InputError, UnknownNameError
from gainstage.lab.names import require_listed
from gainstage.schemes import names

__all__ = ["CHOICES", "LIMITS", "MOST_WEIGHTS", "State", "read_state", "schemes_offered"]

LIMITS: Mapping[str, tuple[float, float]] = {
    "depth": (1, 200), "width": (4, 1024), "dropout": (0, 0.9), "gain": (0.05, 20), "bias": (0, 5),
    "seed": (0, 2**32 - 1), "rate": (1e-6, 100), "steps": (1, 2000), "batch": (2, 512),
}  # fmt: skip
"""The smallest and the largest value of every number that a page may ask for."""

MOST_WEIGHTS = 20_000_000
"""The number of weights of the largest network that the lab builds."""

OWN = "own"
"""The name under which a page asks for the model that the lab was started with."""


def schemes_offered() -> tuple[str, ...]:
    """Return the starts that the page offers: recipes that suit any network, then every named scheme."""
    fixed = {"zeros", "ones", "constant", "identity", "dirac", "keep"}
    return ("auto", "mirrored", "lsuv", "keep", *(name for name in names() if name not in fixed))


CHOICES: Mapping[str, tuple[str, ...]] = {
    "framework": ("torch", "keras"),
    "activation": ACTIVATION_NAMES,
    "norm": get_args(Norm),
    "scheme": schemes_offered(),
    "data": ("digits", "mnist", "gaussian"),
    "optimizer": ("sgd", "momentum", "adam"),
}
"""The values of every control that offers a list."""


@dataclass(frozen=True, slots=True)
class State:
    """All settings of the lab.

    Args:
        model: empty for the lab's own network, ``own`` for the model that the lab was started with, or the name of a
            model in a collection (``hf:gpt2``, ``timm:resnet18``, ``keras:MobileNetV2``).
        framework: of the lab's own network.
        depth: number of its hidden layers.
        width: units of a hidden layer.
        activation: after every hidden layer.
        norm: before every activation.
        residual: whether a skip bypasses every hidden layer that keeps the width.
        dropout: share of the hidden units that a training step drops.
        scheme: the start of the weights.
        gain: a factor on the standard deviation of the hidden weights.
        bias: standard deviation of the hidden biases, σ_b; 0 leaves them to the scheme.
        seed: of weights, data and order of examples.
        data: what runs through the network.
        optimizer: of a training.
        rate: learning rate.
        steps: of a training.
        batch: examples in a batch.

    Raises:
        InputError: a value is out of its limits, or the network has too many weights.
        UnknownNameError: a value is not on its list.

    >>> State(depth=50).query
    'depth=50'
    """

    model: str = ""
    framework: str = "torch"
    depth: int = 20
    width: int = 128
    activation: str = "tanh"
    norm: str = "none"
    residual: bool = False
    dropout: float = 0.0
    scheme: str = "glorot_normal"
    gain: float = 1.0
    bias: float = 0.0
    seed: int = 0
    data: str = "digits"
    optimizer: str = "momentum"
    rate: float = 0.03
    steps: int = 200
    batch: int = 128

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} must lie between {low:g} and {high:g}; received {value:g}.")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise UnknownNameError(name, getattr(self, name)[:60], known)
        if self.depth * self.width**2 > MOST_WEIGHTS:
            raise InputError(
                f"A network of {self.depth} layers of {self.width} units has more than {MOST_WEIGHTS:,} weights. Make "
                "it narrower or less deep."
            )
        if self.model not in ("", OWN):
            require_listed(self.model)

    @property
    def query(self) -> str:
        """Return the settings that differ from the usual ones, as the page writes them into its address."""
        usual = asdict(State())
        return urlencode({k: _text(v) for k, v in asdict(self).items() if v != usual[k]}, safe=":")

    def changed(self, **values: Any) -> State:
        """Return the state with other values."""
        return replace(self, **values)

    def differences(self, other: State) -> tuple[tuple[str, str, str], ...]:
        """Return what differs between two states: setting, value here, value there.

        >>> State().differences(State(gain=2.0))
        (('gain', '1', '2'),)
        """
        mine, theirs = asdict(self), asdict(other)
        return tuple((k, _text(v), _text(theirs[k])) for k, v in mine.items() if v != theirs[k])


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def read_state(given: Mapping[str, Any] | str) -> State:
    """Read settings that came over the network; missing ones take their usual value.

    Args:
        given: settings by name (numbers, texts or true and false), or the query of an address.

    Raises:
        InputError: a value is of the wrong kind or out of its limits, or a setting does not exist.
        UnknownNameError: a value is not on its list, or a setting does not exist.

    >>> read_state("depth=3&residual=true").residual
    True
    """
    if isinstance(given, str):
        given = dict(parse_qsl(given.removeprefix("#").removeprefix("?"), keep_blank_values=True, max_num_fields=64))
    usual = {field.name: field.default for field in fields(State)}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in usual:
            raise UnknownNameError("setting", str(name)[:60], usual)
        values[name] = _value(name, value, usual[name])
    return State(**values)


def _value(name: str, value: Any, usual: Any) -> Any:
    """Return a setting in its own type.

    Raises:
        InputError: it cannot be read.
    """
    if isinstance(usual, bool):
        if value in (True, "true", "1"):
            return True
        if value in (False, "false", "0", ""):
            return False
    elif isinstance(usual, str):
        if isinstance(value, str) and len(value) <= 200:
            return value
    elif not isinstance(value, bool) and isinstance(value, int | float | str) and len(str(value)) <= 32:
        number = _number(value)
        if isinstance(usual, float) and math.isfinite(number):
            return number
        if number == int(number) if math.isfinite(number) else False:
            return int(number)
    kind = "true or false" if isinstance(usual, bool) else "text" if isinstance(usual, str) else "a number"
    raise InputError(f"{name} must be {kind}; received {str(value)[:60]!r}.")


def _number(value: int | float | str) -> float:
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan
