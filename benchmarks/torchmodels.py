"""The models that are timed: built from configurations, without weights from anywhere."""

from __future__ import annotations

import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, ResNetConfig, ResNetForImageClassification

Case = tuple[nn.Module, dict[str, torch.Tensor]]


def resnet() -> Case:
    """Six basic blocks on 32 images of 64 x 64."""
    config = ResNetConfig(
        embedding_size=32, hidden_sizes=[32, 64, 128], depths=[2, 2, 2], layer_type="basic", num_labels=10
    )
    inputs = {"pixel_values": torch.randn(32, 3, 64, 64), "labels": torch.randint(0, 10, (32,))}
    return ResNetForImageClassification(config), inputs


def gpt() -> Case:
    """Four blocks of width 128 on 16 sequences of 64 tokens."""
    config = GPT2Config(
        n_layer=4, n_embd=128, n_head=4, vocab_size=1000, n_positions=64, bos_token_id=0, eos_token_id=0
    )
    tokens = torch.randint(0, 1000, (16, 64))
    return GPT2LMHeadModel(config), {"input_ids": tokens, "labels": tokens}


def resnet50_on_meta() -> Case:
    """ResNet-50 without memory."""
    with torch.device("meta"):
        return ResNetForImageClassification(ResNetConfig()), {"pixel_values": torch.empty(2, 3, 224, 224)}


def wide_on_meta(width: int) -> Case:
    """Forty square layers whose weights would take 160 · width² bytes."""
    with torch.device("meta"):
        layers = [m for _ in range(40) for m in (nn.Linear(width, width, bias=False), nn.ReLU())]
        return nn.Sequential(*layers), {"input": torch.empty(2, width)}
