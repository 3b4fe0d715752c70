"""Published configurations by their own code, and what is put on top of frozen weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, healthy
from exam.problems import digits, features, generator, markov, misclassified

SMALL: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def own_loss(output: Any, _: Any) -> Tensor:
    return output.loss


@healthy("Hugging Face configuration", "https://huggingface.co/docs/transformers/model_doc/bert")
def bert_for_sequences(seed: int) -> Case:
    from transformers import BertConfig, BertForSequenceClassification

    model = BertForSequenceClassification(BertConfig(vocab_size=20, max_position_embeddings=12, num_labels=2, **SMALL))
    x, _ = markov(seed, n=48)
    y = (x.float().mean(1) > 9.5).long()
    optimizer = lambda m: torch.optim.AdamW(m.parameters(), lr=3e-3)  # noqa: E731
    return Case(model.train(), {"input_ids": x, "labels": y}, y, own_loss, optimizer, steps=40)


@healthy("Hugging Face configuration", "https://huggingface.co/docs/transformers/model_doc/gpt2")
def gpt2_language_model(seed: int) -> Case:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=20, n_positions=12, n_embd=32, n_layer=2, n_head=4))
    x, _ = markov(seed, n=48)
    return Case(model.train(), {"input_ids": x, "labels": x}, x, own_loss, adam(3e-3), steps=40)


@healthy("Hugging Face configuration", "https://huggingface.co/docs/transformers/model_doc/llama")
def llama_with_logits_and_shifted_labels(seed: int) -> Case:
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(LlamaConfig(vocab_size=20, num_key_value_heads=2, max_position_embeddings=16, **SMALL))
    x, y = markov(seed, n=48)
    loss = lambda out, y: F.cross_entropy(out.logits.flatten(0, 1), y.flatten())  # noqa: E731
    return Case(model.train(), {"input_ids": x}, y, loss, adam(3e-3), steps=40)


@healthy("Hugging Face configuration", "https://huggingface.co/docs/transformers/model_doc/vit")
def vit_for_images(seed: int) -> Case:
    from transformers import ViTConfig, ViTForImageClassification

    model = ViTForImageClassification(ViTConfig(image_size=8, patch_size=2, num_channels=1, num_labels=10, **SMALL))
    x, y = digits(seed, 64)
    loss = lambda out, y: F.cross_entropy(out.logits, y)  # noqa: E731
    error = lambda out, y: misclassified(out.logits, y)  # noqa: E731
    return Case(model.train(), {"pixel_values": 2 * x - 1}, y, loss, adam(3e-3), error, steps=50)


@healthy("low-rank adapters", "https://arxiv.org/abs/2106.09685")
def low_rank_adapters_on_frozen_layers(seed: int) -> Case:
    class LoRALinear(nn.Linear):
        def __init__(self, i: int, o: int, r: int = 4) -> None:
            super().__init__(i, o)
            self.weight.requires_grad_(False)
            self.bias.requires_grad_(False)
            self.lora_A, self.lora_B = nn.Parameter(torch.empty(r, i)), nn.Parameter(torch.zeros(o, r))
            nn.init.kaiming_uniform_(self.lora_A, a=5**0.5)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + 4 * x @ self.lora_A.T @ self.lora_B.T

    net = nn.Sequential(LoRALinear(16, 48), nn.GELU(), LoRALinear(48, 48), nn.GELU(), LoRALinear(48, 4))
    x, y = features(seed)
    optimizer = lambda m: torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], lr=5e-3)  # noqa: E731
    return Case(net, x, y, F.cross_entropy, optimizer, misclassified, steps=60)


@healthy("linear probe", "https://arxiv.org/abs/1610.01644")
def linear_probe_on_frozen_features(seed: int) -> Case:
    class Probe(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = nn.Sequential(
                nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()
            )
            self.backbone.requires_grad_(False).eval()
            self.probe = nn.Linear(256, 10)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                h = self.backbone(x)
            return self.probe(h)

    x, y = digits(seed)
    optimizer = lambda m: torch.optim.Adam(m.probe.parameters(), lr=1e-2)  # noqa: E731
    return Case(Probe(), x, y, F.cross_entropy, optimizer, misclassified, steps=60)


@healthy("prompt tuning", "https://arxiv.org/abs/2104.08691")
def prompts_before_a_frozen_encoder(seed: int) -> Case:
    class Prompted(nn.Module):
        def __init__(self, d: int = 32) -> None:
            super().__init__()
            self.embed = nn.Embedding(20, d)
            layer = nn.TransformerEncoderLayer(d, 4, 64, dropout=0.0, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2)
            self.requires_grad_(False)
            self.prompt, self.head = nn.Parameter(0.5 * torch.randn(1, 6, d)), nn.Linear(d, 3)

        def forward(self, ids: Tensor) -> Tensor:
            h = torch.cat([self.prompt.expand(len(ids), -1, -1), self.embed(ids)], 1)
            return self.head(self.encoder(h).mean(1))

    x, _ = markov(seed, n=64)
    y = torch.bucketize(x.float().mean(1), torch.tensor([8.5, 10.5]))
    optimizer = lambda m: torch.optim.Adam([m.prompt, *m.head.parameters()], lr=2e-2)  # noqa: E731
    return Case(Prompted(), x, y, F.cross_entropy, optimizer, misclassified, steps=60)


@healthy("layer shared over depth", "https://arxiv.org/abs/1909.11942")
def one_block_used_four_times(seed: int) -> Case:
    class Shared(nn.Module):
        def __init__(self, d: int = 24) -> None:
            super().__init__()
            self.table, self.widen = nn.Embedding(20, 8), nn.Linear(8, d)
            self.pos = nn.Parameter(0.1 * torch.randn(1, 12, d, generator=generator(seed)))
            self.block = nn.TransformerEncoderLayer(d, 4, 48, dropout=0.0, batch_first=True)
            self.out = nn.Linear(d, 20)

        def forward(self, ids: Tensor) -> Tensor:
            h = self.widen(self.table(ids)) + self.pos
            for _ in range(4):
                h = self.block(h)
            return self.out(h).transpose(1, 2)

    x, y = markov(seed)
    return Case(Shared(), x, y, F.cross_entropy, adam(3e-3), misclassified, steps=60)
