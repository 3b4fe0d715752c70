"""Plans carried out on real layers: levels, bytes, identity, and refusals that change nothing."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from gainstage import schemes
from gainstage.backends.torch.tracing.trace import trace
from gainstage.backends.torch.writing.layout import canonical, native
from gainstage.backends.torch.writing.write import apply, draw
from gainstage.errors import InputError, ModelError, UnknownNameError
from gainstage.graph import KernelShape, Role
from gainstage.planning import Override, plan
from gainstage.planning.products import LOGIT_SPREAD
from gainstage.records import Assignment, Plan
from gainstage.streams import Stream

SIGMAS = 5.0  # of the sampling error; all seeds are fixed, so a test that passes once passes always
REPEATS = 16


def white(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def inner(output: Tensor, margin: int) -> Tensor:
    """The places that as many taps reach as anywhere: borders of a transposed convolution cut off."""
    for axis in range(2, output.dim()):
        output = output.narrow(axis, margin, output.shape[axis] - 2 * margin)
    return output


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "linear": (lambda: nn.Linear(40, 60), (64, 40), 0),
    "conv1d": (lambda: nn.Conv1d(8, 12, 5), (16, 8, 24), 0),
    "conv2d": (lambda: nn.Conv2d(6, 10, 3), (8, 6, 10, 10), 0),
    "conv3d": (lambda: nn.Conv3d(4, 6, 3), (4, 4, 7, 7, 7), 0),
    "strided": (lambda: nn.Conv2d(6, 10, 3, stride=2, dilation=2), (8, 6, 13, 13), 0),
    "grouped": (lambda: nn.Conv2d(8, 12, 3, groups=4), (8, 8, 10, 10), 0),
    "depthwise": (lambda: nn.Conv2d(16, 16, 3, groups=16), (8, 16, 10, 10), 0),
    "transposed": (lambda: nn.ConvTranspose2d(16, 8, 4, stride=2), (8, 16, 7, 7), 3),
    "transposed grouped": (lambda: nn.ConvTranspose1d(12, 6, 6, stride=3, groups=3), (32, 12, 12), 5),
    "transposed unstrided": (lambda: nn.ConvTranspose2d(8, 8, 3), (8, 8, 9, 9), 2),
    "GPT-2 Conv1D": (lambda: Conv1D(60, 40), (64, 40), 0),
}


@pytest.mark.parametrize("scheme", ["normal", "uniform", "truncated_normal", "orthogonal"])
@pytest.mark.parametrize("name", LAYERS)
def test_unit_gain_keeps_the_level_of_white_input(name: str, scheme: str) -> None:
    build, shape, margin = LAYERS[name]
    layer = build()
    graph = trace(layer, white(shape))
    levels = []
    for seed in range(REPEATS):
        apply(layer, plan(graph, scheme, seed=seed))
        with torch.no_grad():
            levels.append(inner(layer(white(shape, seed)), margin).square().mean().item())
    error = np.std(levels, ddof=1) / math.sqrt(REPEATS)
    assert error < 0.05, "the test could not see a fault"
    assert abs(np.mean(levels) - 1) < SIGMAS * error


@pytest.mark.parametrize("name", LAYERS)
def test_weights_have_the_spread_that_the_plan_aims_at(name: str) -> None:
    build, shape, _ = LAYERS[name]
    layer = build()
    planned = plan(trace(layer, white(shape)), "he_normal")
    apply(layer, planned)
    weight = layer.weight.detach().double()
    (assignment,) = (a for a in planned if a.kernel is not None)
    assert assignment.spread == pytest.approx(math.sqrt(2 / assignment.kernel.fan_in))
    # The relative sampling error of a Gaussian second moment is √(2/n).
    ratio = weight.square().mean().item() / assignment.spread**2
    assert abs(ratio - 1) < SIGMAS * math.sqrt(2 / weight.numel())


@pytest.mark.parametrize("name", LAYERS)
def test_layouts_are_inverses_and_fans_are_those_of_real_layers(name: str) -> None:
    build, shape, _ = LAYERS[name]
    layer = build()
    parameter = next(p for p in trace(layer, white(shape)).parameters if p.kernel is not None)
    geometry = (parameter.kernel, parameter.blocks, parameter.layout)
    weight = layer.weight.detach()
    array = canonical(weight, *geometry)
    assert tuple(array.shape) == parameter.kernel.shape
    assert torch.equal(native(array, tuple(weight.shape), *geometry), weight)


@pytest.mark.parametrize("name", ["grouped", "depthwise", "transposed grouped", "GPT-2 Conv1D", "linear"])
def test_canonical_rows_are_the_weights_of_one_output_unit(name: str) -> None:
    """Silencing row j of the canonical array silences output channel j, and no other."""
    build, shape, margin = LAYERS[name]
    layer = build()
    parameter = next(p for p in trace(layer, white(shape)).parameters if p.kernel is not None)
    geometry = (parameter.kernel, parameter.blocks, parameter.layout)
    array = canonical(layer.weight.detach(), *geometry).clone()
    array[1] = 0
    with torch.no_grad():
        layer.weight.copy_(native(array, tuple(layer.weight.shape), *geometry))
        layer.bias.zero_()
        output = inner(layer(white(shape)), margin)
    silent = output.abs().amax([axis for axis in range(output.dim()) if axis != 1]) == 0
    assert silent.tolist() == [unit == 1 for unit in range(len(silent))]


def test_identity_passes_the_signal_through_real_layers() -> None:
    x = white((2, 6, 5, 5))
    for layer in (nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1, groups=3), nn.Conv2d(6, 6, 1)):
        apply(layer, plan(trace(layer, x), "identity"))
        assert torch.equal(layer(x), x)


def test_packed_attention_draws_every_block_with_its_own_fans() -> None:
    width = 48
    layer = nn.MultiheadAttention(width, 4, batch_first=True)
    x = white((2, 5, width))
    graph = trace(layer, (x, x, x))
    apply(layer, plan(graph, "glorot_uniform"))
    blocks = layer.in_proj_weight.detach().chunk(3)
    for block in blocks:
        # The largest of n uniforms falls short of the bound by about bound/n.
        bound = math.sqrt(6 / (2 * width))
        assert bound * (1 - 20 / block.numel()) < block.abs().max().item() <= bound
    for first, second in ((0, 1), (0, 2), (1, 2)):
        # 2**23 uniforms are equally likely: by chance alone a few of n values are among n others.
        shared = int(torch.isin(blocks[first], blocks[second]).sum())
        assert shared <= scipy.stats.poisson.isf(1e-6, blocks[first].numel() ** 2 / 2**23)
    packed = next(a for a in plan(graph, "glorot_uniform") if a.role is Role.PACKED_ATTENTION)
    alone = schemes.get("glorot_uniform").draw(packed.kernel, 1.0, Stream(0, "in_proj_weight", 1))
    assert np.array_equal(blocks[1].numpy(), alone[:, :, 0])


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_recurrent_gates_are_blocks(kind: type[nn.RNNBase], gates: int) -> None:
    layer = kind(12, 16, num_layers=2)
    apply(layer, plan(trace(layer, white((4, 2, 12))), "orthogonal"))
    for state in (layer.weight_hh_l0, layer.weight_hh_l1):
        for block in state.detach().chunk(gates):
            assert torch.allclose(block @ block.T, torch.eye(16), atol=1e-5)
    forget = torch.zeros(gates * 16)
    if kind is nn.LSTM:
        forget[16:32] = 1.0
    for index in (0, 1):
        assert torch.equal(getattr(layer, f"bias_ih_l{index}").detach(), forget)
        assert torch.equal(getattr(layer, f"bias_hh_l{index}").detach(), torch.zeros(gates * 16))


def test_open_forget_gates_keep_the_cell() -> None:
    """Forget gates of sigmoid(1) and silent inputs: the cell decays by that factor, which shows the order of gates."""
    layer = nn.LSTM(3, 5)
    apply(layer, plan(trace(layer, white((2, 1, 3))), "zeros"))
    cell = torch.ones(1, 1, 5)
    _, (_, after) = layer(torch.zeros(1, 1, 3), (torch.zeros(1, 1, 5), cell))
    assert torch.allclose(after, torch.sigmoid(torch.ones(())) * cell)


@pytest.mark.parametrize("kind", [nn.Linear, nn.Conv2d, nn.LSTM, nn.Embedding])
def test_pytorch_default_has_the_spread_of_pytorch(kind: type[nn.Module]) -> None:
    build: dict[type[nn.Module], tuple[Callable[[], nn.Module], Tensor]] = {
        nn.Linear: (lambda: nn.Linear(50, 200), white((4, 50))),
        nn.Conv2d: (lambda: nn.Conv2d(8, 64, 3), white((2, 8, 5, 5))),
        nn.LSTM: (lambda: nn.LSTM(30, 64), white((3, 2, 30))),
        nn.Embedding: (lambda: nn.Embedding(100, 64), torch.arange(10)),
    }
    make, x = build[kind]
    torch.manual_seed(0)
    theirs, ours = make(), make()
    apply(ours, plan(trace(ours, x), "pytorch_default"))
    for (path, mine), reference in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        n = mine.numel()
        ratio = (mine.detach().square().mean() / reference.detach().square().mean()).item()
        # Two second moments of n draws each, of relative variance at most 2/n (normal; uniform: 0.8/n).
        assert abs(math.log(ratio)) < SIGMAS * math.sqrt(2 * 2 / n), path


def test_padding_rows_of_embeddings_stay_zero() -> None:
    layer = nn.Embedding(10, 4, padding_idx=3)
    apply(layer, plan(trace(layer, torch.arange(5)), "he_normal"))
    zero = (layer.weight == 0).all(1).tolist()
    assert zero == [row == 3 for row in range(10)]


@pytest.mark.parametrize("wrapper", [nn.utils.parametrizations.weight_norm, nn.utils.weight_norm])
@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_weight_norm_ends_up_at_the_weight_that_was_drawn(wrapper: Callable[..., nn.Module], dim: int) -> None:
    model = nn.Sequential(wrapper(nn.Linear(6, 5), dim=dim), nn.Tanh(), nn.Linear(5, 2))
    graph = trace(model, white((3, 6)))
    planned = plan(graph, "he_normal")
    apply(model, planned)
    model(white((3, 6)))
    (direction,) = (a for a in planned if a.parameter.startswith("0.") and a.kernel is not None)
    drawn = torch.from_numpy(draw(direction, planned.seed)[:, :, 0])
    assert torch.allclose(model[0].weight, drawn, atol=1e-6)


@pytest.mark.parametrize(("shape", "norm"), [((), 5.0), ((1, 2), (3.0, 4.0)), ((2, 1), (4.0, 3.0))])
def test_magnitudes_are_norms_over_the_axes_that_they_lack(shape: tuple[int, ...], norm: object) -> None:
    model = nn.Module()
    model.v = nn.Parameter(torch.tensor([[0.0, 4.0], [3.0, 0.0]]))
    model.g = nn.Parameter(torch.zeros(shape))
    apply(model, Plan((Assignment("g", Role.MAGNITUDE, shape, "match_norm", weight="v"),)))
    assert torch.equal(model.g.detach(), torch.tensor(norm).reshape(shape))


def test_centring_takes_the_mean_of_an_activation_off() -> None:
    mean = 0.5
    for layer, x in (
        (nn.Linear(30, 20), torch.full((1, 30), mean)),
        (nn.Conv2d(4, 6, 3), torch.full((1, 4, 6, 6), mean)),
        (nn.ConvTranspose1d(4, 6, 3), torch.full((1, 4, 8), mean)),
        (Conv1D(20, 30), torch.full((1, 30), mean)),
    ):
        planned = plan(trace(layer, x), "normal")
        centred = [
            dataclasses.replace(a, scheme="centre", bias="centre", value=mean) if a.role is Role.BIAS else a
            for a in planned
        ]
        apply(layer, Plan(tuple(centred)))
        output = inner(layer(x), 2) if isinstance(layer, nn.ConvTranspose1d) else layer(x)
        assert output.abs().max().item() < 1e-5


class Net(nn.Module):
    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(depth))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = torch.relu(block(x))
        return self.head(x)


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def initialized(model: nn.Module, scheme: str = "he_normal", seed: int = 0, **options: object) -> dict[str, Tensor]:
    apply(model, plan(trace(model, white((4, 8))), scheme, seed=seed, **options))
    return state(model)


def test_same_seed_same_bytes_and_another_seed_other_bytes() -> None:
    first, second, other = initialized(Net()), initialized(Net()), initialized(Net(), seed=1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.isin(first["head.weight"], other["head.weight"]).any()


def test_global_random_state_is_neither_used_nor_moved() -> None:
    model = Net()
    graph = trace(model, white((4, 8)))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    apply(model, plan(graph, "he_normal"))
    assert torch.equal(before, torch.get_rng_state())


def test_another_layer_changes_none_of_the_others() -> None:
    shallow, deep = initialized(Net(2)), initialized(Net(5))
    assert all(torch.equal(deep[name], value) for name, value in shallow.items())


def test_equal_shapes_share_no_value() -> None:
    weights = initialized(Net(3))
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert not torch.isin(weights[f"blocks.{first}.weight"], weights[f"blocks.{second}.weight"]).any()


def test_scale_measured_by_calibration_multiplies_the_draw() -> None:
    model = Net()
    planned = plan(trace(model, white((4, 8))), "normal")
    apply(model, planned)
    plain = state(model)
    apply(model, Plan(tuple(dataclasses.replace(a, scale=2.0) if a.kernel else a for a in planned), planned.seed))
    assert all(torch.equal(value, 2 * plain[name]) for name, value in state(model).items())


def test_parameters_stay_what_they_were() -> None:
    model = Net().to(torch.bfloat16)
    model.head.weight.requires_grad_(False)
    model.head.weight.requires_grad_(True)
    before = {name: (id(p), p.data_ptr(), p.dtype, p.requires_grad) for name, p in model.named_parameters()}
    x = white((4, 8)).to(torch.bfloat16)
    planned = plan(trace(model, x), "truncated_normal")
    apply(model, planned)
    assert before == {name: (id(p), p.data_ptr(), p.dtype, p.requires_grad) for name, p in model.named_parameters()}
    expected = torch.from_numpy(draw(planned.assignments[0], 0)[:, :, 0]).to(torch.bfloat16)
    assert torch.equal(model.blocks[0].weight, expected), "drawn in float32, then cast"


def test_frozen_and_unchosen_parameters_are_not_touched() -> None:
    model = Net()
    model.blocks[0].requires_grad_(False)
    before = state(model)
    after = initialized(model, only=("blocks",))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"blocks.1.weight", "blocks.1.bias"}


def test_tied_weights_stay_tied_and_are_drawn_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(20, 8)
            self.head = nn.Linear(8, 20, bias=False)
            self.head.weight = self.table.weight

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.table(tokens))

    model = Tied()
    planned = plan(trace(model, torch.arange(6).reshape(2, 3)), "normal")
    apply(model, planned)
    assert [a.parameter for a in planned] == ["table.weight"]
    assert model.head.weight is model.table.weight
    assert planned.assignments[0].spread == pytest.approx(LOGIT_SPREAD / math.sqrt(8))
    ratio = model.head.weight.detach().square().mean().item() * 8 / LOGIT_SPREAD**2
    assert abs(ratio - 1) < SIGMAS * math.sqrt(2 / 160)


def test_overrides_reach_the_weights() -> None:
    quiet = initialized(Net(), overrides={"head": "zeros", "blocks.1.weight": Override(gain=0.5)})
    plain = initialized(Net())
    assert not quiet["head.weight"].any()
    assert not quiet["head.bias"].any()
    assert torch.allclose(quiet["blocks.1.weight"], 0.5 * plain["blocks.1.weight"])
    assert torch.equal(quiet["blocks.0.weight"], plain["blocks.0.weight"])


# -- a plan that cannot be carried out changes nothing ---------------------------------------------------------------


def edited(planned: Plan, path: str, **changes: object) -> Plan:
    return Plan(tuple(dataclasses.replace(a, **changes) if a.parameter == path else a for a in planned), planned.seed)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"parameter": "haed.weight"}, UnknownNameError, "Did you mean 'head.weight'"),
        ({"parameter": "blocks.0.weight", "shape": (8, 8)}, InputError, "'blocks.0.weight' twice"),
        ({"shape": (3, 9)}, InputError, r"\(3, 8\) in the model and \(3, 9\) in the plan"),
        ({"scheme": "he_norml"}, UnknownNameError, "Did you mean 'he_normal'"),
        ({"gain": math.nan}, InputError, "not finite"),
        ({"scale": math.inf}, InputError, "not finite"),
        ({"kernel": None}, InputError, "has no kernel"),
        ({"kernel": KernelShape(8, 8)}, InputError, r"Shape \(3, 8\) cannot hold"),
        ({"scheme": "delta_orthogonal"}, InputError, "'head.weight' cannot be drawn"),
        ({"bias": "forget_one"}, InputError, "not an LSTM's bias"),
        ({"bias": "uniform_fan_in", "weight": None}, InputError, "needs the path of the weight"),
        ({"bias": "centre", "weight": "head.bias"}, InputError, "needs the kernel of 'head.bias'"),
        ({"bias": "centre", "weight": "blocks.0.weight"}, InputError, "not the bias of 'blocks.0.weight'"),
        ({"scheme": "match_norm", "weight": "blocks.0.weight"}, InputError, "cannot hold norms"),
        ({"scheme": "match_norm", "weight": "nowhere"}, UnknownNameError, "Unknown parameter 'nowhere'"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_before_the_first_write(
    changes: dict[str, object], error: type[Exception], message: str
) -> None:
    model = Net()
    before = state(model)
    broken = edited(plan(trace(model, white((4, 8))), "he_normal"), "head.weight", **changes)
    with pytest.raises(error, match=message):
        apply(model, broken)
    assert all(torch.equal(before[name], value) for name, value in state(model).items())


def test_meta_tensors_are_named_and_the_way_out_is_said() -> None:
    planned = plan(trace(Net(), white((4, 8))), "he_normal")
    with torch.device("meta"):
        model = Net()
    with pytest.raises(ModelError, match=r"'blocks.0.weight' is on the meta device.*to_empty"):
        apply(model, planned)
    model.to_empty(device="cpu")
    apply(model, planned)
    expected = initialized(Net())
    assert all(torch.equal(expected[name], value) for name, value in state(model).items())


def test_lazy_layers_are_named_and_the_way_out_is_said() -> None:
    model = nn.Sequential(nn.LazyLinear(4))
    planned = plan(trace(model, white((2, 8))), "he_normal")
    with pytest.raises(ModelError, match=r"'0.weight' has no shape yet. Run one batch"):
        apply(model, planned)
    model(white((2, 8)))
    apply(model, planned)


def test_integer_weights_are_refused() -> None:
    model = nn.Module()
    model.codes = nn.Parameter(torch.zeros(2, 2, dtype=torch.int8), requires_grad=False)
    codes = Assignment("codes", Role.HIDDEN, (2, 2), "normal", kernel=KernelShape(2, 2))
    with pytest.raises(InputError, match=r"holds torch\.int8 values"):
        apply(model, Plan((codes,)))


def test_something_that_is_no_model_is_refused() -> None:
    with pytest.raises(InputError, match=r"Expected a torch.nn.Module"):
        apply(object(), Plan(()))


def test_automatic_plan_makes_a_deep_sigmoid_network_tell_examples_apart() -> None:
    layers: list[nn.Module] = []
    for index in range(12):
        layers += [nn.Linear(64 if index else 20, 64), nn.Sigmoid()]
    model = nn.Sequential(*layers, nn.Linear(64, 10))
    x = white((64, 20))
    share = {}
    for scheme in ("pytorch_default", "auto"):
        apply(model, plan(trace(copy.deepcopy(model), x), scheme))
        with torch.no_grad():
            last = model[:-2](x)
        share[scheme] = (last.var(0).mean() / last.var()).item()
    assert share["pytorch_default"] < 1e-3 < 0.3 < share["auto"]
