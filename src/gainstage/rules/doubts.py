"""GS9xx: the measurement itself is doubtful."""

from __future__ import annotations

from collections.abc import Iterator

from gainstage.records import Note, Profile, Severity
from gainstage.rules.remedies import Phrase, edit, phrase
from gainstage.rules.table import Fault, rule

__all__: list[str] = []


def _told(notes: Iterator[Note], advice: str, code: str | Phrase) -> Iterator[Fault]:
    for note in notes:
        yield Fault(
            Severity.NOTE,
            note.path,
            note.message,
            1.0,
            0.0,
            "The measurement saw less than the whole.",
            edit(advice, code),
        )


@rule("GS901", "No gradient reaches the loss")
def no_gradient(profile: Profile) -> Iterator[Fault]:
    """No gradient came back from the loss, so nothing could be said about gradients.

    What it does:
    Passes on what the measurement noted.

    Why it matters:
    Every rule of the family GS2xx is silent, and a model in this state does not train.

    Null hypothesis:
    A loss depends on at least one trainable parameter.

    Bound and where it comes from:
    None: it is a question of structure.

    Example:
    All parameters frozen; a forward pass under torch.no_grad().

    Remedy:
    Check the model the way it is trained:

        model.requires_grad_(True)

    Reference:
    PyTorch, Autograd mechanics.
    """
    notes = (note for note in profile.notes if note.code == "GS901")
    yield from _told(notes, "Check the model the way it is trained.", phrase("a model that trains"))


@rule("GS902", "Part of the measurement is missing")
def doubtful(profile: Profile) -> Iterator[Fault]:
    """Something about the measurement makes its figures less certain than they look.

    What it does:
    Passes on every other doubt that the measurement noted.

    Why it matters:
    A verdict rests on its evidence: what was not seen was not judged.

    Null hypothesis:
    Every operation of the model was seen on the tensors it works on.

    Bound and where it comes from:
    None.

    Example:
    A layer whose inside the framework does not show.

    Remedy:
    Read the note; where it names a part of the model, check that part on its own:

        import gainstage as gs

        print(gs.check(part, its_input))

    Reference:
    The measurement's own note.
    """
    notes = (note for note in profile.notes if note.code not in ("GS901", "GS903"))
    yield from _told(notes, "Check that part on its own.", "import gainstage as gs\n\nprint(gs.check(part, its_input))")


@rule("GS903", "Part of the prediction is doubtful")
def predicted_in_doubt(profile: Profile) -> Iterator[Fault]:
    """A predicted figure rests on an assumption, or on an operation that has no rule.

    What it does:
        Passes on what the prediction noted, with the first place that it touches.

    Why it matters:
        Figures downstream may be off; what follows from them is no better.

    Null hypothesis:
        Every operation of the model has its moment rule, and all that it adds or multiplies is known.

    Bound and where it comes from:
        None: it is a question of what is known.

    Example:
        A custom kernel; a constant table whose values a trace does not see; a mask that may or may not be causal.

    Remedy:
        Measure instead, on a batch:

            gs.check(model, x)

    Reference:
        docs/prediction.md, What has no rule.
    """
    notes = (note for note in profile.notes if note.code == "GS903")
    for note in notes:
        yield Fault(
            Severity.NOTE, note.path, note.message, 1.0, 0.0, "Theory does not know all that happens here.",
            edit("Measure instead, on a batch.", "gs.check(model, x)"),
        )  # fmt: skip
