"""A plan as plain PyTorch code, for people who want no new dependency.

The code sets the same spreads and the same bias rules, with PyTorch's own random numbers; the bytes are others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from gainstage.errors import InputError
from gainstage.graph import Pairing, Role
from gainstage.records import Assignment, Plan

__all__ = ["emit"]

_INDENT = "    "
_SHOWN = 92  # characters of names on one line

_PARTS: Mapping[str, str] = MappingProxyType(
    {
        "normal": """
def normal(parameter, spread, generator):
    parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
""",
        "uniform": """
def uniform(parameter, spread, generator):
    parameter.copy_((2 * torch.rand(parameter.shape, generator=generator) - 1) * spread * 3**0.5)
""",
        "truncated": '''
def truncated(parameter, spread, generator):
    """A normal cut at two standard deviations, widened so that its spread is the one asked for."""
    values = torch.empty(parameter.shape)
    std = spread / 0.87962566103423978
    parameter.copy_(nn.init.trunc_normal_(values, std=std, a=-2 * std, b=2 * std, generator=generator))
''',
        "orthogonal": '''
def orthogonal(parameter, spread, generator, *, matrices=1, stored="out_in", centre=False):
    """Orthogonal matrices (out, in * taps); `centre` leaves all taps of a convolution at zero but the middle one."""
    shape = parameter.shape
    taps = math.prod(shape[2:])
    rows, inputs = (shape[0] // matrices, shape[1]) if stored == "out_in" else (shape[1], shape[0] // matrices)
    columns = inputs if centre else inputs * taps
    values = torch.empty(matrices, rows, columns)
    for matrix in values:
        nn.init.orthogonal_(matrix, generator=generator)
    values *= spread * max(rows, columns) ** 0.5 * (taps**0.5 if centre else 1)
    if centre:
        spread_out = torch.zeros(matrices, rows, inputs, taps)
        spread_out[..., taps // 2] = values
        values = spread_out
    values = values.reshape(matrices, rows, inputs, taps)
    if stored == "in_out":
        values = values.transpose(1, 2)
    parameter.copy_(values.reshape(shape))
''',
        "mirrored": '''
def mirrored(parameter, draw, spread, generator, *, rows=None, columns=None, **options):
    """Half of a weight is drawn, the other half is opposite: pairs along `rows` and `columns` (axis, units, places).

    Where the units of a set are odd in number, the last one gets the sum of the others, and is read by zero.
    """
    pairs = [pair for pair in (columns, rows) if pair]
    shape = list(parameter.shape)
    for axis, units, _ in pairs:
        shape[axis] = shape[axis] // units * (units // 2)
    values = torch.empty(shape)
    draw(values, spread, generator, **options)
    for axis, units, places in pairs:
        sets = values.unflatten(axis, (-1, units // 2, places))
        last = sets.sum(axis + 1, keepdim=True) / (units // 2) ** 0.5 * (rows == (axis, units, places))
        values = torch.cat([sets, -sets, last][: 2 + units % 2], axis + 1).flatten(axis, axis + 2)
    parameter.copy_(values)
''',
        "sum_to_zero": '''
def sum_to_zero(parameter, terms, step=1):
    """Take off the mean over so many terms, `step` values apart, and make up for what that takes of the spread."""
    values = parameter.float().reshape(-1, terms, step)
    values = (values - values.mean(1, keepdim=True)) * (terms / (terms - 1)) ** 0.5
    parameter.copy_(values.reshape(parameter.shape))
''',
        "centre": '''
def centre(bias, weight, mean, *, groups=1, stored="out_in"):
    """Take off what inputs of that mean add to every unit."""
    if stored == "in_out":
        taps = math.prod(weight.shape[2:])
        weight = weight.reshape(groups, -1, weight.shape[1], taps).transpose(1, 2).flatten(0, 1)
    bias.copy_(-mean * weight.double().flatten(1).sum(1).reshape(bias.shape))
''',
        "match_norm": '''
def match_norm(magnitude, weight):
    """The norm of a weight as it was drawn (weight normalisation)."""
    axes = [i for i, size in enumerate(magnitude.shape) if size == 1] or list(range(weight.dim()))
    magnitude.copy_(torch.linalg.vector_norm(weight.float(), dim=axes).reshape(magnitude.shape))
''',
        "forget_one": '''
def forget_one(bias):
    """An LSTM's forget gate starts open; PyTorch stacks the gates as input, forget, cell, output."""
    bias.zero_()
    gate = len(bias) // 4
    bias[gate : 2 * gate] = 1
''',
        "uniform_bias": """
def uniform_bias(bias, bound, generator):
    bias.copy_((2 * torch.rand(bias.shape, generator=generator) - 1) * bound)
""",
    }
)


def emit(plan: Plan) -> str:
    """The source of a function ``initialize(model, seed=0)`` that needs nothing but PyTorch.

    Biases that were measured to centre their units are centred by the mean that theory gives, since the measured values
    belong to one draw of the weights.

    Args:
        plan: of a PyTorch model; with calibrated spreads where it has them.

    Raises:
        InputError: the plan holds a scheme that cannot be written so.

    >>> from gainstage.graph import KernelShape, Role
    >>> weight = Assignment("weight", Role.HIDDEN, (8, 4), "normal", kernel=KernelShape(8, 4), spread=0.5)
    >>> print(emit(Plan((weight,))).splitlines()[-2].strip())
    normal(parameters["weight"], 0.5, generator)
    """
    statements: dict[str, list[Assignment]] = {}
    by_path = {a.parameter: a for a in plan}
    drawn = [(_statement(a, by_path), a) for a in plan if not _reads_weights(a)]
    centred = [(_sums(a), a) for a in plan]
    last = [(_statement(a, by_path), a) for a in plan if _reads_weights(a)]
    for template, assignment in (*drawn, *centred, *last):
        if template:
            statements.setdefault(template, []).append(assignment)
    body = "".join(_lines(template, group) for template, group in statements.items())
    used = [source for name, source in _PARTS.items() if any(_uses(t, name) for t in statements)]
    imports = "import math\n\n" if any("math." in source for source in used) else ""
    padding = _PADDING if any(a.role is Role.EMBEDDING for a in plan) else ""
    title = f"Initial weights in plain PyTorch, as planned by gainstage ({plan.scheme or 'edited'})."
    return f'''"""{title}"""

{imports}import torch
from torch import nn
{"".join(_spaced(source) for source in used)}

@torch.no_grad()
def initialize(model: nn.Module, seed: int = {plan.seed}) -> nn.Module:
    """Set the weights of `model` in place; parameters that are not named keep their values."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    generator = torch.Generator().manual_seed(seed % 2**63)
{body}{padding}    return model
'''


_PADDING = """    for module in model.modules():
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and module.padding_idx is not None:
            module.weight[module.padding_idx].zero_()
"""


def _uses(statement: str, function: str) -> bool:
    return statement.startswith(f"{function}(") or f", {function}, " in statement


def _spaced(source: str) -> str:
    return f"\n{source}"


def _reads_weights(assignment: Assignment) -> bool:
    return _centres(assignment) or assignment.scheme == "match_norm"


def _centres(assignment: Assignment) -> bool:
    """Whether a bias takes the mean off, also where calibration measured it."""
    measured = assignment.bias == "measured" and assignment.weight is not None and assignment.value != 0
    return assignment.bias == "centre" or measured


def _statement(assignment: Assignment, plan: Mapping[str, Assignment]) -> str:
    """What sets one parameter, with ``{}`` for it; empty where it keeps its value."""
    if assignment.scheme == "keep" or assignment.bias == "keep":
        return ""
    if assignment.scheme == "match_norm":
        return f"match_norm({{}}, {_parameter(assignment.weight or '')})"
    if assignment.bias is not None:
        return _bias_statement(assignment, plan)
    return _weight_statement(assignment)


def _sums(assignment: Assignment) -> str:
    """What takes a sum off the weights once they are drawn, with ``{}`` for them; empty where nothing does."""
    kernel = assignment.kernel
    if not assignment.scheme.startswith("centred_") or kernel is None or not assignment.spread:
        return ""
    outputs, inputs, taps = kernel.out // kernel.groups, kernel.shape[1], kernel.receptive
    stored_first, terms = assignment.layout == "out_in", inputs
    step = taps if stored_first else assignment.blocks * outputs * taps
    if assignment.scheme == "centred_outputs":
        terms, step = outputs, inputs * taps if stored_first else taps
    return f"sum_to_zero({{}}, {terms})" if step == 1 else f"sum_to_zero({{}}, {terms}, {step})"


def _bias_statement(assignment: Assignment, plan: Mapping[str, Assignment]) -> str:
    source = plan.get(assignment.weight or "")
    kernel = source.kernel if source else None
    if _centres(assignment) and source is not None and kernel is not None:
        options = _options(groups=kernel.groups, stored=source.layout) if source.layout == "in_out" else ""
        met = kernel.fan_in * kernel.out / kernel.size  # below one where a stride spreads the taps
        return f"centre({{}}, {_parameter(source.parameter)}, {assignment.value * met:.7g}{options})"
    match assignment.bias:
        case "zero":
            return "{}.zero_()"
        case "one":
            return "{}.fill_(1.0)"
        case "constant":
            return f"{{}}.fill_({assignment.value:.7g})"
        case "forget_one":
            return "forget_one({})"
        case "measured":
            values = ", ".join(f"{value:.6g}" for value in assignment.values)
            return f"{{}}.copy_(torch.tensor([{values}]).reshape({assignment.shape}))"
        case "uniform_fan_in" if kernel is not None:
            return f"uniform_bias({{}}, {assignment.gain / math.sqrt(kernel.fan_in):.7g}, generator)"
    raise InputError(f"The rule '{assignment.bias}' of '{assignment.parameter}' cannot be written as plain code.")


def _weight_statement(assignment: Assignment) -> str:
    scheme, spread, kernel = assignment.scheme, assignment.spread, assignment.kernel
    if scheme == "zeros" or (spread == 0 and scheme not in ("ones", "constant")):
        return "{}.zero_()"
    if scheme in ("ones", "constant"):
        return f"{{}}.fill_({assignment.gain * assignment.scale:.7g})"
    if spread is None or kernel is None:
        raise InputError(
            f"The scheme '{scheme}' of '{assignment.parameter}' has no spread, so it cannot be written as plain code. "
            "Choose another one with overrides=."
        )
    function, options = "normal", ""
    if "orthogonal" in scheme:
        function = "orthogonal"
        options = _options(
            matrices=assignment.blocks * kernel.groups, stored=assignment.layout, centre="delta" in scheme
        )
    elif "truncated" in scheme:
        function = "truncated"
    elif "uniform" in scheme or scheme in ("pytorch_default", "keras_embedding"):
        function = "uniform"
    mirror = assignment.mirror
    if mirror is None:
        return f"{function}({{}}, {spread:.7g}, generator{options})"
    out_axis = 0 if assignment.layout == "out_in" else 1
    options = _pairs("rows", out_axis, mirror.outputs) + _pairs("columns", 1 - out_axis, mirror.inputs) + options
    return f"mirrored({{}}, {function}, {spread / math.sqrt(mirror.read):.7g}, generator{options})"


def _pairs(name: str, axis: int, pairing: Pairing | None) -> str:
    return "" if pairing is None else f", {name}=({axis}, {pairing.units}, {pairing.places})"


_DEFAULTS: Mapping[str, object] = MappingProxyType({"matrices": 1, "groups": 1, "stored": "out_in", "centre": False})


def _options(**given: object) -> str:
    return "".join(
        f", {key}={_quoted(value) if isinstance(value, str) else value}"
        for key, value in given.items()
        if value != _DEFAULTS[key]
    )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _parameter(path: str) -> str:
    return f"parameters[{_quoted(path)}]"


def _lines(template: str, group: list[Assignment]) -> str:
    """One statement, or a loop over the parameters that it holds for."""
    roles = " and ".join(sorted({a.role.value for a in group}))
    comment = f"{_INDENT}# {roles}: {len(group)}\n" if len(group) > 1 else f"{_INDENT}# {roles}\n"
    if len(group) == 1:
        return comment + _INDENT + _filled(template, _parameter(group[0].parameter)) + "\n"
    names, rows, row = [_quoted(a.parameter) + "," for a in group], [], ""
    for name in names:
        if row and len(row) + len(name) > _SHOWN:
            rows.append(row)
            row = ""
        row = f"{row} {name}".strip()
    listed = "".join(f"{_INDENT * 2}{line}\n" for line in [*rows, row])
    statement = _filled(template, "parameters[name]")
    return f"{comment}{_INDENT}for name in (\n{listed}{_INDENT}):\n{_INDENT * 2}{statement}\n"


def _filled(template: str, parameter: str) -> str:
    return template.replace("{}", parameter, 1)
