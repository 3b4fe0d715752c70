"""Networks over tokens: attention, mixing, recurrence, bags of words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import nn

from collection.case import Architecture, images, normal, tokens

__all__ = ["SEQUENCES"]

WIDTH, DEPTH, WORDS, TOKENS = 256, 4, 1000, 48
SIZES = {
    "vocab_size": WORDS, "hidden_size": WIDTH, "num_hidden_layers": DEPTH, "num_attention_heads": 4,
    "intermediate_size": 3 * WIDTH, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2,
}  # fmt: skip


def hugging_face(architecture: str, configuration: str, **options: Any) -> Callable[[], nn.Module]:
    """A model of the library, drawn anew."""

    def build() -> nn.Module:
        config = getattr(transformers, configuration)(**options)
        config.use_cache = False
        return getattr(transformers, architecture)(config).train()

    return build


class Patches(nn.Module):
    """An image as a row of tokens, through blocks over tokens, to ten classes."""

    def __init__(self, channels: int, size: int, patch: int, blocks: Callable[[int], list[nn.Module]]) -> None:
        super().__init__()
        self.embed, count = nn.Conv2d(channels, WIDTH, patch, patch), (size // patch) ** 2
        self.positions = nn.Parameter(0.02 * torch.randn(1, count, WIDTH))
        self.blocks, self.norm, self.head = nn.Sequential(*blocks(count)), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.blocks(x)).mean(1))


class Mixer(nn.Module):
    """Two layers over tokens, two over channels (Tolstikhin 2021)."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.over_tokens = nn.Sequential(nn.Linear(count, 256), nn.GELU(), nn.Linear(256, count))
        self.over_channels = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x):
        x = x + self.over_tokens(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        return x + self.over_channels(self.norms[1](x))


def encoder(*, norm_first: bool) -> nn.Module:
    """PyTorch's own encoder layer."""
    return nn.TransformerEncoderLayer(WIDTH, 4, 3 * WIDTH, 0.1, batch_first=True, norm_first=norm_first)


class PostNorm(nn.Module):
    """An encoder that normalises after every sum, on vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.head = nn.Sequential(*(encoder(norm_first=False) for _ in range(DEPTH))), nn.Linear(WIDTH, 10)

    def forward(self, x):
        return self.head(self.layers(x))


class Recurrent(nn.Module):
    """Recurrent layers over vectors, a head on every output."""

    def __init__(self, kind: type[nn.RNNBase], layers: int = 2, forget: float = 0.0) -> None:
        super().__init__()
        self.cells = nn.ModuleList(kind(WIDTH, WIDTH, batch_first=True) for _ in range(layers))
        self.head = nn.Linear(WIDTH, 10)
        for cell in self.cells:
            if forget:
                nn.init.constant_(cell.bias_ih_l0[WIDTH : 2 * WIDTH], forget)

    def forward(self, x):
        for cell in self.cells:
            x = cell(x)[0]
        return self.head(x)


class Bag(nn.Module):
    """The mean of the words' vectors, and two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.hidden, self.head = nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, ids):
        return self.head(torch.relu(self.hidden(self.words(ids).mean(1))))


TEXT = tokens(4, TOKENS, WORDS)
VECTORS = normal(8, 32, WIDTH)

SEQUENCES = (
    Architecture(
        "ViT",
        "attention",
        lambda: Patches(1, 28, 4, lambda _: [encoder(norm_first=True) for _ in range(DEPTH)]),
        images(4, 1, 28),
        real="mnist",
    ),
    Architecture(
        "MLP-Mixer",
        "normalised",
        lambda: Patches(1, 28, 4, lambda n: [Mixer(n) for _ in range(DEPTH)]),
        images(4, 1, 28),
        real="mnist",
    ),
    Architecture(
        "GPT-2",
        "attention",
        hugging_face(
            "GPT2LMHeadModel",
            "GPT2Config",
            n_layer=DEPTH,
            n_embd=WIDTH,
            n_head=4,
            vocab_size=WORDS,
            n_positions=64,
            bos_token_id=1,
            eos_token_id=2,
        ),
        TEXT,
    ),
    Architecture("Llama", "attention", hugging_face("LlamaForCausalLM", "LlamaConfig", **SIZES), TEXT),
    Architecture(
        "Mistral, grouped queries",
        "attention",
        hugging_face(
            "MistralForCausalLM", "MistralConfig", num_key_value_heads=2, initializer_range=WIDTH**-0.5, **SIZES
        ),
        TEXT,
    ),
    Architecture("BERT", "attention", hugging_face("BertForMaskedLM", "BertConfig", **SIZES), TEXT),
    Architecture(
        "T5 encoder",
        "attention",
        hugging_face(
            "T5EncoderModel",
            "T5Config",
            vocab_size=WORDS,
            d_model=WIDTH,
            d_kv=64,
            d_ff=3 * WIDTH,
            num_layers=DEPTH,
            num_heads=4,
            pad_token_id=0,
            eos_token_id=2,
        ),
        TEXT,
    ),
    Architecture("encoder, post-norm", "attention", PostNorm, normal(4, TOKENS, WIDTH), "glorot_uniform"),
    Architecture("RNN, tanh", "recurrent", lambda: Recurrent(nn.RNN), VECTORS),
    Architecture("LSTM", "recurrent", lambda: Recurrent(nn.LSTM), VECTORS),
    Architecture("LSTM, forget bias 1", "recurrent", lambda: Recurrent(nn.LSTM, forget=1.0), VECTORS),
    Architecture("GRU", "recurrent", lambda: Recurrent(nn.GRU), VECTORS),
    Architecture("bag of words", "fully connected", Bag, tokens(64, 24, WORDS)),
)
