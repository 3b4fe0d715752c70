"""GS205, GS704 to GS707: who registers the tensors that train, and who holds them."""

from __future__ import annotations

from collections.abc import Iterator

from gainstage.graph import Parameter
from gainstage.records import Profile, Severity, Stray, Wiring
from gainstage.rules.flow import leads_on
from gainstage.rules.need import need_optimizer
from gainstage.rules.remedies import edit, phrase
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.words import listed, place

__all__: list[str] = []


def _wiring(profile: Profile) -> Wiring:
    if profile.wiring is None:
        raise Lacking("who holds the tensors that train was not measured")
    return profile.wiring


@rule("GS205", "Weights take part that the model does not register")
def unregistered(profile: Profile) -> Iterator[Fault]:
    """The model computes with trainable tensors that are none of its parameters.

    What it does:
    Follows the gradient back to every trainable tensor that the forward pass used, and looks for it among the model's
    parameters and, where an optimizer was given, among what that holds. Tensors that only the loss uses are left out.

    Why it matters:
    ``model.parameters()`` does not list them: no optimizer made from it moves them, ``state_dict`` does not save them,
    and ``model.to(device)`` leaves them behind.

    Null hypothesis:
    Every trainable tensor of the forward pass is a registered parameter, or the optimizer holds it (a teacher, a
    prompt).

    Bound and where it comes from:
    None: it is a question of structure. An error, unless the optimizer holds all of them: then a note.

    Example:
    Layers in a plain Python list or dict: self.layers = [nn.Linear(8, 8) for _ in range(4)].

    Remedy:
    Hold them in a container that registers:

        self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(4)])

    Reference:
    PyTorch, nn.ModuleList and nn.Parameter.
    """
    strays = _wiring(profile).strays
    if not strays:
        return
    nodes = profile.graph.nodes
    first = next((nodes[s.node] for s in strays if s.node is not None), None)
    yield Fault(
        Severity.NOTE if all(s.held for s in strays) else Severity.ERROR,
        place(first) if first is not None else "",
        f"{len(strays)} trainable tensors take part in the forward pass and are no parameters of the model: "
        f"{_shapes(strays)}.",
        float(len(strays)),
        0.0,
        phrase("why weights are not registered"),
        edit("Hold the layers in a container that registers them.", phrase("layers that are registered")),
        first.index if first is not None else None,
    )


def _shapes(strays: tuple[Stray, ...]) -> str:
    return listed([str(s.shape) for s in strays])


@rule("GS704", "The optimizer lacks parameters")
def missing(profile: Profile) -> Iterator[Fault]:
    """Trainable parameters get a gradient that the optimizer never applies.

    What it does:
    Compares the parameters that get a gradient with those that the optimizer holds.

    Why it matters:
    What the optimizer does not hold keeps its first values. Behind layers that train, a random map stays in the way.

    Null hypothesis:
    The optimizer holds all that trains. Whoever trains only a head on a fixed body passes the head alone: what is
    missing then lies before everything that is held. A model with several optimizers keeps the others' parameters
    aside.

    Bound and where it comes from:
    None: it is a question of structure. An error where the optimizer holds no parameter of the model; a warning where
    every way from what it holds to the loss passes a parameter that it lacks; else a note.

    Example:
    model.head = nn.Linear(512, 10) after optimizer = Adam(model.parameters()).

    Remedy:
    Make the optimizer when the model is complete:

        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    Reference:
    PyTorch, torch.optim.
    """
    optimizer, wiring = need_optimizer(profile), _wiring(profile)
    if not wiring.missing:
        return
    graph = profile.graph
    lacking = {graph.parameter(path).path for path in wiring.missing}
    held = [q for p in profile.parameters if (q := profile.parameter(p)).trainable and q.path not in lacking]
    weights = [q for q in map(graph.parameter, wiring.missing) if q.role.is_kernel]
    if not wiring.held:
        severity, cause = Severity.ERROR, "The optimizer was made for other tensors, of another or an earlier model."
    elif _in_the_way(profile, weights, held):
        severity = Severity.WARNING
        cause = "Layers that train feed layers that keep their first values, most likely added after the optimizer."
    else:
        severity, cause = Severity.NOTE, "They keep their first values: right where only a part is meant to train."
    yield Fault(
        severity,
        wiring.missing[0],
        f"{optimizer.name} lacks {len(wiring.missing)} trainable parameters that get a gradient: "
        f"{listed(list(wiring.missing))}.",
        float(len(wiring.missing)),
        0.0,
        cause,
        edit(
            "Make the optimizer when the model is complete, or freeze what is not meant to train.",
            phrase(
                "the optimizer made anew at this rate",
                name=optimizer.name,
                rate=f"{max(optimizer.learning_rates, default=1e-3):g}",
            ),
        ),
    )


def _in_the_way(profile: Profile, lacking: list[Parameter], held: list[Parameter]) -> bool:
    """Whether every way from what is held to the loss passes a weight that is not."""
    walls = frozenset(i for q in lacking for i in q.nodes)
    starts = {i for q in held if q.role.is_kernel for i in q.nodes} - walls
    return bool(walls and starts) and starts.isdisjoint(leads_on(profile.graph, walls))


@rule("GS705", "The optimizer holds tensors that the model no longer has")
def stale(profile: Profile) -> Iterator[Fault]:
    """The optimizer moves tensors that take no part.

    What it does:
    Counts what the optimizer holds that is neither a parameter of the model nor used in this pass.

    Why it matters:
    Parameters that were replaced after the optimizer was made are trained in vain, while their successors stand still.

    Null hypothesis:
    An optimizer of one model holds that model's parameters. One for several models holds others' as well.

    Bound and where it comes from:
    None: it is a question of structure. A warning where the optimizer lacks parameters of the model at the same time,
    which is what replacing leaves behind; else a note.

    Example:
    optimizer = Adam(model.parameters()); model.fc.weight = nn.Parameter(torch.empty(10, 512)).

    Remedy:
    Make the optimizer after the last change of the model:

        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    Reference:
    PyTorch, torch.optim.
    """
    optimizer, wiring = need_optimizer(profile), _wiring(profile)
    if not wiring.stale:
        return
    yield Fault(
        Severity.WARNING if wiring.missing else Severity.NOTE,
        "",
        f"{optimizer.name} holds {wiring.stale} tensors that belong to no part of this model or loss.",
        float(wiring.stale),
        0.0,
        "Parameters were replaced after the optimizer was made, or it serves another model too.",
        edit("Make the optimizer anew.", phrase("the optimizer made anew", name=optimizer.name)),
    )


@rule("GS706", "The optimizer holds a parameter twice")
def repeated(profile: Profile) -> Iterator[Fault]:
    """A parameter stands in the optimizer's lists more than once.

    What it does:
    Counts how often each parameter of the model stands in the parameter groups.

    Why it matters:
    Each entry takes a step of its own, so that the parameter moves twice as far, with two sets of moments.

    Null hypothesis:
    Each parameter stands in one group once.

    Bound and where it comes from:
    None: it is a question of structure.

    Example:
    Adam([*model.body.parameters(), *model.parameters()]).

    Remedy:
    List every parameter once:

        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    Reference:
    PyTorch, torch.optim.
    """
    optimizer, wiring = need_optimizer(profile), _wiring(profile)
    if not wiring.repeated:
        return
    yield Fault(
        Severity.WARNING,
        wiring.repeated[0],
        f"{len(wiring.repeated)} parameters stand in {optimizer.name} more than once: {listed(list(wiring.repeated))}.",
        float(len(wiring.repeated)),
        0.0,
        "Lists of parameters that overlap were joined.",
        edit("List every parameter once.", phrase("the optimizer made anew", name=optimizer.name)),
    )


@rule("GS707", "A learning rate of zero")
def standing_still(profile: Profile) -> Iterator[Fault]:
    """The optimizer's learning rate is zero for all its parameters.

    What it does:
    Reads the rate of every parameter group.

    Why it matters:
    Nothing moves.

    Null hypothesis:
    A rate is positive. A warm-up starts at zero, and leaves it with its first step.

    Bound and where it comes from:
    Zero in all groups is a warning, in some a note: a schedule may raise it.

    Example:
    LambdaLR(optimizer, lambda epoch: epoch // 100).

    Remedy:
    Give a rate, or let the schedule start above zero:

        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    Reference:
    PyTorch, torch.optim.lr_scheduler.
    """
    optimizer = need_optimizer(profile)
    zero = [rate for rate in optimizer.learning_rates if rate == 0]
    if not zero:
        return
    everywhere = len(zero) == len(optimizer.learning_rates)
    yield Fault(
        Severity.WARNING if everywhere else Severity.NOTE,
        "",
        f"{len(zero)} of {len(optimizer.learning_rates)} parameter groups of {optimizer.name} have a learning rate of "
        "zero.",
        0.0,
        0.0,
        "The rate was set to zero, or a schedule has put it there.",
        edit("Give a positive rate.", phrase("the optimizer at this rate", name=optimizer.name, rate="1e-3")),
    )
