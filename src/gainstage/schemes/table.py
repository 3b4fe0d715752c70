"""The record of a scheme, and the table that holds all schemes."""

from __future__ import annotations

import difflib
import inspect
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainstage.errors import InputError, UnknownNameError
from gainstage.graph import KernelShape
from gainstage.schemes import sampling
from gainstage.schemes.sampling import Kind
from gainstage.streams import Distribution, Stream, copy

__all__ = ["Sampler", "Scheme", "UnitSpread", "get", "names", "register"]

Sampler = Callable[[KernelShape, float, Stream], NDArray[np.floating[Any]]]
"""A function that draws weights of shape ``kernel.shape`` from ``(kernel, gain, stream)``, linear in the gain."""

UnitSpread = Callable[[KernelShape], float | None]
"""A function that returns the standard deviation over weights for gain 1; None where the kernel is not random."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """A named rule by which the weights of one kernel are drawn.

    Args:
        name: the canonical name.
        sampler: the pure function that draws the weights.
        unit_spread: returns the standard deviation over weights for gain 1; None for a kernel that is not random.
        summary: one line of description.
        reference: paper and place, or the program that the scheme follows.
        aliases: other names under which the scheme is found.
        independent: the distribution of each weight where the weights are independent; None where they are not.

    >>> he = get("he_normal")
    >>> kernel = KernelShape(out=64, in_=50)
    >>> he.draw(kernel, 1.0, Stream(0, "blocks.0.weight")).shape, he.spread(kernel)
    ((64, 50, 1), 0.2)
    """

    name: str
    sampler: Sampler
    unit_spread: UnitSpread
    summary: str
    reference: str
    aliases: tuple[str, ...] = ()
    independent: Kind | None = None

    def draw(self, kernel: KernelShape, gain: float, stream: Stream) -> NDArray[np.float32]:
        """Draws one kernel.

        Args:
            kernel: the shape of the weight.
            gain: multiplies every value.
            stream: the source of random numbers.

        Returns:
            float32 of shape ``kernel.shape``, i.e. ``(out, in_ / groups, receptive)``.

        Raises:
            InputError: the gain is not finite, the scheme does not support this kernel, or the sampler returns a wrong
                shape.
        """
        values = np.ascontiguousarray(self.sampler(kernel, self._finite(gain), stream), dtype=np.float32)
        if values.shape != kernel.shape:
            raise InputError(
                f"Scheme '{self.name}' drew an array of shape {values.shape} for {kernel}. "
                f"Its sampler must return (out, in_ / groups, receptive) = {kernel.shape}."
            )
        return values

    def fill(
        self,
        out: NDArray[Any],
        kernel: KernelShape,
        gain: float,
        stream: Stream,
        *,
        start: int = 0,
        strides: Sequence[int] | None = None,
        bfloat16: bool = False,
    ) -> None:
        """Draws one kernel, or a region of it, into memory.

        Independent weights of a region are drawn without the rest of the kernel. For other schemes the whole kernel is
        drawn in temporary memory, and the region is copied.

        Args:
            out: float16, float32 or float64 memory of any shape and strides; overwritten.
            kernel: the shape of the weight.
            gain: multiplies every value.
            stream: the source of random numbers.
            start, strides: the region, as in ``Stream.fill``, in the flattened ``kernel.shape``.
            bfloat16: ``out`` holds bfloat16 numbers as uint16 words.

        Raises:
            InputError: as for ``draw`` and ``Stream.fill``.

        >>> rows = np.empty((2, 50, 1))
        >>> get("he_normal").fill(rows, KernelShape(64, 50), 1.0, Stream(0, "weight"), start=30 * 50)
        >>> bool((rows == get("he_normal").draw(KernelShape(64, 50), 1.0, Stream(0, "weight"))[30:32]).all())
        True
        """
        if self.independent is None:
            copy(out, self.draw(kernel, gain, stream), start=start, strides=strides, bfloat16=bfloat16)
            return
        stream.fill(out, self.distribution(kernel, gain), start=start, strides=strides, bfloat16=bfloat16)
        if gain < 0 and bfloat16:
            np.bitwise_xor(out, np.uint16(0x8000), out=out)
        elif gain < 0:
            np.negative(out, out=out)

    def distribution(self, kernel: KernelShape, gain: float) -> Distribution:
        """Return the distribution of each weight, up to the sign of the gain.

        Raises:
            InputError: the weights are not independent, or their standard deviation is not finite.

        >>> get("he_normal").distribution(KernelShape(64, 50), 1.0)
        Normal(std=0.2, bound=None)
        """
        spread = self.spread(kernel, gain)
        if self.independent is None or spread is None:
            raise InputError(f"The weights of scheme '{self.name}' are not independent of each other.")
        return sampling.distribution(self.independent, spread)

    def spread(self, kernel: KernelShape, gain: float = 1.0) -> float | None:
        """Return the standard deviation over weights that ``draw`` aims at; None where the kernel is not random.

        Raises:
            InputError: the gain is not finite.
        """
        gain = self._finite(gain)
        spread = self.unit_spread(kernel)
        return None if spread is None else abs(gain) * spread

    def _finite(self, gain: float) -> float:
        if not isinstance(gain, int | float | np.integer | np.floating) or not math.isfinite(gain):
            raise InputError(f"The gain of scheme '{self.name}' is a finite number; received {gain!r}.")
        return float(gain)


_SCHEMES: dict[str, Scheme] = {}


def register(
    name: str,
    *,
    spread: UnitSpread,
    reference: str,
    aliases: Sequence[str] = (),
    summary: str = "",
    independent: Kind | None = None,
) -> Callable[[Sampler], Sampler]:
    """Return a decorator that enters a sampler in the table.

    Args:
        name: the canonical name, in lower case with underscores.
        spread: the standard deviation over weights for a gain of one; None where the kernel is not random.
        reference: paper and place, or the program that the scheme follows.
        aliases: other names under which the scheme is found.
        summary: one line of description; by default the first line of the sampler's docstring.
        independent: the distribution of each weight, where element i of the kernel is element i of the stream times the
            standard deviation. Such a scheme writes directly into a model's memory, and can draw any part of the kernel
            alone.

    Returns:
        A decorator that returns the sampler unchanged.

    Raises:
        InputError: the name is malformed or taken, or there is no summary.

    Afterwards ``gainstage.schemes.get("my_scheme")`` returns this scheme::

        @register("my_scheme", spread=lambda kernel: kernel.fan_in**-0.5, reference="Someone (2030), eq. 1")
        def my_scheme(kernel, gain, stream):
            \"\"\"N(0, gain² / fan_in).\"\"\"
            return stream.normal(kernel.size).reshape(kernel.shape) * gain / kernel.fan_in**0.5
    """

    def enter(sampler: Sampler) -> Sampler:
        line = summary or (inspect.getdoc(sampler) or "").partition("\n")[0]
        if not line:
            raise InputError(f"Scheme '{name}' says nothing about itself. Give its sampler a docstring, or a summary.")
        if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
            raise InputError(f"A scheme's name is in lower case with underscores; received {name!r}.")
        taken = _by_key()
        for spelling in (name, *aliases):
            owner = taken.get(_key(spelling))
            if owner:
                raise InputError(f"'{spelling}' is taken by scheme '{owner.name}'. Choose another name.")
        _SCHEMES[name] = Scheme(name, sampler, spread, line, reference, tuple(aliases), independent)
        return sampler

    return enter


def get(name: str, *, where: str | None = None) -> Scheme:
    """Return the scheme with that name.

    Case and underscores do not matter, so the spellings of Keras (``HeNormal``) and PyTorch (``kaiming_normal_``) work.

    Args:
        name: a canonical name or an alias.
        where: the place the name was given for, quoted in the error.

    Raises:
        UnknownNameError: no scheme has that name.

    >>> get("kaiming_normal_").name, get("HeNormal").name, get("xavier_uniform").name
    ('he_normal', 'he_normal', 'glorot_uniform')
    """
    if isinstance(name, str) and name in _SCHEMES:
        return _SCHEMES[name]
    try:
        return _by_key()[_key(name)]
    except KeyError:
        spellings = [spelling for scheme in _SCHEMES.values() for spelling in (scheme.name, *scheme.aliases)]
        close = difflib.get_close_matches(str(name), spellings, n=1)
        raise UnknownNameError("scheme", name, spellings if close else names(), where) from None


def names() -> tuple[str, ...]:
    """Return all canonical names, in alphabetical order."""
    return tuple(sorted(_SCHEMES))


def _by_key() -> dict[str, Scheme]:
    return {_key(spelling): scheme for scheme in _SCHEMES.values() for spelling in (scheme.name, *scheme.aliases)}


def _key(name: str) -> str:
    return re.sub(r"[\s_-]", "", str(name)).lower()
