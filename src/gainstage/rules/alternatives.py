"""Second causes that explain the figures of a finding as well as the first, and what tells the two apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from gainstage.records import Finding, Profile, Severity

__all__ = ["ALTERNATIVES", "with_alternative"]


def _summed(profile: Profile, _finding: Finding) -> str:
    loss = profile.task.loss
    if loss is None or loss.mean_reduced:
        return ""
    return (
        "a loss that is summed, not averaged, has the same effect under plain gradient descent. Divide it by the "
        f"number of its terms: with {profile.task.examples} examples the step must shrink by at least that factor."
    )


def _averaged(profile: Profile, _finding: Finding) -> str:
    optimizer = profile.task.optimizer
    if optimizer is None or optimizer.memory_of_squares is not None:
        return ""
    return (
        "a loss that is divided once too often has the same effect. Compare its value with chance: the quotient is the "
        "factor that the step lacks."
    )


def _critic(_profile: Profile, finding: Finding) -> str:
    if finding.severity is not Severity.NOTE:
        return ""
    return (
        "the critic of a Wasserstein GAN is trained so on purpose. If the output is to equal a target, the bend or the "
        "square is missing; if it scores samples, the loss is right."
    )


def _says(text: str) -> Callable[[Profile, Finding], str]:
    return lambda _profile, _finding: text


ALTERNATIVES: Mapping[str, Callable[[Profile, Finding], str]] = MappingProxyType(
    {
        "GS111": _says(
            "a comparison with the rest of the batch may be meant, as in contrastive losses. Call the model with one "
            "example: if that answer is the one you will use, the operation runs along the wrong axis."
        ),
        "GS203": _says(
            "underflow gives the same zeros as dead or saturated units. Run the check in float64: a gradient that "
            "returns was lost in rounding."
        ),
        "GS514": _critic,
        "GS520": _says(
            "an index or a class weight of zero may exclude this label on purpose. Print the loss of one such example "
            "at two outputs: if both are zero and the label counts in your metric, the loss is the wrong one."
        ),
        "GS605": _says(
            "sorted data and lost targets look the same in one batch. Take a second batch: sorted data hold another "
            "value there, lost targets the same one."
        ),
        "GS608": _says(
            "a missing mask and labels that nothing shifts look the same here. Change the last token alone: if earlier "
            "outputs change, the mask is missing; if not, the shift is."
        ),
        "GS701": _summed,
        "GS702": _averaged,
        "GS703": _summed,
    }
)
"""The second cause and the test that tells the two apart, by code of the rule; empty where the figures exclude it."""


def with_alternative(finding: Finding, profile: Profile) -> Finding:
    """Add the second cause to a finding's own, where one explains the figures as well.

    Args:
        finding: of any rule.
        profile: that it was found in.
    """
    other = ALTERNATIVES.get(finding.code)
    text = other(profile, finding) if other is not None else ""
    return replace(finding, cause=f"{finding.cause} Or: {text}") if text else finding
