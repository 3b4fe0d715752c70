"""Emitted code: executed without gainstage, it gives the spreads and bias rules of the plan."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from scipy import stats
from torch import nn

import gainstage as gs
from gainstage.backends.torch.writing.emit import emit
from gainstage.backends.torch.writing.layout import canonical
from gainstage.graph import KernelShape, Role
from gainstage.records import Assignment, Plan
from zoo.awkward import AWKWARD
from zoo.hf import HUGGING_FACE

pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections"),
    pytest.mark.filterwarnings("ignore:.*_token_id must be"),
]

LAZY = {"lazy layer", "lazy convolution"}
LIBRARY = tuple(c for c in HUGGING_FACE if c.name in ("gpt2", "bert", "llama", "t5", "mamba", "convnext", "wav2vec2"))
CASES = tuple(c for c in (*AWKWARD, *LIBRARY) if not c.memoryless and c.name not in LAZY)


def executed(source: str, model: nn.Module, seed: int = 0) -> nn.Module:
    names: dict[str, object] = {}
    exec(compile(source, "emitted.py", "exec"), names)
    return names["initialize"](model, seed=seed)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_spreads_are_those_of_the_plan(case):
    inputs, target = case.batch()
    plan = gs.initialize(case.model(), "auto", x=inputs, y=target, loss=case.loss)
    before = dict(case.model().named_parameters())
    model = executed(emit(plan), case.model())
    for assignment in plan:
        parameter = model.get_parameter(assignment.parameter).detach()
        if assignment.scheme == "keep":
            assert torch.equal(parameter, before[assignment.parameter])
        elif assignment.bias == "zero" or assignment.spread == 0:
            assert not parameter.any()
        elif assignment.bias in ("one", "constant"):
            value = 1.0 if assignment.bias == "one" else assignment.value
            assert torch.allclose(parameter.float(), torch.tensor(value), rtol=torch.finfo(parameter.dtype).eps)
        elif assignment.bias is None and assignment.spread is not None:
            owner = model.get_submodule(assignment.parameter.rpartition(".")[0])
            if getattr(owner, "padding_idx", None) is not None:
                parameter = parameter[[i for i in range(len(parameter)) if i != owner.padding_idx]]
            # Σx²/σ² of n normal draws is chi-squared, other schemes scatter less; together one chance in a million.
            low, high = stats.chi2.ppf((5e-7, 1 - 5e-7), parameter.numel())
            total = float(parameter.double().square().sum()) / assignment.spread**2
            slack = 2 * parameter.numel() * torch.finfo(parameter.dtype).eps  # casting
            assert low - slack <= total <= high + slack, assignment


@pytest.mark.parametrize("transposed", [False, True])
def test_biases_are_centred_by_the_weights_that_were_drawn(transposed):
    last = nn.ConvTranspose2d(8, 4, 4, 2, 1) if transposed else nn.Conv2d(8, 4, 3)
    model, x = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Sigmoid(), last, nn.Tanh()), torch.randn(32, 1, 8, 8)
    planned = gs.plan(model, "normal", x=x)
    bias = replace(planned.assignments[3], scheme="centre", bias="centre", value=0.5, weight="2.weight")
    plan = replace(planned, assignments=(*planned.assignments[:3], bias))
    model = executed(emit(plan), model)
    weight = model[2].weight.detach().double()
    sums = weight.sum((0, 2, 3)) / 4 if transposed else weight.sum((1, 2, 3))  # a stride of two meets a quarter
    assert torch.allclose(model[2].bias.detach().double(), -bias.value * sums, atol=1e-6)


@pytest.mark.parametrize(
    ("scheme", "layer"),
    [("orthogonal", nn.Linear(6, 4)), ("orthogonal", nn.Linear(4, 6)), ("orthogonal", nn.Conv2d(4, 8, 3, groups=2)),
     ("orthogonal", nn.ConvTranspose2d(4, 8, 3)), ("delta_orthogonal", nn.Conv2d(4, 8, 3)),
     ("delta_orthogonal", nn.ConvTranspose2d(4, 8, 3))],
)  # fmt: skip
def test_orthogonal_weights_are_those_of_the_scheme_up_to_a_rotation(scheme, layer):
    """Both have the same Gram matrix of their shorter side, group by group."""
    plan = gs.plan(layer, scheme)
    gs.apply(layer, plan)
    ours = layer.weight.detach().clone()
    theirs = executed(emit(plan), layer, seed=1).weight.detach()
    assert not torch.allclose(ours, theirs)
    transposed, groups = isinstance(layer, nn.ConvTranspose2d), getattr(layer, "groups", 1)

    def gram(weight):
        weight = weight.transpose(0, 1) if transposed else weight
        matrix = weight[:, :, 1, 1] if scheme == "delta_orthogonal" else weight.flatten(1)
        parts = matrix.reshape(groups, matrix.shape[0] // groups, -1)
        short = parts if parts.shape[1] <= parts.shape[2] else parts.transpose(1, 2)
        return short @ short.transpose(1, 2)

    if scheme == "delta_orthogonal":
        assert torch.equal(ours != 0, theirs != 0)
    assert torch.allclose(gram(ours), gram(theirs), atol=1e-5 * float(gram(ours).max()))


@pytest.mark.parametrize("scheme", ["centred_normal", "centred_orthogonal", "centred_outputs"])
@pytest.mark.parametrize(
    "layer", [nn.Linear(60, 40), nn.Conv2d(12, 16, 3, groups=2), nn.ConvTranspose2d(12, 16, 3, groups=2)],
    ids=lambda layer: type(layer).__name__,
)  # fmt: skip
def test_weights_that_sum_to_zero(layer, scheme):
    line = gs.plan(layer, scheme).assignments[0]
    weight = executed(emit(Plan((line,))), layer).weight.detach()
    kernel = line.kernel
    values = canonical(weight, kernel, line.blocks, line.layout)
    grouped = values.reshape(kernel.groups, -1, *values.shape[1:])
    sums = grouped.sum(1 if scheme == "centred_outputs" else 2)
    assert float(sums.abs().max()) <= 60 * 2**-22 * float(weight.abs().max())
    free = weight.numel() - sums.numel()
    assert abs(float(weight.double().square().mean()) / line.spread**2 - 1) <= 4.5 * math.sqrt(2 / free)


def test_tables_lose_their_mean_row():
    """Also one that is tied to the output, whose rows are the layer's units."""

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.free, self.tied = nn.Embedding(90, 24), nn.Embedding(90, 24)

        def forward(self, x):
            return (self.free(x) + self.tied(x)) @ self.tied.weight.T

    plan = gs.plan(Tied(), "auto", x=torch.arange(90).reshape(9, 10))
    assert [a.scheme for a in plan] == ["centred_normal", "centred_outputs"]
    model = executed(emit(plan), Tied())
    for line in plan:
        table = model.get_parameter(line.parameter).detach()
        assert float(table.mean(0).abs().max()) <= 2**-20 * line.spread
        assert float(table.std()) == pytest.approx(line.spread, rel=4.5 / math.sqrt(2 * table.numel()))


@pytest.mark.parametrize("scheme", ["he_uniform", "glorot_truncated_normal", "pytorch_default", "zeros", "constant"])
def test_distributions(scheme):
    layer = nn.Linear(256, 256)
    plan = gs.plan(layer, scheme)
    gs.apply(layer, plan)
    ours = layer.weight.detach().clone()
    theirs = executed(emit(plan), layer).weight.detach()
    if float(ours.std()) == 0:
        assert torch.equal(ours, theirs)
    else:
        # Two samples of one distribution; the statistic stays below its bound but for one in a million.
        n = ours.numel()
        distance = stats.ks_2samp(ours.flatten().numpy(), theirs.flatten().numpy(), method="asymp").statistic
        assert distance < math.sqrt(-math.log(1e-6 / 2) / 2) * math.sqrt(2 / n)


def test_an_lstms_forget_gate_and_equal_seeds():
    case = next(c for c in AWKWARD if c.name == "lstm")
    plan = gs.plan(case.model(), "auto", x=case.batch()[0])
    first, again, other = (executed(emit(plan), case.model(), seed) for seed in (3, 3, 4))
    assert all(torch.equal(p, q) for p, q in zip(first.parameters(), again.parameters(), strict=True))
    assert not all(torch.equal(p, q) for p, q in zip(first.parameters(), other.parameters(), strict=True))
    gates = first.layer.bias_ih_l0.detach().chunk(4)
    assert [float(g.mean()) for g in gates] == [0, 1, 0, 0]


def test_the_code_needs_no_gainstage(tmp_path):
    model, x = nn.Sequential(nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 2)), torch.randn(16, 8)
    source = emit(gs.initialize(model, "auto", x=x))
    assert "import gainstage" not in source
    (tmp_path / "emitted.py").write_text(source)
    check = (
        "import sys, torch, emitted\n"
        "net = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Sigmoid(), torch.nn.Linear(8, 2))\n"
        "assert emitted.initialize(net) is net\n"
        "assert not any(name.startswith('gainstage') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", check], cwd=tmp_path, check=True)


def test_names_are_quoted():
    path = 'odd"name\\here'
    odd = Assignment(path, Role.HIDDEN, (2, 2), "normal", kernel=KernelShape(2, 2), spread=1.0)
    compile(emit(Plan((odd,))), "emitted.py", "exec")


def test_a_scheme_without_a_spread_is_refused():
    with pytest.raises(gs.GainstageError, match="no spread"):
        emit(gs.plan(nn.Linear(4, 4), "identity"))
