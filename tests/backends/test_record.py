"""Every figure of a measurement against plain PyTorch: taps on the same tensors, their gradients by autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from gainstage.backends.torch import record
from gainstage.errors import InputError, ModelError
from gainstage.graph import Operation

EXAMPLES, CLASSES = 8, 3
EPS = torch.finfo(torch.float32).eps
LAYERS = {Operation.LINEAR, Operation.CONVOLUTION, Operation.RECURRENT, Operation.EMBEDDING, Operation.ACTIVATION}


class Tapped(nn.Module):
    """A model that hands out its intermediate tensors, and their gradients, when it runs by itself."""

    def __init__(self, **layers: nn.Module) -> None:
        super().__init__()
        self.taps: list[tuple[torch.Tensor, list[torch.Tensor]]] | None = None
        for name, layer in layers.items():
            self.add_module(name, layer)

    def tap(self, x: torch.Tensor) -> torch.Tensor:
        if self.taps is not None:
            gradients: list[torch.Tensor] = []
            self.taps.append((x.detach().clone(), gradients))
            if x.requires_grad:
                x.register_hook(lambda gradient: gradients.append(gradient.detach().clone()))
        return x


class MLP(Tapped):
    def __init__(self):
        super().__init__(a=nn.Linear(5, 16), b=nn.Linear(16, 16), c=nn.Linear(16, CLASSES))

    def forward(self, x):
        x = self.tap(torch.tanh(self.tap(self.a(x))))
        x = self.tap(F.gelu(self.tap(self.b(x))))
        return self.tap(self.c(x))


class Convolutions(Tapped):
    """In-place activations and an in-place residual add."""

    def __init__(self):
        super().__init__(a=nn.Conv2d(3, 8, 3, padding=1), b=nn.Conv2d(8, 8, 3, padding=1), norm=nn.BatchNorm2d(8),
                         c=nn.Linear(8, CLASSES))  # fmt: skip

    def forward(self, x):
        x = x.reshape(EXAMPLES, 1, 5, 1).repeat(1, 3, 1, 5)
        x = self.tap(F.relu_(self.tap(self.a(x))))
        h = self.norm(self.tap(self.b(x)))
        h += x
        return self.tap(self.c(self.tap(F.relu(h, inplace=True)).mean((2, 3))))


class Reused(Tapped):
    def __init__(self):
        super().__init__(i=nn.Linear(5, 16), a=nn.Linear(16, 16), c=nn.Linear(16, CLASSES))

    def forward(self, x):
        x = self.tap(self.i(x))
        for _ in range(3):
            x = self.tap(self.a(self.tap(torch.tanh(x))))
        return self.tap(self.c(x))


class Attention(Tapped):
    """Packed projection, heads, a residual stream; fused or written out."""

    def __init__(self):
        super().__init__(e=nn.Linear(5, 16), qkv=nn.Linear(16, 48), o=nn.Linear(16, 16), norm=nn.LayerNorm(16),
                         c=nn.Linear(16, CLASSES))  # fmt: skip

    def attend(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v)

    def forward(self, x):
        x = x[:, None].repeat(1, 6, 1) + torch.arange(6.0)[:, None]
        x = self.tap(self.e(x))
        packed = self.tap(self.qkv(self.norm(x))).reshape(EXAMPLES, 6, 3, 4, 4)
        q, k, v = packed.permute(2, 0, 3, 1, 4).unbind(0)
        h = self.attend(q, k, v)
        x = x + self.tap(self.o(h.transpose(1, 2).reshape(EXAMPLES, 6, 16)))
        return self.tap(self.c(x.mean(1)))


class AttentionByHand(Attention):
    def attend(self, q, k, v):
        return (q @ k.transpose(-1, -2) / 2).softmax(-1) @ v


class LongShortTermMemory(Tapped):
    def __init__(self):
        super().__init__(r=nn.LSTM(5, 16, 2, batch_first=True), c=nn.Linear(16, CLASSES))

    def forward(self, x):
        h, _ = self.r(x[:, None].repeat(1, 4, 1))
        return self.tap(self.c(self.tap(h)[:, -1]))


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.tanh(x) * 2

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 2 * (1 - torch.tanh(ctx.saved_tensors[0]) ** 2)


class OwnFunction(Tapped):
    """What happens inside of an ``autograd.Function`` has no gradient of its own: only the layers around it count."""

    operations = frozenset({Operation.LINEAR})

    def __init__(self):
        super().__init__(a=nn.Linear(5, 16), b=nn.Linear(16, 16), c=nn.Linear(16, CLASSES))

    def forward(self, x):
        x = Doubled.apply(self.tap(self.a(x)))
        x = Doubled.apply(self.tap(self.b(x)))
        return self.tap(self.c(x))


class Checkpointed(Tapped):
    reentrant = False

    def __init__(self):
        super().__init__(a=nn.Linear(5, 16), b=nn.Linear(16, 16), d=nn.Linear(16, 16), c=nn.Linear(16, CLASSES))

    def block(self, x):
        recomputed, self.ran = self.ran, True
        return F.relu(self.b(x)) if recomputed else self.tap(F.relu(self.tap(self.b(x))))

    def forward(self, x):
        x = self.tap(self.a(x))
        self.ran = False
        plain = self.taps is not None  # the other route: no checkpoint at all
        x = self.block(x) if plain else checkpoint(self.block, x, use_reentrant=self.reentrant)
        return self.tap(self.c(self.tap(self.d(x))))


class CheckpointedReentrantly(Checkpointed):
    reentrant = True


class Views(Tapped):
    def __init__(self):
        super().__init__(a=nn.Linear(5, 16), b=nn.Linear(4, 8), c=nn.Linear(32, CLASSES))

    def forward(self, x):
        x = self.tap(F.relu(self.tap(self.a(x)).view(EXAMPLES, 4, 4)))
        return self.tap(self.c(self.tap(self.b(x.view(-1, 4)).view(EXAMPLES, 4, 8)).view(EXAMPLES, 32)))


class InPlaceOnViews(Tapped):
    """Activations and sums written through a view of the whole."""

    def __init__(self):
        super().__init__(a=nn.Linear(5, 16), b=nn.Linear(16, 16), c=nn.Linear(16, CLASSES))

    def forward(self, x):
        h = self.tap(self.a(x))
        h.view(EXAMPLES, 4, 4).relu_()
        self.tap(h)
        h = self.tap(self.b(h))
        h.view(-1).tanh_()
        self.tap(h)
        return self.tap(self.c(h))


class Tokens(Tapped):
    def __init__(self):
        super().__init__(e=nn.Embedding(7, 16), c=nn.Linear(16, CLASSES))

    def forward(self, x):
        ids = (x * 10).long().abs() % 7
        return self.tap(self.c(self.tap(F.silu(self.tap(self.e(ids)))).mean(1)))


class Gated(Tapped):
    def __init__(self):
        super().__init__(g=nn.Linear(5, 16), u=nn.Linear(5, 16), d=nn.Linear(16, CLASSES))

    def forward(self, x):
        return self.tap(self.d(self.tap(F.silu(self.tap(self.g(x)))) * self.tap(self.u(x))))


class Transposed(Tapped):
    """Sequence first, then flattened time-major."""

    def __init__(self):
        super().__init__(a=nn.Linear(5, 6), b=nn.Linear(6, 6), c=nn.Linear(6, CLASSES))
        self.example_axis = 1

    def forward(self, x):
        x = x[None].repeat(4, 1, 1) * torch.arange(1.0, 5)[:, None, None]
        x = self.tap(torch.tanh(self.tap(self.a(x))))
        return self.tap(self.c(self.tap(self.b(x)).mean(0)))


class Autocast(MLP):
    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(x).float()


NETS = [MLP, Convolutions, Reused, Attention, AttentionByHand, LongShortTermMemory, OwnFunction, Checkpointed,
        CheckpointedReentrantly, Views, InPlaceOnViews, Tokens, Gated, Transposed]  # fmt: skip


def batch():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(EXAMPLES, 5, generator=generator)
    return x, torch.randint(0, CLASSES, (EXAMPLES,), generator=generator)


def both(make, loss=F.cross_entropy, **options):
    """The measurement, and the taps of a plain pass, layer by layer."""
    torch.manual_seed(1)
    model, (x, y) = make(), batch()
    profile = record(model, x, y, loss=loss, **options)
    model.taps = []
    value = loss(model(x), y)
    value.backward()
    wanted = getattr(make, "operations", LAYERS)
    nodes = [n for n in profile.nodes if profile.node(n).operation in wanted]
    assert len(nodes) == len(model.taps)
    return profile, model, value.detach(), list(zip(nodes, model.taps, strict=True))


def close(measured, tensor, rel=None):
    """Sums of n terms in single precision, taken in another order, differ by less than n · eps."""
    expected = float(tensor.double().square().mean())
    assert measured == pytest.approx(expected, rel=rel or 100 * tensor.numel() ** 0.5 * EPS)


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("detail", ["standard", "lean"])
def test_levels_on_the_way_forward(make, detail):
    _, _, _, layers = both(make, detail=detail)
    for node, (tensor, _) in layers:
        close(node.forward.second_moment, tensor)
        assert node.forward.count == tensor.numel()
        assert node.forward.mean == pytest.approx(float(tensor.mean()), abs=10 * EPS * float(tensor.abs().max()))
        if detail == "standard":
            assert (node.forward.minimum, node.forward.maximum) == (float(tensor.min()), float(tensor.max()))


@pytest.mark.parametrize("make", NETS)
def test_levels_on_the_way_back(make):
    _, _, _, layers = both(make)
    for node, (_, gradients) in layers:
        assert (node.backward is None) == (not gradients)
        if gradients:
            close(node.backward.second_moment, gradients[0])


@pytest.mark.parametrize("make", NETS)
def test_gradients_of_parameters_and_the_loss(make):
    profile, model, value, _ = both(make)
    assert profile.task.loss.value == pytest.approx(float(value), rel=100 * EPS)
    for path, parameter in model.named_parameters():
        close(profile.by_path[path].gradient.second_moment, parameter.grad)


@pytest.mark.parametrize("make", NETS)
def test_the_share_of_variance_across_examples(make):
    """By definition, in NumPy: variance over examples at every place (unbiased), averaged, over all variance."""
    profile, _, _, layers = both(make)
    for node, (tensor, _) in layers:
        axis = 1 if make is Transposed and tensor.dim() == 3 else 0
        assert profile.node(node).example_axis is not None
        values = tensor.double().numpy()
        share = values.var(axis, ddof=1).mean() / values.var()
        assert node.forward.example_share == pytest.approx(min(share, 1), abs=1e-3 if share < 1e-2 else 1e-4)


def test_autocast_measures_what_really_flows():
    _, _, _, layers = both(Autocast)
    for node, (tensor, gradients) in layers:
        assert tensor.dtype is torch.bfloat16
        close(node.forward.second_moment, tensor)
        close(node.backward.second_moment, gradients[0])


def test_a_recurrent_layer_of_which_only_the_last_state_is_used():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.r, self.c = nn.GRU(5, 16), nn.Linear(16, CLASSES)

        def forward(self, x):
            _, state = self.r(x[None].repeat(4, 1, 1))
            self.state = state
            return self.c(state[-1])

    model, (x, y) = Last(), batch()
    node = next(n for n in record(model, x, y, loss=F.cross_entropy).nodes)
    output = model(x)
    (gradient,) = torch.autograd.grad(F.cross_entropy(output, y), model.state)
    close(node.backward.second_moment, gradient)


@pytest.mark.parametrize("cells", [nn.RNN, nn.GRU, nn.LSTM])
def test_rows_right_in_front_of_a_recurrent_layer_get_their_own_gradient(cells):
    """What a recurrent layer writes in place inside belongs to no node outside."""

    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.rows, self.r, self.c = nn.Embedding(20, 8), cells(8, 16, batch_first=True), nn.Linear(16, CLASSES)

        def forward(self, x):
            self.read = self.rows(x)
            return self.c(self.r(self.read)[0].mean(1))

    _, y = batch()
    model, x = Rows(), torch.randint(20, (len(y), 5))
    node = next(n for n in record(model, x, y, loss=F.cross_entropy).nodes)
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(x), y), model.read)
    assert node.backward.count == gradient.numel()
    close(node.backward.second_moment, gradient)


def test_a_recurrent_layer_of_which_the_outputs_and_the_last_state_are_used():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.r, self.c = nn.LSTM(5, 16), nn.Linear(16, CLASSES)

        def forward(self, x):
            self.out, (state, cell) = self.r(x[None].repeat(4, 1, 1))
            return self.c(self.out.mean(0) + state[-1] * cell[-1])

    model, (x, y) = Both(), batch()
    node = next(n for n in record(model, x, y, loss=F.cross_entropy).nodes)
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(x), y), model.out)
    close(node.backward.second_moment, gradient)


def test_what_is_written_into_a_part_of_a_tensor_stays_connected():
    class Halves(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(5, 8), nn.Linear(5, 8), nn.Linear(16, CLASSES)

        def forward(self, x):
            both = x.new_zeros(len(x), 16)
            both[:, :8] = self.a(x)
            both[:, 8:] = self.b(x)
            return self.c(both)

    x, y = batch()
    profile = record(Halves(), x, y, loss=F.cross_entropy)
    graph = profile.graph
    last = graph.parameter("c.weight").nodes[0]
    reaching = {last}
    for node in reversed(graph.nodes):
        if node.index in reaching:
            reaching |= set(node.inputs)
    assert {graph.parameter(p).nodes[0] for p in ("a.weight", "b.weight")} <= reaching
    assert graph.nodes[last].example_axis == 0


def test_hand_written_functions_are_measured_once_and_their_steps_are_not():
    class ByHand(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.gain = nn.Linear(5, 8), nn.Parameter(torch.full((8,), 2.0))

        def forward(self, x):
            x = self.layer(x)
            x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.gain
            return x * 0.5 * (1 + torch.tanh(x + 0.04 * x.pow(3)))

    x, _ = batch()
    profile = record(ByHand(), x)
    kinds = [profile.node(n).operation for n in profile.nodes]
    assert kinds == [Operation.LINEAR, Operation.NORMALIZATION, Operation.ACTIVATION]
    assert profile.nodes[1].forward.second_moment == pytest.approx(4, rel=1e-3)  # eps and single precision


def test_no_loss_means_random_signs_and_no_gradient_means_a_note():
    model, (x, _) = MLP(), batch()
    profile = record(model, x)
    assert profile.task.loss is None
    assert profile.nodes[-1].backward.second_moment == pytest.approx(1 / EXAMPLES**2)
    model.requires_grad_(False)
    profile = record(model, x)
    assert [note.code for note in profile.notes] == ["GS901"]
    assert not profile.backward


# -- non-finite values ------------------------------------------------------------------------------------------------


class Breaking(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.a, self.b, self.function = nn.Linear(5, 4), nn.Linear(4, CLASSES), function

    def forward(self, x):
        return self.b(torch.tanh(self.function(torch.relu(self.a(x)) + 1)))


BREAKING = {
    "log": ("log", lambda x: torch.log(x - x)),
    "div": ("div", lambda x: x / torch.zeros(4)),
    "sqrt": ("sqrt", lambda x: torch.sqrt(-x)),
    "exp": ("exp", lambda x: torch.exp(x * 1000)),
    "sub": ("sub", lambda x: (x * 1e38 * 10) - torch.exp(x)),
    "softmax of nothing": (
        "_softmax",
        lambda x: x.masked_fill(torch.ones(4, dtype=torch.bool), -torch.inf).softmax(-1),
    ),
}


@pytest.mark.parametrize("name", BREAKING)
def test_the_first_non_finite_value_is_found_at_the_operation_that_makes_it(name):
    expected, function = BREAKING[name]
    x, y = batch()
    profile = record(Breaking(function), x, y, loss=F.cross_entropy)
    found = profile.graph.nodes[profile.first_nonfinite].name
    assert found == ("mul" if name == "sub" else expected)


def test_masks_of_minus_infinity_are_no_fault():
    class Causal(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.c = nn.Linear(5, 4), nn.Linear(5, 4), nn.Linear(5, CLASSES)
            self.register_buffer("mask", torch.full((EXAMPLES, EXAMPLES), -torch.inf).triu(1))

        def forward(self, x):
            return self.c((self.q(x) @ self.k(x).T + self.mask).softmax(-1) @ x)

    x, y = batch()
    profile = record(Causal(), x, y, loss=lambda o, t: F.cross_entropy(o, t) * torch.inf)
    assert profile.graph.nodes[profile.first_nonfinite].stage == "loss"
    assert record(Causal(), x, y, loss=F.cross_entropy).first_nonfinite is None


def test_a_weight_that_is_not_a_number_is_found_where_it_is_used():
    model, (x, y) = MLP(), batch()
    with torch.no_grad():
        model.b.weight[0, 0] = torch.nan
    profile = record(model, x, y, loss=F.cross_entropy)
    assert profile.graph.nodes[profile.first_nonfinite].path == "b"
    assert not profile.by_path["b.weight"].weight.finite


@pytest.mark.parametrize("level", [1e-25, 1e30])
def test_levels_far_outside_single_precision(level):
    model, (x, _) = nn.Linear(5, 64, bias=False), batch()
    with torch.no_grad():
        model.weight.mul_(level)
    profile = record(model, x)
    node = profile.nodes[0]
    expected = (x.double() @ model.weight.detach().double().T).numpy()
    assert node.forward.second_moment == pytest.approx(np.mean(expected**2), rel=1e-4)
    assert node.forward.example_share == pytest.approx(min(expected.var(0, ddof=1).mean() / expected.var(), 1))
    assert profile.first_nonfinite is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions(dtype):
    model, (x, _) = nn.Sequential(nn.Linear(5, 64), nn.Tanh()).to(dtype), batch()
    profile = record(model, x.to(dtype))
    hidden = model[0](x.to(dtype))
    for node, tensor in zip(profile.nodes, (hidden, torch.tanh(hidden)), strict=True):
        close(node.forward.second_moment, tensor.detach().double())
    assert profile.source.dtype == str(dtype).removeprefix("torch.")


# -- bad input ---------------------------------------------------------------------------------------------------------


def raises(kind, text, *args, **options):
    with pytest.raises(kind, match=text):
        record(*args, **options)


def test_bad_input_is_refused_with_advice():
    model, (x, y) = MLP(), batch()
    raises(InputError, "Expected a torch.nn.Module", "resnet18", x)
    raises(InputError, "Expected a torch.nn.Module", lambda x: x, x)
    raises(InputError, "batch is empty", model, torch.zeros(0, 5))
    raises(InputError, "holds no tensor", model, "abc")
    raises(InputError, "holds no tensor", model, ())
    raises(InputError, "NaN or infinite", model, torch.full((2, 5), torch.nan))
    raises(InputError, "NaN or infinite", model, torch.full((2, 5), torch.inf))
    raises(InputError, "without a loss", model, x, y)
    raises(InputError, "labels .* NaN", model, x, torch.full((8, 3), torch.nan), loss=F.mse_loss)
    raises(InputError, "Unknown detail 'full'", model, x, detail="full")
    raises(InputError, "one number", model, x, y, loss=lambda o, t: F.cross_entropy(o, t, reduction="none"))
    raises(InputError, "returned float", model, x, y, loss=lambda o, t: 1.0)
    raises(InputError, "torch.optim.Optimizer", model, x, y, loss=F.cross_entropy, optimizer="adam")


def test_models_that_cannot_be_measured_say_why():
    x, y = batch()
    raises(ModelError, "model raised RuntimeError", MLP(), torch.zeros(2, 7))
    raises(ModelError, "loss raised", MLP(), x, y + 100, loss=F.cross_entropy)
    raises(ModelError, "meta device", MLP().to("meta"), x)

    class Returns(nn.Module):
        def __init__(self, value):
            super().__init__()
            self.layer, self.value = nn.Linear(5, 5), value

        def forward(self, x):
            self.layer(x)
            return self.value

    for value in (None, 3, "text", torch.zeros(3, dtype=torch.long), {"logits": None}):
        raises(ModelError, "no floating tensor", Returns(value), x)


def test_a_backward_pass_that_raises_is_told():
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, gradient):
            raise ValueError("no way back")

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, CLASSES)

        def forward(self, x):
            return Broken.apply(self.layer(x))

    x, y = batch()
    raises(ModelError, "backward pass raised ValueError: no way back", Model(), x, y, loss=F.cross_entropy)
