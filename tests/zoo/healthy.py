"""Healthy networks at sensible initializations: whoever flags one of these is wrong."""

from __future__ import annotations

from functools import partial

import torch
import transformers
from torch import nn
from torch.nn import functional
from torch.nn.init import kaiming_normal_, normal_, xavier_normal_

from zoo import data
from zoo.case import Case
from zoo.hf import HUGGING_FACE
from zoo.networks import MLP, VGG, EncoderClassifier, MobileNet, ResidualMLP, ResidualNet, SequenceClassifier

__all__ = ["HEALTHY"]


def lecun_normal_(weight: torch.Tensor) -> None:
    normal_(weight, std=weight.shape[1] ** -0.5)


def small_(weight: torch.Tensor) -> None:
    normal_(weight, std=0.3 * weight.shape[1] ** -0.5)


class Mixer(nn.Module):
    """MLP-Mixer on the rows of an image."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.project, self.head, self.norm = nn.Linear(8, width), nn.Linear(width, 10), nn.LayerNorm(width)
        self.tokens = nn.ModuleList([MLP(8, 32, 8, activation=nn.GELU) for _ in range(2)])
        self.channels = nn.ModuleList([MLP(width, 64, width, activation=nn.GELU) for _ in range(2)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(4)])

    def forward(self, x):
        x = self.project(x)
        for index, (tokens, channels) in enumerate(zip(self.tokens, self.channels, strict=True)):
            x = x + tokens(self.norms[2 * index](x).transpose(1, 2)).transpose(1, 2)
            x = x + channels(self.norms[2 * index + 1](x))
        return self.head(self.norm(x).mean(1))


class UNet(nn.Module):
    """Down and up again with batch norm and concatenated skips; says for every pixel whether there is ink."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()

        def block(inputs: int, outputs: int) -> nn.Module:
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
                nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
            )  # fmt: skip

        self.down, self.bottom, self.up = block(1, width), block(width, 2 * width), block(2 * width, width)
        self.upsample, self.head = nn.ConvTranspose2d(2 * width, width, 2, 2), nn.Conv2d(width, 1, 1)

    def forward(self, x):
        skip = self.down(x)
        x = self.upsample(self.bottom(functional.max_pool2d(skip, 2)))
        return self.head(self.up(torch.cat([x, skip], 1)))


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, layer norm, inverted bottleneck, layer scale that starts at 1e-6."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise, self.norm = nn.Conv2d(width, width, 7, padding=3, groups=width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, x):
        branch = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.gamma * self.down(functional.gelu(self.up(branch)))).permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """A stem and three blocks."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(1, width, 2, 2), nn.Sequential(*[ConvNeXtBlock(width) for _ in range(3)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x):
        return self.head(self.norm(self.blocks(self.stem(x)).mean((2, 3))))


class Adapted(nn.Module):
    """A frozen network with low-rank adapters that start at zero, and a new head."""

    def __init__(self, rank: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(64, 64) for _ in range(3)]).requires_grad_(False)
        for layer in self.layers:
            kaiming_normal_(layer.weight)
        self.a = nn.ParameterList([torch.randn(rank, 64) / 8 for _ in range(3)])
        self.b = nn.ParameterList([torch.zeros(64, rank) for _ in range(3)])
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        for layer, a, b in zip(self.layers, self.a, self.b, strict=True):
            x = torch.relu(layer(x) + functional.linear(functional.linear(x, a), b))
        return self.head(x)


class Siamese(nn.Module):
    """One encoder for both inputs; the squared distance says whether they differ."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.scale, self.shift = (
            MLP(64, 64, 16),
            nn.Parameter(torch.ones(1)),
            nn.Parameter(torch.zeros(1)),
        )

    def forward(self, first, second):
        distance = (self.encoder(first) - self.encoder(second)).square().mean(1, keepdim=True)
        return self.scale * distance + self.shift


class Bag(nn.Module):
    """Mean of embeddings, as in fastText."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.EmbeddingBag(32, 32, mode="mean"), nn.Linear(32, 10)

    def forward(self, ids):
        return self.head(self.embed(ids))


class Probabilities(nn.Module):
    """Ends in a softmax, for a loss that expects it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = MLP(64, 64, 10)

    def forward(self, x):
        return self.body(x).softmax(-1)


def logistic_regression() -> nn.Module:
    layer = nn.Linear(64, 10)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def nll_of_log(probabilities: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.nll_loss(probabilities.log(), target)


def differ() -> torch.Tensor:
    y = data.labels()
    return (y != y.roll(1, 0)).float().unsqueeze(1)


def ink() -> torch.Tensor:
    return (data.images() > 0).float()


def language_model() -> nn.Module:
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=32,
            n_embd=64,
            n_layer=3,
            n_head=4,
            n_positions=16,
            bos_token_id=1,
            eos_token_id=2,
            use_cache=False,
        )
    ).train()


def causal() -> dict[str, torch.Tensor]:
    ids = torch.randint(0, 32, (32, 16))
    return {"input_ids": ids, "labels": ids.clone()}


def vision_transformer() -> nn.Module:
    return transformers.ViTForImageClassification(
        transformers.ViTConfig(
            image_size=16, patch_size=4, hidden_size=48, num_hidden_layers=3, num_attention_heads=4,
            intermediate_size=96,
            num_labels=10,
        )
    ).train()  # fmt: skip


def labelled_pixels() -> dict[str, torch.Tensor]:
    return {"pixel_values": data.wide_images(), "labels": data.labels()}


def adam(rate: float):
    return lambda model: torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=rate)


def sgd(rate: float):
    return lambda model: torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)


def classifier(name: str, build, inputs=data.digits, **more) -> Case:
    return Case(name, build, inputs, data.labels, functional.cross_entropy, **more)


HEALTHY = (
    classifier("logistic regression from zero", logistic_regression, optimizer=sgd(0.1)),
    classifier("default relu network of two layers", lambda: MLP(64, 128, 10), optimizer=adam(1e-3)),
    classifier("default relu network of three layers", lambda: MLP(64, 128, 64, 10)),
    classifier("default relu network of four layers", lambda: MLP(64, 128, 128, 128, 10), optimizer=sgd(0.05)),
    classifier("default tanh network of three layers", lambda: MLP(64, 64, 64, 10, activation=nn.Tanh)),
    classifier("default sigmoid network of two layers", lambda: MLP(64, 64, 10, activation=nn.Sigmoid)),
    classifier("he relu network of ten layers", lambda: MLP(64, *[128] * 9, 10, rule=kaiming_normal_, head=small_),
               optimizer=adam(1e-3)),
    classifier("xavier relu network of eight layers", lambda: MLP(64, *[128] * 7, 10, rule=xavier_normal_)),
    classifier("xavier tanh network of six layers", lambda: MLP(64, *[128] * 5, 10, activation=nn.Tanh,
           rule=xavier_normal_),
               optimizer=sgd(0.05)),
    classifier("orthogonal tanh network of twenty layers",
               lambda: MLP(64, *[96] * 19, 10, activation=nn.Tanh, rule=nn.init.orthogonal_)),
    classifier("lecun selu network of sixteen layers",
               lambda: MLP(64, *[128] * 15, 10, activation=nn.SELU, rule=lecun_normal_, head=small_)),
    classifier("he leaky relu network",
               lambda: MLP(64, *[128] * 6, 10, activation=partial(nn.LeakyReLU, 0.2),
                           rule=partial(kaiming_normal_, a=0.2), head=small_)),
    classifier("default gelu network of three layers", lambda: MLP(64, 128, 128, 10, activation=nn.GELU)),
    classifier("vgg with batch norm", VGG, data.images, optimizer=sgd(0.05)),
    classifier("vgg with batch norm in evaluation", lambda: VGG().eval(), data.images),
    classifier("resnet with batch norm", ResidualNet, data.images, optimizer=sgd(0.05)),
    classifier("resnet whose branches start at zero", lambda: ResidualNet(zero_branches=True), data.images),
    classifier("fixup resnet without batch norm", lambda: ResidualNet(norm=False, zero_branches=True), data.images),
    classifier("depthwise network with batch norm", MobileNet, data.images, optimizer=adam(1e-3)),
    classifier("convnext with layer scale", ConvNeXt, data.images, optimizer=adam(1e-3)),
    classifier("pre-norm residual network", ResidualMLP),
    classifier("residual network with skipped scales", lambda: ResidualMLP(12, norm=False, scale=0.3)),
    classifier("pre-norm transformer", EncoderClassifier, data.rows, optimizer=adam(1e-3)),
    classifier("post-norm transformer of two layers", lambda: EncoderClassifier(norm_first=False), data.rows),
    classifier("mixer", Mixer, data.rows),
    classifier("lstm", lambda: SequenceClassifier(nn.LSTM(8, 32, batch_first=True)), data.rows, optimizer=adam(1e-3)),
    classifier("gru", lambda: SequenceClassifier(nn.GRU(8, 32, batch_first=True)), data.rows),
    classifier("bidirectional lstm of two layers",
               lambda: SequenceClassifier(nn.LSTM(8, 32, 2, bidirectional=True, batch_first=True), 64), data.rows),
    classifier("dropout network", lambda: nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.5),
           nn.Linear(128, 10))),
    classifier("low-rank adapters", Adapted, optimizer=adam(1e-3)),
    classifier("bag of words", Bag, data.words()),
    Case("softmax and negative log-likelihood of its logarithm", Probabilities, data.digits, data.labels, nll_of_log),
    Case("binary classifier", lambda: MLP(64, 64, 1), data.digits, data.parity,
         functional.binary_cross_entropy_with_logits,
         adam(1e-3)),
    Case("binary classifier with a sigmoid", lambda: nn.Sequential(*MLP(64, 64, 1), nn.Sigmoid()), data.digits,
         data.parity,
         functional.binary_cross_entropy),
    Case("regression", lambda: MLP(64, 64, 64, 1), data.digits, data.scores, functional.mse_loss, adam(1e-3)),
    Case("autoencoder", lambda: MLP(64, 32, 8, 32, 64), data.digits, data.digits, functional.mse_loss, adam(1e-3)),
    Case("u-net", UNet, data.images, ink, functional.binary_cross_entropy_with_logits),
    Case("siamese", Siamese, data.pairs, differ, functional.binary_cross_entropy_with_logits),
    Case("language model", language_model, causal, optimizer=lambda m: torch.optim.AdamW(m.parameters(), lr=3e-4)),
    Case("vision transformer", vision_transformer, labelled_pixels),
    next(case for case in HUGGING_FACE if case.name == "bert"),
    Case("no labels, no loss", lambda: MLP(64, 128, 128, 10), data.digits),
)  # fmt: skip
