"""GS711: whether the model can learn a single batch by heart."""

from __future__ import annotations

from collections.abc import Iterator

from gainstage.records import Overfit, Profile, Severity
from gainstage.rules.remedies import edit, phrase
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.words import figure

__all__: list[str] = []


@rule("GS711", "One batch cannot be learned by heart")
def not_learned(profile: Profile) -> Iterator[Fault]:
    """A short training on one batch leaves its loss where it was.

    What it does:
    Only where it is asked for: trains on the batch of this check for at most 200 steps, with the optimizer that was
    given and then with Adam at rates of 1e-3, 1e-2 and 1e-4, until one of them learns the batch. The model is put back.

    Why it matters:
    A network that does not learn a few examples does not learn many. Whatever else is wrong, this is what it does.

    Null hypothesis:
    A network with more weights than examples separates them, and some rate of Adam finds a way down.

    Bound and where it comes from:
    Nine tenths of the loss above the lowest one are left at the end, counted from the start or from the best constant
    guess, whichever is less: predicting the most frequent class is not learning. Between a tenth and nine tenths the
    training was too short to say. An error; a warning where Adam learns the batch that the given optimizer does not.

    Example:
    Labels shuffled against inputs that are all alike; a loss of the wrong tensor; a layer that cuts the gradient.

    Remedy:
    The findings beside this one say why. Where there are none, look for what the loss does not see:

        print(model(x)[:4], y[:4])  # are these the tensors that should agree?

    Reference:
    Karpathy 2019, A Recipe for Training Neural Networks: overfit one batch.
    """
    found = profile.overfit
    if found is None:
        raise Lacking("a short training on the batch was not asked for (overfit=True)")
    if found.given_fails:
        yield _optimizer_fails(found)
    elif found.outcome == "stuck":
        best = found.best
        yield Fault(
            Severity.ERROR,
            "",
            f"After {best.steps} steps of {best.optimizer} at {figure(best.learning_rate)} the loss is "
            f"{figure(best.end)}, {figure(found.start)} before, and {figure(found.lowest)} can be reached; "
            f"{len(found.attempts)} optimizers were tried.",
            found.left(best.end),
            0.9,
            "What the loss depends on cannot be moved by the weights, or the inputs do not tell the targets apart.",
            edit("Follow the findings beside this one; without any, compare outputs and targets by eye.",
                 phrase("outputs and targets side by side")),
        )  # fmt: skip


def _optimizer_fails(found: Overfit) -> Fault:
    given, best = found.attempts[0], found.best
    ended = "is not a number any more" if given.diverged else f"is {figure(given.end)}, {figure(found.start)} before"
    return Fault(
        Severity.WARNING,
        "",
        f"After {given.steps} steps of {given.optimizer} at {figure(given.learning_rate)} the loss {ended}; "
        f"{best.optimizer} at {figure(best.learning_rate)} reaches {figure(best.end)} in {best.steps} steps.",
        min(found.left(given.end), 1e6),
        0.9,
        "The model can learn this batch; the optimizer that was given does not.",
        edit("Use another rate, or the optimizer that learned it.",
             phrase("the optimizer at this rate", name=best.optimizer, rate=f"{best.learning_rate:g}")),
    )  # fmt: skip
