"""Assert that a check of a model finds nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gainstage.errors import InputError
from gainstage.records import Diagnosis, Severity
from gainstage.report import text
from gainstage.workflows import check

__all__ = ["assert_healthy"]

_LEVELS = ("error", "warning", "note")


def assert_healthy(
    model: Any, x: Any = None, y: Any = None, *, fail_on: str = "warning", ignore: Sequence[str] = (), **options: Any
) -> Diagnosis:
    """Check a model, and fail with the findings where there are any.

    Args:
        model, x, y: as in ``gs.check``.
        fail_on: ``error``, ``warning`` or ``note``: the least that fails.
        ignore: codes of rules, or their beginnings, that are left out.
        options: further arguments of ``gs.check``: ``loss``, ``optimizer``, ``overfit``, ….

    Returns:
        The diagnosis, for further assertions.

    Raises:
        AssertionError: a finding is at least that bad, or the model could not be judged.
        InputError: ``fail_on`` is something else.

    >>> import torch
    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch...>
    >>> assert_healthy(torch.nn.Linear(8, 4), torch.randn(32, 8)).ok
    True
    """
    if fail_on not in _LEVELS:
        raise InputError(f"fail_on is one of {', '.join(_LEVELS)}; received {fail_on!r}.")
    diagnosis: Diagnosis = check(model, x, y, ignore=ignore, **options)
    worst = list(Severity)[: _LEVELS.index(fail_on) + 1]
    if not diagnosis.judged or any(finding.severity in worst for finding in diagnosis.findings):
        raise AssertionError(f"The start is not healthy.\n{text.render(diagnosis)}")
    return diagnosis
