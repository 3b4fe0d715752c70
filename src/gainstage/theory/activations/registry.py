"""The table of activations: one decorator to enter it, one function to look into it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from gainstage.errors import InputError, UnknownNameError
from gainstage.theory.activations.constants import UNIT_MOMENTS
from gainstage.theory.activations.custom import from_callable
from gainstage.theory.activations.foreign import callable_name, on_arrays
from gainstage.theory.activations.record import Activation, Elementwise

__all__ = ["activation", "activations", "register"]

Builder: TypeAlias = Callable[..., Activation]

_builders: dict[str, Builder] = {}
_aliases: dict[str, tuple[str, ...]] = {}
_canonical: dict[str, str] = {}

_GRID = np.linspace(-8.0, 8.0, 321) + 0.0037
_NOT_ELEMENTWISE = frozenset({"softmax", "softmin", "softmax2d", "logsoftmax", "sparsemax", "glu", "crelu", "maxout"})


def register(name: str, *aliases: str) -> Callable[[Builder], Builder]:
    """Enter an activation in the table; this is all that a new one needs.

    The decorated function takes the settings, with their defaults, and returns the ``Activation``; name, aliases and
    settings are filled in, and the docstring becomes the summary.

    Raises:
        InputError: the name or an alias is taken.

    >>> from gainstage.theory import activations, register
    >>> @register("relu")
    ... def another() -> None: ...
    Traceback (most recent call last):
    gainstage.errors.InputError: The activation name 'relu' is taken by 'relu'. Choose another one.
    """

    def enter(builder: Builder) -> Builder:
        for word in (name, *aliases):
            if (taken := _canonical.get(_fold(word))) is not None:
                raise InputError(f"The activation name '{word}' is taken by '{taken}'. Choose another one.")
        _builders[name], _aliases[name] = builder, aliases
        _canonical.update({_fold(word): name for word in (name, *aliases)})
        return builder

    return enter


def activations() -> tuple[str, ...]:
    """The canonical names of all activations in the table, sorted.

    >>> from gainstage.theory import activations
    >>> "gelu" in activations()
    True
    """
    return tuple(sorted(_builders))


def activation(
    kind: str | Activation | Elementwise,
    settings: Mapping[str, float] | None = None,
    *,
    derivative: Elementwise | None = None,
    kinks: Sequence[float] | None = None,
    **values: float,
) -> Activation:
    """An activation by name, or made of a function or layer: NumPy's, PyTorch's, Keras's, TensorFlow's or JAX's.

    Names are PyTorch's and Keras's (``hardswish``, ``hard_silu``); case and underscores do not count. Where the two
    frameworks' defaults differ, PyTorch's are taken: ``leaky_relu`` leaks 0.01 (Keras: 0.2).

    Args:
        kind: a name, a function of a float64 array, a function or layer of a framework (found in the table by its name
            and values, where it is there), or an ``Activation``, which is returned as it is.
        settings: the numbers the activation takes, e.g. ``{"negative_slope": 0.2}``; defaults for the others.
        derivative: for a function: f', where it is known; otherwise central differences (about ten digits).
        kinks: for a function: where it is not smooth; otherwise they are searched for.
        **values: settings, as keywords.

    Raises:
        UnknownNameError: no such activation or setting.
        InputError: a setting out of range, or a function that is not elementwise, not finite, or not float64.

    >>> from gainstage.theory import activation
    >>> activation("LeakyReLU", negative_slope=0.2).label
    'leaky_relu(negative_slope=0.2)'
    >>> activation(lambda x: x * abs(x)).bounds
    (-inf, inf)
    """
    if not isinstance(kind, str):
        if settings or values:
            raise InputError(f"Settings go with a name; received {dict(settings or {}, **values)} with {kind!r}.")
        if isinstance(kind, Activation):
            if derivative is not None or kinks is not None:
                raise InputError(f"'{kind.name}' has its derivative and kinks already; give them with a function.")
            return kind
        if not callable(kind):
            raise InputError(f"An activation is a name, a function or an Activation; received {kind!r}.")
        known = _of_a_framework(kind) if derivative is None and kinks is None else None
        return known or from_callable(kind, derivative=derivative, kinks=kinks)
    if derivative is not None or kinks is not None:
        raise InputError(f"'{kind}' has its derivative and kinks in the table; give them with a function only.")
    return _build(kind, dict(settings or {}, **values))


def _of_a_framework(function: Elementwise) -> Activation | None:
    """The entry of the table that a framework's function or layer is, with the layer's settings."""
    word = _fold(callable_name(function))
    if word == "activation":  # Keras's layer around a function
        word = _fold(callable_name(getattr(function, "activation", function)))
    name = _canonical.get(word)
    if name is None:
        return None
    on_array, foreign = on_arrays(function)
    if not foreign:
        return None
    given = {key: getattr(function, key, None) for key in inspect.signature(_builders[name]).parameters}
    chosen = {key: float(value) for key, value in given.items() if isinstance(value, (int, float))}
    try:
        known, values = _build(name, chosen), on_array(_GRID.copy())
    except Exception:
        return None  # another function of that name; errors are reported where it is used
    # Keras on JAX computes some functions in single precision whatever it is given.
    tolerance = 1e-8 if values.dtype == np.float64 else 1e-5
    same = values.shape == _GRID.shape and np.allclose(known(_GRID), values, rtol=tolerance, atol=tolerance / 2)
    return known if same else None


def _fold(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "").replace(" ", "")


def _build(word: str, chosen: dict[str, float]) -> Activation:
    name = _canonical.get(_fold(word))
    if name is None:
        if _fold(word) in _NOT_ELEMENTWISE:
            raise InputError(f"'{word}' mixes units: it is not elementwise and has no gain of its own.")
        raise UnknownNameError("activation", word, {*_builders, *(a for some in _aliases.values() for a in some)})
    builder = _builders[name]
    defaults = {key: float(p.default) for key, p in inspect.signature(builder).parameters.items()}
    for key, value in chosen.items():
        if not defaults:
            raise InputError(f"The activation '{name}' takes no settings; received {key} = {value!r}.")
        if key not in defaults:
            raise UnknownNameError("setting", key, defaults, where=f"activation '{name}'")
        if not isinstance(value, (int, float, np.integer, np.floating)) or not math.isfinite(value):
            raise InputError(f"The setting '{key}' of activation '{name}' is a finite number; received {value!r}.")
    values = {**defaults, **{key: float(value) for key, value in chosen.items()}}
    changed = ", ".join(f"{key}={value:g}" for key, value in values.items() if value != defaults[key])
    return replace(
        builder(**values),
        name=name,
        label=f"{name}({changed})" if changed else name,
        settings=tuple(values.items()),
        aliases=_aliases[name],
        summary=inspect.getdoc(builder) or "",
        unit=UNIT_MOMENTS.get(name) if values == defaults else None,
    )
