"""The errors that gainstage raises.

A message says what is wrong, where, what was received and what to do. Everything a user can cause derives from
``GainstageError``; anything else that escapes is a defect of gainstage itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "GainstageError", "InputError", "LoadError", "MissingPackageError", "ModelError", "TrainingError",
    "UnknownNameError", "UnstableGainWarning", "require_kind", "require_number",
]  # fmt: skip

_SHOWN = 60
"""So many names of a table fit a message."""


class GainstageError(Exception):
    """Base of all errors a user can cause; the command line turns it into exit code 2."""


class InputError(GainstageError, ValueError):
    """A batch, label, pattern, file or option that cannot be used."""


class LoadError(GainstageError, ImportError):
    """A model's name cannot be resolved, imported or built."""


class ModelError(GainstageError, RuntimeError):
    """The model cannot be run; the model's own exception is chained."""


class TrainingError(GainstageError, RuntimeError):
    """A watched training is ended on purpose, because a finding was raised or its start was refused."""


class MissingPackageError(GainstageError, ImportError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, purpose: str, install: str | None = None) -> None:
        super().__init__(f"{purpose} needs the package '{package}'. Install it with: pip install {install or package}")


class UnknownNameError(GainstageError, ValueError, LookupError):
    """A name that is not in a table, with the nearest one that is.

    >>> str(UnknownNameError("scheme", "he_norml", ["he_normal", "zeros"], where="'blocks.*'"))
    "Unknown scheme 'he_norml'. Received for 'blocks.*'. Did you mean 'he_normal'?"
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], where: str | None = None) -> None:
        known = sorted(known)
        begun = [k for k in known if k.startswith(f"{name}_")][:3]
        near = begun or difflib.get_close_matches(str(name), known, n=1)
        shown = [*known[:_SHOWN], f"… ({len(known)} in all)"] if len(known) > _SHOWN else known
        meant = " or ".join(f"'{one}'" for one in near)
        advice = f"Did you mean {meant}?" if near else f"Known: {', '.join(shown)}."
        place = f" Received for {where}." if where else ""
        super().__init__(f"Unknown {kind} '{name}'.{place} {advice}")
        self.kind, self.name, self.known = kind, name, known


class UnstableGainWarning(UserWarning):
    """A gain that is right, at a level that a deep plain net does not keep."""


def require_number(value: Any, what: str) -> float:
    """The value as a float.

    Args:
        value: a number of Python or NumPy.
        what: it is, for the message.

    Raises:
        InputError: it is none, or too large for one.

    >>> require_number(2, "The level")
    2.0
    """
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError, NotImplementedError):
        raise InputError(f"{what} is a number; received {_shown(value)}.") from None


def require_kind(value: Any, kinds: type | tuple[type, ...], what: str) -> None:
    """Refuse a value of another type.

    Args:
        value: as it was given.
        kinds: that will do.
        what: is expected, for the message: ``The code is a text such as 'GS201'``.

    Raises:
        InputError: it is of none of these types.
    """
    if not isinstance(value, kinds):
        raise InputError(f"{what}; received {_shown(value)}.")


def _shown(value: Any) -> str:
    """A value in one short line."""
    plain = isinstance(value, (str, bytes, int, float, bool, type(None)))
    return (
        f"{value!r:.40}"
        if plain and not (isinstance(value, int) and abs(value) > 10**40)
        else (f"an object of type {type(value).__name__}")
    )
