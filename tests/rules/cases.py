"""For every rule, profiles on which it fires; and healthy profiles on which none does."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

from gainstage.graph import DerivationStep, Node, Operation, Parameter, Use
from gainstage.records import (
    Attempt,
    CoordinateFacts,
    GradientCheck,
    InputFacts,
    LossFacts,
    LossShape,
    Note,
    OptimizerFacts,
    Overfit,
    Profile,
    Reactions,
    Refold,
    Step,
    Stray,
    TargetFacts,
    UnitStats,
    Wiring,
)
from rules.builders import (
    CLASSES,
    EXAMPLES,
    WIDTH,
    Net,
    chain,
    loss_of,
    mlp,
    moments,
    output_of,
    regression,
    residual,
    with_task,
)

__all__ = ["FIRING", "HEALTHY"]

Build = Callable[[], Profile]


def shape_of_logits(function: str, kind: str = "cross_entropy", operation: Operation = Operation.ACTIVATION) -> Profile:
    """A classifier with an activation behind its head."""
    net = chain(2)
    net.put(operation, function, function=function, path="last", level=0.3, settings=(("axis", 1.0),))
    whole = net.profile(kind=kind)
    return with_task(whole, output=dataclasses.replace(output_of(whole), function=function, minimum=0.0, maximum=1.0))


def with_loss(profile: Profile, **facts: object) -> Profile:
    return with_task(profile, loss=dataclasses.replace(loss_of(profile), **facts))


SOUND = LossShape(8, 2.3, 0.0, None, 1.0, 1.2, towards=1.0, responds=0.8, own_rank=1.0)
"""Cross-entropy, probed."""


def loss_form(function: str = "", **facts: object) -> Profile:
    """A classifier whose loss alone was probed, with these figures in place of a sound loss's."""
    return with_task(with_output(mlp(), function=function), loss_shape=dataclasses.replace(SOUND, **facts))  # type: ignore[arg-type]


def regression_form(function: str = "", **facts: object) -> Profile:
    shape = dataclasses.replace(SOUND, **{"own_rank": None, "correlation": 0.99} | facts)  # type: ignore[arg-type]
    return with_task(with_output(regression(), function=function), loss_shape=shape)


def reacting(**facts: object) -> Profile:
    return dataclasses.replace(mlp(), reactions=Reactions(8, **facts))  # type: ignore[arg-type]


def joint(**facts: object) -> Profile:
    """A loss of several outputs."""
    shape = dataclasses.replace(SOUND, **{"own_rank": None, "towards": None} | facts)  # type: ignore[arg-type]
    return with_task(mlp(), loss_shape=None, joint_shape=shape)


def all_targets(profile: Profile, value: float) -> Profile:
    target = profile.task.target
    assert target is not None
    return with_task(profile, target=dataclasses.replace(target, minimum=value, maximum=value, mean=value, spread=0.0))


def all_dead() -> Profile:
    """One rectified unit, zero for every example, and outputs that are all equal."""
    net = Net()
    net.linear("density", 1)
    net.activation()
    zero = net.profile()
    nodes = tuple(
        dataclasses.replace(n, units=UnitStats(units=1, observations=EXAMPLES, examples=EXAMPLES, zero=1))
        if zero.graph.nodes[n.node].operation is Operation.ACTIVATION
        else n
        for n in zero.nodes
    )
    return dataclasses.replace(zero, nodes=nodes, reactions=Reactions(8, equal=True))


def dropping(rate: float, noise: float) -> Profile:
    net = Net()
    net.linear("hidden")
    net.activation()
    net.put(Operation.DROPOUT, "dropout", function="dropout", path="drop", settings=(("p", rate),))
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return dataclasses.replace(net.profile(), reactions=Reactions(8, leak=0.0, noise=noise))


def attending(level: float) -> Profile:
    """Sixteen keys whose weights have this root mean square: 0.0625 where they are even, 0.25 where one has all."""
    net = Net(width=16)
    start = net.last
    query, key = net.linear("query", 16, source=start), net.linear("key", 16, source=start)
    net.put(Operation.MATMUL, "bmm", inputs=(query, key))
    weights = net.put(
        Operation.SOFTMAX, "_softmax", function="softmax", path="attend", level=level, settings=(("axis", 1.0),)
    )
    net.put(Operation.MATMUL, "bmm", inputs=(weights, net.linear("value", 16, source=start)))
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def fused(level: float) -> Profile:
    """Attention as one operation, with queries and keys of this level at the usual factor."""
    net = Net()
    start = net.last
    query, key = net.linear("query", source=start, level=level), net.linear("key", source=start)
    settings = (("keys", 16.0), ("width", float(WIDTH)), ("scale", WIDTH**-0.5))
    net.put(Operation.ATTENTION, "attention", inputs=(query, key, start), path="attend", level=0.5, settings=settings)
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def squeezed(function: str) -> Profile:
    """Attention over 64 keys whose scores pass a bounded function."""
    net = Net()
    start = net.last
    net.linear("scores")
    net.activation(function, saturated_share=0.0, stuck=0)
    weights = net.put(Operation.SOFTMAX, "_softmax", function="softmax", path="attend", settings=(("axis", 1.0),))
    net.put(Operation.MATMUL, "bmm", inputs=(weights, net.linear("value", source=start)))
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def linear_alone() -> Profile:
    net = Net()
    net.linear("first")
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def refolded(before: tuple[int, ...], after: tuple[int, ...]) -> Profile:
    return dataclasses.replace(mlp(), refolds=(Refold(1, before, after),))


def stored(level: float) -> Profile:
    """A batch normalisation in evaluation mode whose output has this level."""
    net = Net()
    net.norm("norm", "batch_norm", spread=level, training=False)
    net.linear("hidden")
    net.activation()
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def clipped(share: float) -> Profile:
    return with_output(regression("clamp"), clipped=share, minimum=0.0, maximum=5.0)


def aligned(slack: float) -> Profile:
    """A loss that aligns sequences, with so many steps more than labels."""
    whole = mlp()
    loss = dataclasses.replace(whole.graph.nodes[-1], settings=(("slack", slack),))
    graph = dataclasses.replace(whole.graph, nodes=(*whole.graph.nodes[:-1], loss))
    return dataclasses.replace(whole, graph=graph)


def two_terms(reduction: str) -> Profile:
    """A loss of a mean and of a second term that is reduced in this way."""
    whole = mlp()
    output, last = whole.graph.outputs[0], len(whole.graph.nodes) - 1
    more = (
        Node(last + 1, Operation.REDUCTION, reduction, (output,), (), function=reduction, stage="loss"),
        Node(last + 2, Operation.ADD, "add", (last, last + 1), (), stage="loss"),
    )
    graph = dataclasses.replace(whole.graph, nodes=(*whole.graph.nodes, *more), loss=last + 2)
    return dataclasses.replace(whole, graph=graph)


def over_coordinates(step: float, *, smooth: bool = True) -> Profile:
    """A regression over two coordinates: the step of its targets between neighbours; its outputs make one of 0.08."""
    return with_task(regression(), coordinates=CoordinateFacts(2, 0.06, step, 0.08, smooth))


def waves() -> Profile:
    """A sine of a first layer of level 100, where neighbours are a tenth of the typical distance apart."""
    net = Net()
    net.linear("first", level=100.0)
    net.put(Operation.ACTIVATION, "sin", function="sin", path="sin", level=0.7)
    net.linear("head", 1, gain=0.5, level=0.4)
    return with_task(net.profile(kind="mse"), coordinates=CoordinateFacts(2, 0.1, 0.2, 0.9, True))


def directed(**facts: float) -> Profile:
    """An optimizer's first step in these directions."""
    whole = mlp()
    assert whole.step is not None
    return dataclasses.replace(whole, step=dataclasses.replace(whole.step, **facts))


def remembering(memory: float, squares: float | None = None) -> Profile:
    return with_task(mlp(), optimizer=OptimizerFacts("Adam", (0.1,), memory, squares))


def wired(**facts: object) -> Profile:
    return dataclasses.replace(mlp(), wiring=Wiring(**facts))  # type: ignore[arg-type]


def worded(level: float) -> Profile:
    """A table of words of this level, and positions that do not depend on them."""
    net = Net()
    table = net.put(Operation.EMBEDDING, "embedding", path="words", level=level, gradient=None)
    net.put(Operation.OFFSET, "add", inputs=(table,), path="", level=math.hypot(level, 0.7))
    net.linear("hidden")
    net.activation()
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def adapted(level: float) -> Profile:
    """A frozen layer and a branch beside it that trains."""
    net = Net()
    frozen = net.linear("base")
    branch = net.linear("adapter", source=0, level=level)
    net.put(Operation.ADD, "add", inputs=(frozen, branch), level=math.hypot(1.0, level))
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    whole = net.profile()
    parameters = tuple(dataclasses.replace(p, trainable=not p.path.startswith("base")) for p in whole.graph.parameters)
    return dataclasses.replace(whole, graph=dataclasses.replace(whole.graph, parameters=parameters))


def rated(*rates: float) -> Profile:
    return with_task(mlp(), optimizer=OptimizerFacts("SGD", rates))


def stepped(after: float) -> Profile:
    """An optimizer whose first step takes the loss there."""
    whole = with_updates(0.3)
    return dataclasses.replace(whole, step=Step(-1.0, 2 * (after - loss_of(whole).value + 1.0), after))


def with_output(profile: Profile, **facts: object) -> Profile:
    return with_task(profile, output=dataclasses.replace(output_of(profile), **facts))


def with_input(**facts: object) -> Profile:
    whole = mlp()
    return with_task(whole, inputs=(dataclasses.replace(whole.task.inputs[0], **facts),))


def with_updates(update: float, dtype: str = "float32") -> Profile:
    net = Net(dtype=dtype)
    for i in range(3):
        net.linear(f"layers.{i}", update=update)
        net.activation()
    net.linear("head", CLASSES, gain=0.3, level=0.3, update=update)
    return net.profile()


def raw(first: float) -> Profile:
    whole = chain(3, level=lambda i: first).profile()
    return with_task(
        whole, inputs=(dataclasses.replace(whole.task.inputs[0], mean=120.0, spread=80.0, minimum=0.0, maximum=255.0),)
    )


def one_unit(softmax: bool) -> Profile:
    net = Net()
    net.linear("hidden")
    net.activation()
    net.linear("head", 1, gain=0.3)
    if softmax:
        net.put(Operation.SOFTMAX, "_softmax", function="softmax", path="last", settings=(("axis", 1.0),))
    return net.profile(kind="bce" if softmax else "cross_entropy")


def out_of_scale(gain: float) -> Profile:
    net = chain(2)
    net = Net()
    net.linear("layers.0")
    net.activation()
    net.linear("layers.1", gain=gain, level=gain)
    net.activation()
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def one_spread(spread: float) -> Profile:
    net = Net(width=784)
    for i, width in enumerate((256, 128, 64)):
        net.linear(f"layers.{i}", width, spread=spread)
        net.activation()
    net.linear("head", CLASSES, spread=spread, level=0.3)
    return net.profile()


def hidden(operation: Operation, function: str) -> Profile:
    net = Net()
    net.linear("first", 128)
    net.put(operation, function, function=function, path="middle", level=0.01, settings=(("axis", 1.0),))
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def tokens(correlations: tuple[float, ...], operation: Operation = Operation.NORMALIZATION) -> Profile:
    net = Net()
    for i, r in enumerate(correlations):
        net.linear(f"layers.{i}")
        units = UnitStats(WIDTH, EXAMPLES, EXAMPLES, example_correlation=0.1, token_correlation=r)
        net.put(operation, "layer_norm", function="layer_norm", path=f"norms.{i}", level=1.0, units=units)
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def symmetric(*, spread: float, head_too: bool, gradient: float = 1.0) -> Profile:
    net = Net()
    for i in range(2):
        net.linear(f"layers.{i}", spread=spread, constant=True, copies=WIDTH - 1, gradient=gradient)
        net.activation()
    net.linear("head", CLASSES, gain=0.3, level=0.3, constant=head_too, copies=CLASSES - 1 if head_too else 0)
    return net.profile()


def one_alike() -> Profile:
    net = Net()
    net.linear("layers.0", constant=True, copies=WIDTH - 1)
    net.activation()
    net.linear("layers.1")
    net.activation()
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def twins() -> Profile:
    whole = mlp()
    assert whole.parameters[0].weight == whole.parameters[1].weight
    return whole


def silent(count: int) -> Profile:
    """The first weights have a gradient of exactly zero for no reason."""
    net = Net()
    for i in range(4):
        net.linear(f"layers.{i}", relative=0.0 if i < count else 0.01)
        net.activation()
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def detached() -> Profile:
    net = Net()
    net.linear("body", gradient=None)
    net.activation()
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def unused() -> Profile:
    whole = mlp()
    extra = dataclasses.replace(whole.graph.parameters[0], path="aside.weight", nodes=())
    graph = dataclasses.replace(whole.graph, parameters=(*whole.graph.parameters, extra))
    return dataclasses.replace(whole, graph=graph)


def batch_of_one(function: str) -> Profile:
    net = Net(examples=1)
    net.linear("first", share=None)
    net.norm("norm", function)
    net.activation()
    net.linear("head", CLASSES, gain=0.3, level=0.3, share=None)
    return net.profile()


def starved(spread: float) -> Profile:
    net = Net()
    net.linear("first")
    net.norm("norm", "batch_norm", spread=spread)
    net.activation()
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def dead(zero: int, correlation: float = 0.0) -> Profile:
    net = Net()
    stats = UnitStats(WIDTH, EXAMPLES, EXAMPLES, example_correlation=correlation)
    net.linear("first", units=stats)
    net.activation(zero=zero, zero_share=0.5)
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def saturated(share: float) -> Profile:
    net = Net()
    net.linear("first", level=5.0)
    net.activation("tanh", saturated_share=share, stuck=0)
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def copied(copies: int) -> Profile:
    net = Net()
    net.linear("first", copies=copies)
    net.activation()
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def broadcast() -> Profile:
    whole = regression(shape=(EXAMPLES,))
    loss = whole.graph.loss
    assert loss is not None
    nodes = list(whole.graph.nodes)
    nodes[loss] = dataclasses.replace(nodes[loss], settings=(("terms", float(EXAMPLES**2)),))
    return dataclasses.replace(whole, graph=dataclasses.replace(whole.graph, nodes=tuple(nodes)))


def nonfinite(function: str) -> Profile:
    net = Net()
    net.linear("first")
    bad = net.put(Operation.ACTIVATION, function, function=function, path="middle", level=math.nan)
    net.linear("head", CLASSES, gain=0.3, level=math.nan)
    return with_loss(net.profile(first_nonfinite=bad), value=math.nan)


def half(*, extreme: float = 4.0, gradient: float = 1.0) -> Profile:
    whole = chain(3, gradient=lambda _: gradient).profile()
    nodes = tuple(
        dataclasses.replace(n, forward=dataclasses.replace(n.forward, maximum=extreme, minimum=-1.0))
        for n in whole.nodes
    )
    return dataclasses.replace(whole, nodes=nodes, source=dataclasses.replace(whole.source, dtype="float16"))


def autocast(**figures: float) -> Profile:
    """Layers computed in float16, and logits in float32."""
    whole = half(**figures)
    nodes = tuple(dataclasses.replace(n, dtype="float16") for n in whole.nodes[:-1])
    source = dataclasses.replace(whole.source, dtype="float32")
    return dataclasses.replace(whole, nodes=(*nodes, whole.nodes[-1]), source=source)


def underflown() -> Profile:
    """Gradients in float16: a few times the smallest number at the output, and exactly zero before it."""
    whole = half()
    last = whole.nodes[-1]
    sizes = {n.node: 0.0 for n in whole.nodes} | {last.node: 3e-7}
    nodes = tuple(dataclasses.replace(n, backward=moments(sizes[n.node])) for n in whole.nodes)
    return dataclasses.replace(whole, nodes=nodes)


def overfitted(*ends: float, given: bool = False) -> Profile:
    """A short training with one optimizer after the other, each of which falls to that loss from 2.3."""
    attempts = tuple(
        Attempt("Adam", 1e-3, tuple(end + (2.3 - end) * 0.8**step for step in range(100)), given and not number)
        for number, end in enumerate(ends)
    )
    return dataclasses.replace(mlp(), overfit=Overfit(attempts, 0.0, 2.2))


def lora(*, trainable: bool = True, zero: bool = True, rank: int = 4) -> Profile:
    """A layer with a low-rank branch beside it, and a head."""
    net = Net()
    start = net.last
    base = net.linear("base", trainable=trainable, relative=0.01 if trainable else None)
    net.linear("down", rank, source=start, gradient=0.0 if zero else 1.0)
    up = net.linear("up", spread=0.0 if zero else 0.01, level=0.0 if zero else 0.1)
    net.add(base, up)
    net.activation()
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def experts(*loads: int, tokens: int = EXAMPLES) -> Profile:
    """Expert layers that each read some rows of one tensor; those without rows do not run."""
    net = Net(examples=tokens)
    unlike = UnitStats(WIDTH, tokens, tokens, example_correlation=0.0)
    source = net.linear("stem", units=unlike)
    silent = []
    for number, load in enumerate(loads):
        path = f"experts.{number}.first"
        if not load:
            silent.append(path)
            continue
        picked = net.put(Operation.RESHAPE, "index", function="gather", inputs=(source,), shape=(load, WIDTH))
        net.linear(path, source=picked)
    for path in silent:
        net.parameters[f"{path}.weight"] = Parameter(f"{path}.weight", (WIDTH, WIDTH), "float32")
    net.linear("head", CLASSES, source=source, gain=0.3, level=0.3)
    return net.profile()


def state_space(low: float, high: float, *, length: int = 32, exponential: bool = True) -> Profile:
    """Factors between those bounds that are exponentials of a product with −exp of a parameter."""
    net = Net()
    derivation = (DerivationStep.EXPONENTIAL, DerivationStep.NEGATE) if exponential else ()
    shape = (EXAMPLES, length, WIDTH)
    net.nodes[0] = dataclasses.replace(net.nodes[0], shape=shape)
    stem = net.linear("stem")
    product = net.put(Operation.SCALE, "mul", uses=(Use("a", "operand", derivation),), level=1.0)
    net.parameter("a", (WIDTH,), product, moments(1.0, WIDTH), gradient=moments(0.1, WIDTH))
    index = net.put(Operation.ACTIVATION, "exp", function="exp", level=high, path="scan")
    forward = dataclasses.replace(net.at[index].forward, minimum=low, maximum=high)
    net.at[index] = dataclasses.replace(net.at[index], forward=forward)
    net.put(Operation.MULTIPLY, "mul", inputs=(index, stem))  # factors of states, which no weight reads
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def checked(*checks: GradientCheck) -> Profile:
    return dataclasses.replace(mlp(), gradient_checks=checks)


def normed_with(**facts: object) -> Profile:
    return dataclasses.replace(chain(3, norm="layer_norm").profile(), wiring=Wiring(held=7, **facts))  # type: ignore[arg-type]


def gradient_nan() -> Profile:
    net = Net()
    net.linear("first", gradient=math.nan)
    net.put(Operation.ACTIVATION, "sqrt", function="sqrt", path="middle")
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def noted(code: str) -> Profile:
    return dataclasses.replace(mlp(), notes=(Note(code, "Something was not seen."),))


def labels(target: TargetFacts, profile: Profile | None = None) -> Profile:
    return with_task(profile or mlp(), target=target)


FIRING: Mapping[str, tuple[Build, ...]] = {
    "GS101": (lambda: chain(10, level=lambda i: 0.3**i).profile(),
              lambda: chain(30, level=lambda i: 0.08**i).profile()),
    "GS102": (lambda: chain(10, level=lambda i: 8.0**i).profile(),),
    "GS103": (lambda: out_of_scale(28.0), lambda: out_of_scale(0.01)),
    "GS104": (lambda: one_spread(1.0), lambda: one_spread(0.01)),
    "GS105": (lambda: dead(WIDTH), lambda: dead(20), all_dead),
    "GS106": (lambda: saturated(0.84), lambda: saturated(0.99)),
    "GS107": (lambda: hidden(Operation.SOFTMAX, "softmax"), lambda: hidden(Operation.SOFTMAX, "log_softmax")),
    "GS108": (lambda: hidden(Operation.ACTIVATION, "exp"),),
    "GS109": (lambda: chain(12, share=lambda i: 0.02**i).profile(),),
    "GS110": (lambda: tokens((0.1, 0.9, 0.999, 0.9999999)),),
    "GS111": (lambda: reacting(leak=0.1), lambda: reacting(leak=0.5)),
    "GS112": (lambda: dropping(0.9, noise=20.0),),
    "GS113": (lambda: worded(0.02), lambda: adapted(3.0)),
    "GS114": (lambda: attending(0.27), lambda: fused(8.0)),
    "GS115": (lambda: squeezed("sigmoid"), lambda: squeezed("tanh")),
    "GS116": (linear_alone,),
    "GS117": (lambda: refolded((EXAMPLES, 10, 7), (EXAMPLES, 7, 10)),),
    "GS118": (lambda: reacting(restless=True),),
    "GS119": (lambda: experts(62, 1, 1, 0), lambda: experts(22, 21, 21, 0)),
    "GS120": (lambda: state_space(0.0, 0.01), lambda: state_space(0.9999, 1.0)),
    "GS201": (lambda: chain(12, function="sigmoid", gradient=lambda i: 0.14 ** (12 - i)).profile(),),
    "GS202": (lambda: chain(12, gradient=lambda i: 3.0 ** (12 - i)).profile(),),
    "GS203": (lambda: silent(1), lambda: silent(4)),
    "GS204": (detached, unused),
    "GS205": (lambda: wired(strays=(Stray((8, 8), 1),)), lambda: wired(strays=(Stray((8, 8), 1, True),))),
    "GS206": (lambda: checked(GradientCheck("head.weight", 2.0, 1.0, 1e-6)),),
    "GS301": (lambda: symmetric(spread=0.1, head_too=True), lambda: symmetric(spread=0.0, head_too=False, gradient=0.0),
              one_alike),
    "GS302": (lambda: copied(WIDTH // 2),),
    "GS303": (twins,),
    "GS401": (lambda: batch_of_one("batch_norm"),),
    "GS402": (lambda: starved(0.01),),
    "GS403": (lambda: residual(before="shut").profile(),),
    "GS404": (lambda: stored(80.0),),
    "GS501": (lambda: with_loss(mlp(), value=12.0), lambda: with_loss(mlp(), value=3.5),
              lambda: with_loss(regression(), value=500.0)),
    "GS502": (lambda: with_output(mlp(), spread_within=1.5), lambda: with_output(mlp(), spread_within=8.0)),
    "GS503": (lambda: with_loss(with_output(shape_of_logits("softmax", "probability_nll", Operation.SOFTMAX),
                                            minimum=1e-9, maximum=1.0), kind="probability_nll", value=15.0),),
    "GS504": (lambda: shape_of_logits("softmax", operation=Operation.SOFTMAX),
              lambda: shape_of_logits("log_softmax", operation=Operation.SOFTMAX)),
    "GS505": (lambda: one_unit(softmax=True), lambda: one_unit(softmax=False)),
    "GS506": (lambda: shape_of_logits("relu"), lambda: shape_of_logits("tanh", "bce_logits")),
    "GS507": (lambda: regression("sigmoid", mean=5.0), lambda: regression("relu"),
              lambda: regression("tanh", spread=2.0)),
    "GS508": (lambda: shape_of_logits("sigmoid"),),
    "GS509": (lambda: with_loss(mlp(), kind="nll"),
              lambda: with_loss(shape_of_logits("softmax", operation=Operation.SOFTMAX), kind="nll"),
              lambda: with_loss(mlp(), kind="probability_nll")),
    "GS510": (lambda: shape_of_logits("sigmoid", "bce_logits"),),
    "GS511": (lambda: labels(TargetFacts((EXAMPLES, CLASSES), "multi_label", 0, 1, 0.4, 0.49, None, 0.67)),),
    "GS512": (broadcast, lambda: labels(TargetFacts((EXAMPLES,), "classes", 0, 2, 1.0, 0.8, 3, 1.09))),
    "GS513": (lambda: labels(TargetFacts((1000,), "classes", 0, 9, 0.1, 0.5, 10, 0.2)),),
    "GS514": (lambda: loss_form(growth=1.0, lowest=-8000.0), lambda: loss_form(growth=1.0, towards=0.0),
              lambda: regression_form(growth=1.0, lowest=-8000.0), lambda: joint(growth=2.0)),
    "GS515": (lambda: loss_form(responds=0.002), lambda: loss_form("softmax", own_rank=0.0),
              lambda: regression_form(alike=0.0),
              lambda: loss_form("softmax", at_target=0.9, distance=1.2, lowest=0.5)),
    "GS516": (lambda: loss_form(slope=1e-5), lambda: regression_form("sigmoid", slope=0.0)),
    "GS517": (lambda: clipped(0.8), lambda: clipped(1.0)),
    "GS518": (lambda: aligned(-3.0),),
    "GS519": (lambda: two_terms("sum"),),
    "GS520": (lambda: regression_form(ignored=0.5), lambda: joint(ignored=0.5)),
    "GS522": (lambda: with_task(mlp(), loss_shape=dataclasses.replace(SOUND, elsewhere=True)),),
    "GS601": (lambda: with_input(feature_spread=(0.5, 1.0, 3000.0)),
              lambda: with_input(feature_spread=(0.5, 1.0, 30.0))),
    "GS602": (lambda: raw(80.0), lambda: with_input(mean=0.0, spread=1e-4)),
    "GS603": (lambda: with_input(constant_features=3), lambda: with_input(constant_features=WIDTH)),
    "GS604": (lambda: regression(mean=2e5, spread=5e4), lambda: regression(mean=20.0, spread=9.0)),
    "GS605": (lambda: all_targets(mlp(), 2.0), lambda: all_targets(regression(), 0.0)),
    "GS608": (lambda: reacting(copies=1.0),),
    "GS606": (lambda: reacting(unread=0.9), lambda: reacting(equal=True)),
    "GS607": (lambda: over_coordinates(0.8), waves),
    "GS701": (lambda: stepped(6.0), lambda: stepped(600.0)),
    "GS702": (lambda: with_updates(1e-7),),
    "GS703": (lambda: dataclasses.replace(mlp(), step=Step(-1.0, 20.0, 11.0)),
              lambda: dataclasses.replace(mlp(), step=Step(-1.0, 1.0, math.inf))),
    "GS704": (lambda: wired(missing=("head.weight",), held=3),
              lambda: wired(missing=("layers.0.weight",), held=5), lambda: wired(missing=("head.weight",), held=0)),
    "GS705": (lambda: wired(missing=("head.weight",), held=4, stale=1), lambda: wired(held=6, stale=2)),
    "GS706": (lambda: wired(held=6, repeated=("head.weight",)),),
    "GS707": (lambda: rated(0.0), lambda: rated(0.0, 1e-3)),
    "GS708": (lambda: directed(climbs=-0.1, shrinks=0.95, share=0.1),),
    "GS709": (lambda: directed(climbs=1.0, shrinks=0.0, share=0.1),),
    "GS710": (lambda: remembering(1.5), lambda: remembering(0.999, 0.9)),
    "GS712": (lambda: wired(held=6, moved=("layers.0.weight",)),),
    "GS713": (lora,),
    "GS714": (lambda: normed_with(decayed=("norms.0.weight", "head.weight")),),
    "GS711": (lambda: overfitted(2.25, 2.28, 2.29), lambda: overfitted(2.29, 0.01, given=True)),
    "GS801": (lambda: nonfinite("log"), lambda: with_loss(mlp(), value=math.inf)),
    "GS802": (lambda: half(extreme=3e4), lambda: autocast(extreme=3e4)),
    "GS803": (lambda: half(gradient=1e-8), lambda: autocast(gradient=1e-8), underflown),
    "GS804": (lambda: with_updates(1e-3, "bfloat16"),),
    "GS805": (gradient_nan,),
    "GS901": (lambda: noted("GS901"),),
    "GS902": (lambda: noted("GS902"),),
    "GS903": (lambda: noted("GS903"),),
}  # fmt: skip


def logistic() -> Profile:
    net = Net()
    net.linear("head", CLASSES, spread=0.0, level=0.0, constant=True, copies=CLASSES - 1)
    return net.profile()


def adapter() -> Profile:
    """A frozen layer with a low-rank branch whose second weight is zero."""
    net = Net()
    start = net.last
    base = net.linear("base", trainable=False, relative=None, gradient=None)
    net.linear("lora.a", 4, source=start, gradient=0.0)
    low = net.linear("lora.b", spread=0.0, level=0.0, constant=True, copies=WIDTH - 1)
    net.add(base, low)
    net.activation()
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def zero_head() -> Profile:
    net = Net()
    for i in range(3):
        net.linear(f"layers.{i}", gradient=0.0)
        net.activation()
    net.linear("head", CLASSES, spread=0.0, level=0.0, constant=True, copies=CLASSES - 1)
    return net.profile()


def tied() -> Profile:
    """One weight used at every depth: its gradient cannot drift."""
    net = Net()
    for i in range(6):
        net.linear("cell", gradient=0.01 ** (6 - i), relative=0.01)
        net.activation("tanh", saturated_share=0.02, stuck=0)
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def pixels_before_a_norm() -> Profile:
    net = chain(3, norm="batch_norm", level=lambda _: 80.0)
    whole = net.profile()
    return with_task(whole, inputs=(dataclasses.replace(whole.task.inputs[0], mean=120.0, spread=80.0, maximum=255.0),))


def attention_probabilities() -> Profile:
    """A softmax that weights another signal."""
    net = Net()
    start = net.last
    net.linear("scores")
    weights = net.put(Operation.SOFTMAX, "_softmax", function="softmax", settings=(("axis", 1.0),))
    value = net.linear("value", source=start)
    net.put(Operation.MATMUL, "bmm", inputs=(weights, value))
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def closed_branches() -> Profile:
    """Branches behind a layer scale of 1e-6: what lies in them has a gradient that is smaller by that."""
    net = Net()
    stream = net.linear("stem")
    for i in range(8):
        net.linear(f"blocks.{i}.up", source=stream, gradient=1e-6)
        net.activation("gelu")
        net.linear(f"blocks.{i}.down", gradient=1e-6)
        branch = net.put(Operation.SCALE, "mul", uses=(Use(f"blocks.{i}.gamma", "scale"),))
        net.parameter(
            f"blocks.{i}.gamma", (WIDTH,), branch, moments(1e-6, WIDTH), gradient=moments(0.1, WIDTH), constant=True
        )
        stream = net.add(stream, branch)
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net.profile()


def probabilities() -> Profile:
    """A softmax at the end whose loss takes the logarithm itself."""
    whole = shape_of_logits("softmax", "probability_nll", Operation.SOFTMAX)
    return with_loss(whole, kind="probability_nll", inner="log")


def sequence() -> Profile:
    whole = tokens((0.1, 0.3, 0.5, 0.6))
    facts = InputFacts((EXAMPLES, 16), "tokens")
    return with_task(whole, inputs=(facts,))


def without_loss() -> Profile:
    whole = mlp()
    surrogate = LossFacts("surrogate", 0.1)
    return with_task(whole, loss=surrogate, target=None, optimizer=None)


def adam_on_a_small_head() -> Profile:
    """One weight that starts small moves far in relation; the median does not."""
    net = Net()
    for i in range(4):
        net.linear(f"layers.{i}", update=1e-2)
        net.activation()
    net.linear("head", CLASSES, gain=0.01, level=0.01, update=3.0)
    return with_task(net.profile(), optimizer=OptimizerFacts("Adam", (1e-3,)))


HEALTHY: Mapping[str, Build] = {
    "perceptron": mlp,
    "a sound loss": loss_form,
    "attention over six of sixteen keys": lambda: attending(0.1),
    "fused attention at scores of unit variance": lambda: fused(1.0),
    "statistics of another source of data": lambda: stored(3.0),
    "relu behind which half of the outputs are zero": lambda: with_output(regression(), clipped=0.5),
    "as many labels as time steps": lambda: aligned(0.0),
    "several outputs whose loss falls in proportion": lambda: joint(growth=1.0),
    "tokens that are told from the ones before": lambda: reacting(copies=0.0),
    "outputs that end apart like their targets": lambda: regression_form(alike=0.9),
    "labels that all matter": lambda: regression_form(ignored=0.05),
    "coordinates whose target is as fine as the network": lambda: over_coordinates(0.15),
    "coordinates with noisy targets": lambda: over_coordinates(0.8, smooth=False),
    "a loss of two means": lambda: two_terms("mean"),
    "a window that leaves out a third of the input": lambda: reacting(unread=0.33, equal=False),
    "weight decay beside a gradient": lambda: directed(climbs=-0.4, shrinks=0.2, share=1e-3),
    "Adam's usual memory": lambda: remembering(0.9, 0.999),
    "a large relative step that lowers the loss": lambda: stepped(1.9),
    "words as loud as positions": lambda: worded(0.7),
    "words a fifth as loud as positions": lambda: worded(0.15),
    "an adapter that starts small": lambda: adapted(0.1),
    "rounding between neighbours": lambda: reacting(leak=1e-6),
    "dropout at a half in front of examples that are alike": lambda: dropping(0.5, noise=20.0),
    "dropout at nine tenths that hardly shows": lambda: dropping(0.9, noise=0.2),
    "an optimizer of the head alone": lambda: wired(missing=("layers.0.weight",), held=3),
    "a sound regression": regression_form,
    "policy gradient: a loss without a bound that pushes examples both ways": lambda: loss_form(
        growth=1.0, towards=0.5
    ),
    "policy gradient of values": lambda: regression_form(growth=2.0, towards=0.5),
    "a scaled loss": lambda: with_loss(loss_form(start=2358.0, uninformed=2357.0), value=2358.0),
    "ordinal labels on logits": lambda: loss_form(own_rank=0.05, towards=0.1),
    "targets that are alike": lambda: regression_form(responds=0.001, correlation=0.999),
    "smoothed labels behind a sigmoid": lambda: regression_form("sigmoid", at_target=5.0, lowest=0.2, distance=0.1),
    "PyTorch's default, four relu layers": lambda: chain(
        4, level=lambda i: 0.41**i, gradient=lambda i: 0.41 ** (4 - i), gain=3**-0.5
    ).profile(),
    "thirty layers at He's gain": lambda: chain(30, share=lambda i: 1 / (1 + i) ** 2).profile(),
    "batch-normalised, any scale": lambda: chain(20, norm="batch_norm", level=lambda i: 5.0**i, gain=40.0).profile(),
    "residual": lambda: residual().profile(),
    "residual whose branches start at zero": lambda: residual(branch_scale=0.0).profile(),
    "layer scale of 1e-6": closed_branches,
    "logistic regression from zero": logistic,
    "low-rank adapter from zero": adapter,
    "zero output layer": zero_head,
    "recurrent by hand": tied,
    "raw pixels before a norm": pixels_before_a_norm,
    "attention": attention_probabilities,
    "probabilities to a loss that expects them": probabilities,
    "regression": regression,
    "tanh output for targets in its range": lambda: regression("tanh", spread=0.2),
    "sequence": sequence,
    "no loss": without_loss,
    "small head under Adam": adam_on_a_small_head,
    "two units silent by chance": lambda: dead(2, correlation=0.9),
    "half precision": half,
    "experts in balance": lambda: experts(16, 14, 18, 16),
    "many experts and few tokens": lambda: experts(2, 1, 1, 0, 0, 0, 0, 0, tokens=4),
    "two experts": lambda: experts(60, 4),
    "time constants from one step to the sequence": lambda: state_space(0.2, 0.99),
    "a state that never forgets beside others": lambda: state_space(0.2, 1.0),
    "an exponential of something else": lambda: state_space(0.9999, 1.0, exponential=False),
    "a low-rank adapter on a frozen base": lambda: lora(trainable=False),
    "gradients that agree": lambda: checked(GradientCheck("head.weight", 1.001, 1.0, 1e-6)),
    "a finite difference that is not certain": lambda: checked(GradientCheck("head.weight", 2.0, 1.0, 0.5)),
    "decay on matrices alone": lambda: normed_with(decayed=("head.weight", "layers.0.weight")),
    "no randomness in evaluation mode": lambda: reacting(restless=False),
    "one batch, learned by heart": lambda: overfitted(0.01),
    "one batch, learned at the second rate": lambda: overfitted(2.29, 0.01),
    "one batch, on the way": lambda: overfitted(1.2),
    "half precision in all layers but the last": autocast,
}
