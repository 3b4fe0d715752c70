"""Weights that no gradient reaches: cut, behind two zero factors, or whose inputs are masked."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, sick
from exam.problems import areas, digits, features, misclassified, picture, prices, ratio_of_variance, tags, tones

FAMILY = "wiring"


@sick(
    "no-gradient-anywhere",
    family=FAMILY,
    cause="the loss is wrapped in a new tensor that requires a gradient of its own, which cuts it off from the model",
    link="https://github.com/speechbrain/speechbrain/issues/735",
)
def loss_wrapped_in_a_new_tensor(seed: int, cured: bool) -> Case:
    def objective(output: Tensor, y: Tensor) -> Tensor:
        value = F.cross_entropy(output, y)
        return value if cured else value.detach().clone().requires_grad_(True)

    x, y = tones(seed)
    net = nn.Sequential(nn.Conv1d(1, 12, 16, stride=8), nn.ReLU(), nn.Flatten(), nn.Linear(180, 4))
    return Case(net, x, y, objective, adam(3e-3), misclassified, steps=60)


@sick(
    "no-gradient-anywhere",
    family=FAMILY,
    cause="the coordinates are read off with an argmax before the loss, which has no gradient",
    link="https://github.com/LZGMatrix/BOP19_CDPN_2019ICCV/issues/4",
)
def coordinates_read_off_with_argmax(seed: int, cured: bool) -> Case:
    class Pose(nn.Module):
        def __init__(self, bins: int = 16) -> None:
            super().__init__()
            self.net, self.bins = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, bins)), bins
            self.register_buffer("centres", torch.linspace(-2.5, 2.5, bins))

        def forward(self, x: Tensor) -> Tensor:
            maps = self.net(x)
            if cured:
                return (maps.softmax(-1) * self.centres).sum(-1, keepdim=True)
            return self.centres[maps.argmax(-1)].unsqueeze(-1)

    x, y = prices(seed)
    return Case(Pose(), x, y, F.smooth_l1_loss, adam(5e-3), ratio_of_variance, steps=100)


@sick(
    "no-gradient-anywhere",
    family=FAMILY,
    cause="the network runs with gradients switched off, so that nothing reaches its weights",
    link="https://github.com/haowang1992/DSN/issues/2",
)
def forward_under_no_grad(seed: int, cured: bool) -> Case:
    class Embedder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 8, 3)
            self.norm, self.fc = nn.BatchNorm2d(8), nn.Linear(288, 10)

        def features(self, x: Tensor) -> Tensor:
            return F.relu(self.norm(self.conv(x))).flatten(1)

        def forward(self, x: Tensor) -> Tensor:
            with torch.set_grad_enabled(cured):
                return self.fc(self.features(x))

    x, y = digits(seed)
    return Case(Embedder(), x, y, F.cross_entropy, adam(3e-3), misclassified, steps=60)


@sick(
    "gradient-cut",
    family=FAMILY,
    cause="the encoder's features are detached although the encoder is meant to train and starts untrained",
    place=("encoder",),
    link="https://github.com/Ugenteraan/Deep_Hierarchical_Classification/issues/6",
)
def detached_encoder(seed: int, cured: bool) -> Case:
    class Hierarchical(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(16, 5), nn.ReLU())
            self.coarse, self.fine = nn.Linear(5, 2), nn.Linear(5, 4)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            z = self.encoder(x)
            z = z if cured else z.data
            return self.coarse(z), self.fine(z)

    def loss(output: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
        return F.cross_entropy(output[0], y // 2) + F.cross_entropy(output[1], y)

    x, y = features(seed)
    return Case(Hierarchical(), x, y, loss, adam(1e-2), steps=120)


@sick(
    "gradient-cut",
    family=FAMILY,
    cause="the quantiser rounds, and its backward pass returns zeros: nothing before it trains",
    place=("before",),
    link="https://github.com/sonack/How_to_write_cuda_extensions_in_pytorch/issues/2",
)
def rounding_whose_backward_is_zero(seed: int, cured: bool) -> Case:
    class Round(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):  # type: ignore[no-untyped-def]
            return torch.round(x)

        @staticmethod
        def backward(ctx, grad):  # type: ignore[no-untyped-def]
            return grad if cured else torch.zeros_like(grad)

    class Quantised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 6))
            self.after = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.after(Round.apply(4 * self.before(x)) / 4)

    x, y = prices(seed)
    return Case(Quantised(), x, y, F.mse_loss, adam(5e-3), ratio_of_variance, steps=200)


@sick(
    "two-zero-factors",
    family=FAMILY,
    cause="a zero convolution follows a projection that starts at zero as well: each gets a gradient of zero "
    "from the other",
    place=("control.proj_out", "control.zero_conv"),
    link="https://github.com/lllyasviel/ControlNet/issues/510",
)
def two_zero_convolutions_in_series(seed: int, cured: bool) -> Case:
    class Control(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hint = nn.Conv2d(1, 8, 3, padding=1)
            self.proj_out, self.zero_conv = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
            for conv in [self.zero_conv] + ([] if cured else [self.proj_out]):
                nn.init.zeros_(conv.weight)
                nn.init.zeros_(conv.bias)

        def forward(self, c: Tensor) -> Tensor:
            return self.zero_conv(self.proj_out(F.silu(self.hint(c))))

    class Controlled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.out = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 1, 3, padding=1)
            self.requires_grad_(False)
            self.control = Control()

        def forward(self, noise: Tensor, hint: Tensor) -> Tensor:
            return self.out(F.silu(self.stem(noise) + self.control(hint)))

    image, mask = areas(seed)
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    optimizer = lambda m: torch.optim.AdamW(m.control.parameters(), lr=1e-2)  # noqa: E731
    return Case(Controlled(), (noise, image), 0.5 * mask, F.mse_loss, optimizer, steps=80)


@sick(
    "two-zero-factors",
    family=FAMILY,
    cause="wrapping the model sets both low-rank factors to zero, so that neither gets a gradient from the other",
    place=("layers",),
    link="https://github.com/Guitaricet/relora/issues/18",
)
def low_rank_factors_both_zero(seed: int, cured: bool) -> Case:
    class ReLoRaLinear(nn.Module):
        def __init__(self, base: nn.Linear, rank: int = 4) -> None:
            super().__init__()
            self.base = base.requires_grad_(False)
            self.lora_A = nn.Linear(base.in_features, rank, bias=False)
            self.lora_B = nn.Linear(rank, base.out_features, bias=False)
            nn.init.zeros_(self.lora_B.weight)
            if not cured:
                nn.init.zeros_(self.lora_A.weight)

        def forward(self, x: Tensor) -> Tensor:
            return self.base(x) + 2 * self.lora_B(self.lora_A(x))

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(ReLoRaLinear(nn.Linear(i, o)) for i, o in ((16, 32), (32, 32), (32, 4)))

        def trainable(self) -> Iterator[nn.Parameter]:
            return (p for p in self.parameters() if p.requires_grad)

        def forward(self, x: Tensor) -> Tensor:
            return self.layers[2](F.gelu(self.layers[1](F.gelu(self.layers[0](x)))))

    x, y = features(seed)
    optimizer = lambda m: torch.optim.Adam(m.trainable(), lr=1e-2)  # noqa: E731
    return Case(Wrapped(), x, y, F.cross_entropy, optimizer, misclassified, steps=100)


@sick(
    "two-zero-factors",
    family=FAMILY,
    cause="a residual gate and the last layer of its branch both start at zero: the whole branch stays silent for good",
    place=("blocks",),
    link="https://arxiv.org/abs/2003.04887",
)
def zero_gate_on_a_zero_layer(seed: int, cured: bool) -> Case:
    class Block(nn.Module):
        def __init__(self, d: int) -> None:
            super().__init__()
            self.up, self.down = nn.Linear(d, 2 * d), nn.Linear(2 * d, d)
            self.alpha = nn.Parameter(torch.zeros(1))
            if not cured:
                nn.init.zeros_(self.down.weight)
                nn.init.zeros_(self.down.bias)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.alpha * self.down(torch.sin(3 * self.up(x)))

    xy, value = picture(12, waves=1.5)
    net = nn.Sequential(nn.Linear(2, 16), *[Block(16) for _ in range(3)], nn.Linear(16, 1))
    return Case(net, xy, value, F.mse_loss, adam(1e-2), ratio_of_variance, steps=150)


@sick(
    "inputs-ignored",
    family=FAMILY,
    cause="the mask is inverted: attention pooling reads the padding and none of the tokens",
    place=("pool",),
    link="https://github.com/pytorch/pytorch/issues/27968",
)
def attention_that_reads_the_padding(seed: int, cured: bool) -> Case:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.query = nn.Linear(16, 16), nn.Parameter(torch.randn(1, 1, 16))
            self.pool, self.out = nn.MultiheadAttention(16, 2, batch_first=True), nn.Linear(16, 5)

        def forward(self, tokens: Tensor, padded: Tensor) -> Tensor:
            h = self.embed(tokens)
            mask = padded if cured else ~padded
            return self.out(self.pool(self.query.expand(len(h), -1, -1), h, h, key_padding_mask=mask)[0][:, 0])

    x, y = tags(seed)
    tokens = torch.stack([x, 0.5 * x, torch.zeros_like(x), torch.zeros_like(x)], 1)
    padded = torch.tensor([False, False, True, True]).expand(len(x), -1)
    loss = nn.BCEWithLogitsLoss()
    return Case(Pooled(), (tokens, padded), y, loss, adam(5e-3), steps=100)
