"""GS206 and GS712 to GS714: wrong gradients, frozen parameters that move, a base that trains, decay on norms."""

from __future__ import annotations

from collections.abc import Iterator

from gainstage.graph import Operation, Role
from gainstage.records import Profile, Severity
from gainstage.rules.adapters import adapters
from gainstage.rules.need import need_optimizer
from gainstage.rules.remedies import edit, phrase
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.words import figure, listed

__all__: list[str] = []

DISAGREES = 0.05  # of the larger slope
_UNDECAYED = frozenset({Role.NORM_SCALE, Role.NORM_SHIFT, Role.BIAS, Role.RECURRENT_BIAS})


@rule("GS712", "Frozen parameters move")
def moving(profile: Profile) -> Iterator[Fault]:
    """Parameters that take no gradient are still changed by the optimizer or by the forward pass.

    What it does:
    Compares the frozen parameters before and after one forward pass, and looks for those that the optimizer holds with
    a gradient that was stored before they were frozen.

    Why it matters:
    An optimizer applies whatever gradient is stored, and with it momentum and weight decay, also of zero. What was
    frozen to be kept drifts away.

    Null hypothesis:
    A frozen parameter is the same number before and after a step.

    Bound and where it comes from:
    None: it is a question of structure. A warning.

    Example:
    loss.backward(); optimizer.zero_grad(set_to_none=False); model.body.requires_grad_(False); optimizer.step().

    Remedy:
    Give the optimizer only what is to train:

        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)

    Reference:
    PyTorch, torch.optim.Optimizer.zero_grad, set_to_none.
    """
    if profile.wiring is None:
        raise Lacking("who holds the tensors that train was not measured")
    moved = profile.wiring.moved
    if not moved:
        return
    yield Fault(
        Severity.WARNING,
        moved[0],
        f"{len(moved)} frozen parameters are changed by a forward pass or by the optimizer: {listed(list(moved))}.",
        float(len(moved)),
        0.0,
        "They were frozen after a gradient was stored for them, or the forward pass writes them.",
        edit("Give the optimizer only what is to train.", phrase("an optimizer of what is to train")),
    )


@rule("GS713", "The base trains beside its adapter")
def base_trains(profile: Profile) -> Iterator[Fault]:
    """A low-rank adapter that starts at zero stands beside a weight that trains as well.

    What it does:
    Looks for two linear layers in series of small rank, without a nonlinearity between, that are added to a third one
    of the same input and output, and whose product is zero at the start; then asks whether the third one is trainable.

    Why it matters:
    Adapters exist so that the base keeps its weights. If it trains too, memory and forgetting are those of full
    fine-tuning, and the adapter adds nothing that the base could not learn.

    Null hypothesis:
    The weight that an adapter adapts is frozen. Whoever trains both on purpose can ignore this note.

    Bound and where it comes from:
    None: it is a question of structure. A note.

    Example:
    model = add_adapters(model); optimizer = Adam(model.parameters()), without freezing the model first.

    Remedy:
    Freeze the model before the adapters are added:

        model.requires_grad_(False)

    Reference:
    Hu et al. 2022, LoRA, section 4.1.
    """
    trained = [found for found in adapters(profile) if found.silent and profile.graph.parameter(found.base).trainable]
    if trained:
        yield Fault(
            Severity.NOTE,
            trained[0].base,
            f"{len(trained)} weights train beside a low-rank adapter of theirs that starts at zero: "
            f"{listed([found.base for found in trained])}.",
            float(len(trained)),
            0.0,
            "The base was not frozen before adapters were added to it.",
            edit("Freeze the base, if it is meant to stay.", phrase("a frozen base")),
        )


@rule("GS714", "Weight decay on norms and biases")
def decay_everywhere(profile: Profile) -> Iterator[Fault]:
    """The optimizer decays scales and shifts of normalisations, and biases, like weights.

    What it does:
    Lists the parameters with a decay above zero whose role is the scale or shift of a normalisation, or a bias.

    Why it matters:
    These have no overfitting to prevent. A decayed scale shrinks the layer behind it; recipes of large models leave
    them out, for a small gain.

    Null hypothesis:
    Decay is for matrices.

    Bound and where it comes from:
    None: it is a question of structure. A note: networks train either way.

    Example:
    AdamW(model.parameters(), weight_decay=0.1) on a network with layer norms.

    Remedy:
    Two groups of parameters:

        decay = [p for p in model.parameters() if p.dim() > 1]
        other = [p for p in model.parameters() if p.dim() <= 1]
        optimizer = torch.optim.AdamW([{"params": decay}, {"params": other, "weight_decay": 0.0}], lr=1e-3)

    Reference:
    He et al. 2019, Bag of Tricks for Image Classification, section 3.1; Brown et al. 2020, appendix B.
    """
    optimizer = need_optimizer(profile)
    if profile.wiring is None:
        raise Lacking("who holds the tensors that train was not measured")
    wanted = [path for path in profile.wiring.decayed if profile.graph.parameter(path).role in _UNDECAYED]
    normed = any(node.operation is Operation.NORMALIZATION for node in profile.graph.nodes)
    if wanted and normed:  # without normalisations biases are few, and nobody leaves them out
        yield Fault(
            Severity.NOTE,
            wanted[0],
            f"{optimizer.name} decays {len(wanted)} scales, shifts and biases: {listed(wanted)}.",
            float(len(wanted)),
            0.0,
            "All parameters are in groups with weight decay.",
            edit("Put them into a group without decay.",
                 phrase("decay for matrices alone", name=optimizer.name)),
        )  # fmt: skip


@rule("GS206", "A gradient disagrees with finite differences")
def wrong_backward(profile: Profile) -> Iterator[Fault]:
    """The backward pass returns another slope of the loss than the loss itself has.

    What it does:
    Only where it is asked for: moves every trainable parameter a little along one direction, half gradient and half
    random, and compares the change of the loss with what the gradient says; in PyTorch in double precision.

    Why it matters:
    A hand-written backward that is wrong by a factor, a sign or a transposition trains, and ends worse for reasons
    nobody finds.

    Null hypothesis:
    Both slopes agree, up to what a finite step leaves open: the difference between two steps, one twice the other.

    Bound and where it comes from:
    A twentieth of the larger slope, and ten times that difference. A warning: straight-through estimators and reversed
    gradients disagree on purpose.

    Example:
    A torch.autograd.Function whose backward forgets a factor of two.

    Remedy:
    Check the function by itself, and correct its backward:

        torch.autograd.gradcheck(MyFunction.apply, (x.double().requires_grad_(),))

    Reference:
    PyTorch, torch.autograd.gradcheck.
    """
    if profile.gradient_checks is None:
        raise Lacking("gradients were not checked against finite differences (check_gradients=True)")
    wrong = [found for found in profile.gradient_checks if found.error > DISAGREES and found.certain]
    if wrong:
        worst = max(wrong, key=lambda found: found.error)
        yield Fault(
            Severity.WARNING,
            worst.path,
            f"Along one direction the loss changes by {figure(worst.numeric)} a unit, and the gradient says "
            f"{figure(worst.analytic)}; so at {len(wrong)} of {len(profile.gradient_checks)} parameters.",
            worst.error,
            DISAGREES,
            "A backward pass between this parameter and the loss is wrong, or is another one on purpose.",
            edit("Check hand-written backward passes.", phrase("a check of a gradient")),
        )
