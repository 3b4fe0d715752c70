"""GS3xx: symmetry in the weights themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator

from gainstage.graph import Node, Parameter, Role, SignalGraph, nearest_after
from gainstage.graph.groups import UNWEIGHTED
from gainstage.records import ParameterProfile, Profile, Severity
from gainstage.rules.flow import ends_in, zero_nodes
from gainstage.rules.remedies import edit, initialize
from gainstage.rules.table import Fault, rule
from gainstage.rules.words import listed, place

__all__: list[str] = []

# Targets tell output units apart; each depthwise filter reads a channel of its own.
_ASYMMETRIC = frozenset({Role.HEAD, Role.DEPTHWISE})
_MAY_BE_ZERO = frozenset({Role.QUERY, Role.KEY, Role.GATE, Role.RECURRENT})
_FEW = 0.1  # of the units


@rule("GS301", "All units of a layer are copies of each other")
def constant_weights(profile: Profile) -> Iterator[Fault]:
    """Every unit of a hidden layer starts with the same weights, zero or not.

    What it does:
    Looks for hidden weights that are constant, or all of whose units (with their biases) repeat one unit. Output
    layers are left out, since their targets differ; so are norm scales, biases, embeddings, depthwise filters, zero
    queries, keys and gates, and weights at zero that the input has a way around (residual branches, LoRA's B).

    Why it matters:
    Equal units compute the same function. Where their outgoing weights are equal too they get the same gradient and
    stay equal for ever: the layer has one unit. With zeros nothing passes at all.

    Null hypothesis:
    Independent draws from a continuous distribution never agree. One layer trained from zero (logistic regression) has
    no hidden units and nothing to break.

    Bound and where it comes from:
    All units alike, exactly. An error where the next layer is symmetric too or the gradient is exactly zero; else a
    warning, since the next layer's weights will tell the units apart in time.

    Example:
    for p in model.parameters(): nn.init.constant_(p, 0.1)

    Remedy:
    Draw the weights at random; only biases may start equal:

        import gainstage as gs

        gs.initialize(model, x=x)

    Reference:
    Goodfellow, Bengio and Courville 2016, Deep Learning, section 8.4.
    """
    graph, zeros = profile.graph, zero_nodes(profile)
    around = ends_in(graph, graph.inputs, zeros - _nodes_of(graph, Role.HEAD))
    alike = {
        q.path: (q, p)
        for p in profile.parameters
        if (q := profile.parameter(p)).role.is_kernel and _all_alike(q, p) and not (_is_zero(p) and around)
    }
    hidden = [(q, p) for q, p in alike.values() if _could_be_symmetric(q, p)]
    if not hidden:
        return
    stuck = [q for q, p in hidden if _stays(graph, q, p, alike)]
    names = [q.path for q, _ in hidden]
    first = (stuck or [hidden[0][0]])[0]
    zero = sum(_is_zero(p) for _, p in hidden)
    what = "zero" if zero == len(hidden) else "the same in every unit"
    yield Fault(
        Severity.ERROR if stuck else Severity.WARNING,
        place(graph.nodes[first.nodes[0]]),
        f"The incoming weights are {what} in {len(hidden)} of {_kernels(profile)} layers: {listed(names)}.",
        float(len(hidden)),
        0.0,
        "Units that start equal and are read by equal weights get equal gradients: no step can tell them apart."
        if stuck
        else "All units compute the same function, so the layer passes on one number instead of many.",
        initialize("Draw these weights at random; biases may stay equal.", () if stuck else names),
        first.nodes[0],
    )


def _nodes_of(graph: SignalGraph, role: Role) -> frozenset[int]:
    return frozenset(i for p in graph.parameters if p.role is role for i in p.nodes)


def _kernels(profile: Profile) -> int:
    return sum(profile.parameter(p).role.is_kernel for p in profile.parameters)


def _is_zero(measured: ParameterProfile) -> bool:
    return measured.weight.second_moment == 0


def _all_alike(parameter: Parameter, measured: ParameterProfile) -> bool:
    kernel = parameter.kernel
    units = kernel.out * parameter.blocks if kernel is not None else 0
    return units > 1 and bool(parameter.nodes) and (measured.constant or measured.copies >= units - 1)


def _could_be_symmetric(parameter: Parameter, measured: ParameterProfile) -> bool:
    if not parameter.trainable or parameter.role in _ASYMMETRIC:
        return False
    return not (_is_zero(measured) and parameter.role in _MAY_BE_ZERO)


def _stays(graph: SignalGraph, parameter: Parameter, measured: ParameterProfile, alike: Container[str]) -> bool:
    """Whether nothing tells the units apart: the weights that read them are alike too, or no gradient comes."""
    if measured.gradient is not None and measured.gradient.second_moment == 0:
        return True
    readers = _read_by(graph, graph.nodes[parameter.nodes[-1]])
    return bool(readers) and all(path in alike for path in readers)


def _read_by(graph: SignalGraph, node: Node) -> list[str]:
    """The weights that read a node's output."""
    following = nearest_after(graph, node.index, lambda n: n.operation.weighted, through=UNWEIGHTED)
    return [graph.parameter(u.parameter).path for i in following for u in graph.nodes[i].uses_of("weight")]


@rule("GS302", "Some units are copies of others")
def copied_units(profile: Profile) -> Iterator[Fault]:
    """Units of a hidden layer repeat the weights and the bias of another unit.

    What it does:
    Counts rows of every hidden weight that repeat another row exactly, biases included. Filters that feed a pixel
    shuffle are left out, where repeated filters prevent a checkerboard.

    Why it matters:
    A copy adds nothing: it computes what its twin computes. If what reads it is copied too, they stay twins.

    Null hypothesis:
    Independent draws in single precision never agree in a whole row. In half precision two rows of four numbers or
    fewer can, so that short rows are not judged.

    Bound and where it comes from:
    A tenth of the units: less costs no more than a slightly narrower layer.

    Example:
    Widening a layer by repeating its filters, without noise.

    Remedy:
    Draw the layer anew, or add noise to the copies:

        weight += 0.01 * weight.std() * torch.randn_like(weight)

    Reference:
    Chen, Goodfellow and Shlens 2016, Net2Net (which adds that noise).
    """
    graph = profile.graph
    for measured in profile.parameters:
        parameter = profile.parameter(measured)
        kernel = parameter.kernel
        if kernel is None or not parameter.role.is_kernel or not _could_be_symmetric(parameter, measured):
            continue
        units = kernel.out * parameter.blocks
        short = kernel.shape[1] * kernel.receptive <= 4 and parameter.dtype in ("float16", "bfloat16")
        if measured.copies <= _FEW * units or short or _all_alike(parameter, measured) or _is_zero(measured):
            continue
        node = graph.nodes[parameter.nodes[0]]
        if any(graph.nodes[i].function == "depth_to_space" for i in graph.consumers[node.index]):
            continue  # copies that become neighbouring places: they upsample without a checkerboard
        yield Fault(
            Severity.WARNING,
            place(node),
            f"{measured.copies} of {units} units of '{parameter.path}' repeat another unit exactly.",
            measured.copies / units,
            _FEW,
            "Their weights were copied, and copies compute the same and learn the same.",
            initialize("Draw the layer anew.", (parameter.path,)),
            node.index,
        )


def _is_stack(parameter: Parameter) -> bool:
    """Whether the first axis counts layers, each a matrix of its own."""
    return parameter.blocks > 1 and len(parameter.shape) > 2 and parameter.shape[0] == parameter.blocks


@rule("GS303", "Two layers start with the same weights", of_starts=True)
def same_draw(profile: Profile) -> Iterator[Fault]:
    """Different layers hold exactly the same numbers without being tied.

    What it does:
    Compares mean, variance, smallest and largest value of all random weights of one shape, and the layers of a stack
    (the experts of a mixture in one array) number by number.

    Why it matters:
    They were copied from one another or drawn from the same seed. They soon part, since they see different signals,
    but the start is less random than intended: repeated maps multiply their directions up.

    Null hypothesis:
    Independent draws agree in none of these figures.

    Bound and where it comes from:
    All four figures equal to the last bit. A note: such networks train.

    Example:
    nn.TransformerEncoder copies one layer for all.

    Remedy:
    Draw every layer from a stream of its own:

        import gainstage as gs

        gs.initialize(model, x=x)

    Reference:
    PyTorch, nn.TransformerEncoder: layers are deep copies of the one that was given.
    """
    twins: dict[object, list[str]] = defaultdict(list)
    for measured in profile.parameters:
        parameter, weight = profile.parameter(measured), measured.weight
        if parameter.role.is_kernel and parameter.trainable and not measured.constant and weight.minimum is not None:
            marks = (parameter.shape, weight.mean, weight.variance, weight.minimum, weight.maximum)
            twins[marks].append(parameter.path)
    groups = [paths for paths in twins.values() if len(paths) > 1]
    stacks = [
        (p, q) for p in profile.parameters if _is_stack(q := profile.parameter(p)) and p.copies and not p.constant
    ]
    if not groups and not stacks:
        return
    told = (
        [f"{sum(map(len, groups))} weights start as copies: {listed(max(groups, key=len))} are equal."]
        if groups
        else []
    )
    told += [f"{p.copies} of {q.blocks} layers in '{q.path}' repeat another exactly." for p, q in stacks[:1]]
    copies = sum(map(len, groups)) + sum(p.copies for p, _ in stacks)
    yield Fault(
        Severity.NOTE,
        "",
        " ".join(told),
        float(copies),
        0.0,
        "One layer was copied, or one seed was used for several.",
        edit("Draw every layer on its own.", "import gainstage as gs\n\ngs.initialize(model, x=x)"),
    )
