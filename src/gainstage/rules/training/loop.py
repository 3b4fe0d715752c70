"""GT5xx: slips of the loop itself."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from gainstage.records import Severity
from gainstage.rules.remedies import edit, phrase
from gainstage.rules.table import Fault, Lacking
from gainstage.rules.training.table import training_rule
from gainstage.rules.training.window import Window, middle, need_steps
from gainstage.rules.words import figure, listed

__all__: list[str] = []

ROW = 5  # steps in a row
STOOD = 20
ALMOST_NOTHING = 0.01  # of the gradient
ALWAYS = 0.1


@training_rule("GT501", "Gradients are never cleared", cause="gradients kept")
def kept_gradients(window: Window) -> Iterator[Fault]:
    """The gradients of the step before are still in place when new ones are added to them.

    What it does:
    Compares identity, version and sampled values of every gradient behind a step with those before the next backward
    pass.

    Why it matters:
    The optimizer follows the sum of all gradients since the beginning: a momentum that never fades.

    Null hypothesis:
    A loop clears gradients once a step. Accumulation clears them behind the step that uses them.

    Bound and where it comes from:
    Five steps in a row: an error. No noise produces that.

    Example:
    A loop without zero_grad; zero_grad of another optimizer.

    Remedy:
    Clear them before every backward pass:

        optimizer.zero_grad()

    Reference:
    PyTorch's documentation of torch.optim.Optimizer.zero_grad.
    """
    need_steps(window, ROW + 1)
    if not all(step.carried for step in window.steps[-ROW:]):
        return
    yield Fault(
        Severity.ERROR, "",
        f"The gradients of step {window.now.step - 1} were still in place when those of step {window.now.step} were "
        "added.",
        float(ROW), 0.0, "Nothing clears the gradients of these parameters between two steps.",
        edit("Clear the gradients before every backward pass.", phrase("gradients that are cleared")),
    )  # fmt: skip


@training_rule("GT502", "The model trains in evaluation mode", cause="evaluation mode")
def evaluation_mode(window: Window) -> Iterator[Fault]:
    """The model was left in evaluation mode: steps go on with dropout off and running statistics.

    What it does:
    Reads the mode of the model in every forward pass that is followed by a step. Models without dropout and batch
    normalisation have one mode only and are not judged.

    Why it matters:
    Batch normalisation then divides by statistics that stand still while the weights move, and dropout is off.

    Null hypothesis:
    A model that has trained in training mode goes on in it behind a validation.

    Bound and where it comes from:
    Three steps in a row in evaluation mode, behind steps in training mode: an error.

    Example:
    model.eval() before a validation, and no model.train() behind it.

    Remedy:
    Call it at the beginning of every epoch:

        model.train()

    Reference:
    PyTorch's documentation of torch.nn.Module.eval; Ioffe and Szegedy 2015 for the running statistics.
    """
    need_steps(window, 4)
    if any(step.training for step in window.steps[-3:]) or not window.first[0].training:
        return
    yield Fault(
        Severity.ERROR, "",
        f"The steps {window.now.step - 2} to {window.now.step} were made in evaluation mode, the first ones in "
        "training mode.",
        3.0, 0.0, "The model was set to evaluation mode and not set back.",
        edit("Set the model to training mode behind every validation.", phrase("a model in training mode")),
    )  # fmt: skip


@training_rule("GT503", "Clipping leaves nothing of the gradient", cause="always clipped", times=3, of=4)
def clipped_away(window: Window) -> Iterator[Fault]:
    """Every gradient is shortened to less than a hundredth of its length.

    What it does:
    Compares the norm of the gradient that the optimizer uses with that behind the backward pass, the loss scale taken
    off.

    Why it matters:
    The bound of the clipping then sets the length of all steps, and the learning rate means something else. Plain
    descent stops.

    Null hypothesis:
    Clipping shortens a few outliers, or the first steps.

    Bound and where it comes from:
    In all of the last twenty steps less than a tenth is left, and in the median less than a hundredth: a warning for
    optimizers that follow the gradient's length, a note for those that divide by it (Adam and its like).

    Example:
    A bound of 1e-4 where gradients have a norm of 2.

    Remedy:
    A bound at a few times the usual norm:

        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)

    Reference:
    Pascanu, Mikolov and Bengio 2013, section 3.2, which takes the bound from the average norm.
    """
    need_steps(window, STOOD)
    kept = window.column("kept")[-STOOD:]
    if not np.isfinite(kept).any():
        raise Lacking("a gradient that something changes between the backward pass and the step")
    if np.isnan(kept).any() or kept.max() > ALWAYS or middle(kept) > ALMOST_NOTHING:
        return
    usual = window.recent("gradient")
    scaled = any(word in window.optimizer.lower() for word in ("ada", "lion", "rms", "muon", "lamb"))
    yield Fault(
        Severity.NOTE if scaled else Severity.WARNING, "",
        f"Clipping leaves {figure(100 * middle(kept))} % of the gradient, whose norm is {figure(usual)}, in every one "
        f"of the last {STOOD} steps.",
        middle(kept), ALMOST_NOTHING, "The bound of the clipping is far below the usual norm of the gradient.",
        edit(
            "Clip at a few times the usual norm.",
            phrase("a gradient clipped to a norm", norm=figure(3 * usual)),
        ),
    )  # fmt: skip


@training_rule("GT504", "The loss scale keeps falling", cause="loss scale falls", times=2, of=3)
def falling_scale(window: Window) -> Iterator[Fault]:
    """The loss scale falls and falls, and the steps are skipped.

    What it does:
    Counts the steps that the loss scale has skipped, and reads the scale.

    Why it matters:
    A skipped step trains nothing. Where gradients overflow at a scale of one, no scale can help.

    Null hypothesis:
    A scale that starts at 65,536 or more halves a few times until gradients fit; later it overflows once in a while,
    when it has been doubled.

    Bound and where it comes from:
    Three of the last five steps are skipped at a scale below one; or four of the last ten were skipped behind a stretch
    of thirty that were taken: an error.

    Example:
    Activations beyond 65,504 in float16.

    Remedy:
    Compute in bfloat16, which has the range of float32:

        with torch.autocast("cuda", torch.bfloat16):
            ...

    Reference:
    Micikevicius et al. 2018, Mixed precision training.
    """
    if window.now.scale is None:
        raise Lacking("a loss scale")
    need_steps(window, ROW)
    taken = np.array([step.stepped for step in window.steps])
    lost = int((~taken[-ROW:]).sum()) >= 3 and window.now.scale < 1
    settled = len(taken) > 40 and bool(taken[-40:-10].all())
    if not lost and not (settled and int((~taken[-10:]).sum()) >= 4):
        return
    yield Fault(
        Severity.ERROR, "",
        f"{int((~taken[-10:]).sum())} of the last {min(10, len(taken))} steps were skipped, and the loss scale has "
        f"fallen to {figure(window.now.scale)}.",
        window.now.scale, 1.0, "Activations or gradients overflow float16 at any scale.",
        edit("Compute in a format of a larger range.", phrase("a format of a larger range")),
    )  # fmt: skip


@training_rule("GT505", "A weight stands still", cause="weight stands still", times=2, of=3)
def standing_still(window: Window) -> Iterator[Fault]:
    """Trainable weights are not moved, while others are.

    What it does:
    Looks for weights that get a gradient and are held by no optimizer, and for weights that had a gradient and have had
    none for twenty steps. Frozen weights are left out, and so are weights that never had a gradient.

    Why it matters:
    These layers stay at their start, or where they were cut off.

    Null hypothesis:
    What is trainable and gets a gradient is meant to be trained, and a gradient that a weight once had does not become
    exactly zero.

    Bound and where it comes from:
    Twenty steps without any change, respectively without any gradient: a warning. No noise produces that.

    Example:
    An optimizer of the head alone, the body not frozen; an output that is detached from some step on.

    Remedy:
    Give the optimizer all parameters, or freeze what is to stay:

        body.requires_grad_(False)

    Reference:
    PyTorch's documentation of torch.optim, on parameters; GS704 finds the same before the first step.
    """
    need_steps(window, STOOD)
    if len(window.gradients) < STOOD:
        raise Lacking("gradients of single weights")
    lost, left = _cut_off(window), _left_out(window)
    if not lost and not left:
        return
    paths = lost or left
    more = (
        f"{listed(paths)} had a gradient and have had none" if lost else f"{listed(paths)} get a gradient and no step"
    )
    yield Fault(
        Severity.WARNING, paths[0], f"{more} in the last {STOOD} steps.", float(len(paths)), 0.0,
        phrase("why some gradients are cut") if lost else "No optimizer of this watch holds them.",
        edit("Connect them again.", phrase("an output that gradients pass")) if lost
        else edit("Hand them to the optimizer, or freeze them.", phrase("a frozen part")),
    )  # fmt: skip


def _left_out(window: Window) -> list[str]:
    """Weights with a gradient that no optimizer holds and that do not move."""
    gradients, updates = window.gradients[-STOOD:], window.updates[-STOOD:]
    return [
        p.path
        for i, p in enumerate(window.parameters)
        if p.kernel and not p.held and (gradients[:, i] > 0).all() and not np.isnan(updates[:, i]).any()
        if not updates[:, i].any()
    ]


def _cut_off(window: Window) -> list[str]:
    """Weights whose gradient has become exactly zero or missing, though it was there before and they are not frozen."""
    gradients, updates = window.gradients, window.updates[-STOOD:]
    before = gradients[:-STOOD]
    if len(before) < 5 or math.isnan(window.now.gradient or math.nan):
        return []
    gone = [
        i
        for i, p in enumerate(window.parameters)
        if p.kernel and (np.isnan(gradients[-STOOD:, i]) | (gradients[-STOOD:, i] == 0)).all()
        if (before[-5:, i] > 0).all() or (before[:, i] > 0).sum() >= 5
    ]
    frozen = {i for i in gone if np.isnan(updates[:, i]).all()}
    others = any(p.kernel and i not in gone for i, p in enumerate(window.parameters))
    return [window.parameters[i].path for i in gone if i not in frozen] if others else []


@training_rule("GT506", "Clipping is never active", cause="never clipped", times=4, of=4)
def never_clipped(window: Window) -> Iterator[Fault]:
    """Clipping is called at every step and has never shortened a gradient.

    What it does:
    Compares the norm of the gradient before and behind whatever changes it, over the last two hundred steps.

    Why it matters:
    Nothing is wrong; but the bound protects from nothing smaller than itself, and an outlier of many times the usual
    norm passes.

    Null hypothesis:
    A bound that protects is active now and then.

    Bound and where it comes from:
    Not once in two hundred steps: a note.

    Example:
    A bound of 1,000 where gradients have a norm of 2.

    Remedy:
    A bound at a few times the usual norm:

        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)

    Reference:
    Pascanu, Mikolov and Bengio 2013, section 3.2.
    """
    need_steps(window, 200)
    kept = window.column("kept")[-200:]
    if window.now.scale is not None or not np.isfinite(kept).all():
        raise Lacking("a gradient that clipping touches at every step")
    if kept.min() < 0.999:
        return
    usual = window.recent("gradient")
    yield Fault(
        Severity.NOTE, "",
        f"Clipping has shortened none of the last 200 gradients; their median norm is {figure(usual)}.",
        1.0, 0.999, "The bound is above every gradient.",
        edit(
            "Clip at a few times the usual norm.",
            phrase("a gradient clipped to a norm", norm=figure(3 * usual)),
        ),
    )  # fmt: skip
