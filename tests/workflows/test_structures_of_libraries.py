"""Rules about structures, on networks of Hugging Face's library as their own code starts them, and with a fault."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gainstage as gs

hf = pytest.importorskip("transformers")

IDS = {"input_ids": torch.randint(1, 64, (8, 32), generator=torch.Generator().manual_seed(0))}
STRUCTURES = {"GS113", "GS119", "GS120", "GS203", "GS303"}


def switch():
    return hf.SwitchTransformersEncoderModel(
        hf.SwitchTransformersConfig(
            vocab_size=64, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_sparse_encoder_layers=1, num_heads=4,
            num_experts=4, expert_capacity=256,
        )
    )  # fmt: skip


def mamba():
    return hf.MambaForCausalLM(hf.MambaConfig(vocab_size=64, hidden_size=32, state_size=8, num_hidden_layers=2))


def mamba2():
    return hf.Mamba2ForCausalLM(
        hf.Mamba2Config(
            vocab_size=64, hidden_size=32, state_size=8, num_hidden_layers=2, num_heads=4, head_dim=16, n_groups=1,
            chunk_size=8,
        )
    )  # fmt: skip


def mixtral():
    return hf.MixtralForCausalLM(
        hf.MixtralConfig(
            vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, num_local_experts=4,
        )
    )  # fmt: skip


class LowRank(nn.Module):
    """A low-rank adapter beside a layer of GPT-2, as adapters are written."""

    def __init__(self, base, first=0.02, last=0.0, rank=4):
        super().__init__()
        out, inputs = base.weight.shape[1], base.weight.shape[0]
        self.base, self.down, self.up = base.requires_grad_(False), nn.Linear(inputs, rank), nn.Linear(rank, out)
        for layer, std in ((self.down, first), (self.up, last)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        return self.base(x) + self.up(self.down(x))


def adapted(**factors):
    model = hf.GPT2LMHeadModel(
        hf.GPT2Config(vocab_size=64, n_positions=32, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0)
    ).requires_grad_(False)
    for block in model.transformer.h:
        block.mlp.c_fc = LowRank(block.mlp.c_fc, **factors)
    return model


def structures(model, break_it=lambda model: None):
    with torch.no_grad():
        break_it(model)
    return {finding.code for finding in gs.check(model, IDS).findings} & STRUCTURES


@pytest.mark.parametrize("build", [switch, mamba, mamba2, mixtral, adapted])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_librarys_own_start_is_not_flagged(build, seed):
    torch.manual_seed(seed)
    assert not structures(build())


def one_expert(model):
    model.shared.weight.add_(3.0)
    model.encoder.block[1].layer[1].mlp.router.classifier.weight[0] = 1.0


def copied_experts(model):
    experts = list(model.encoder.block[1].layer[1].mlp.experts.values())
    for expert in experts[1:]:
        expert.load_state_dict(experts[0].state_dict())


def copied_stack(model):
    for layer in model.model.layers:
        for stack in layer.mlp.experts.parameters():
            stack.copy_(stack[:1].expand_as(stack).clone())


def decay(rate):
    def change(model):
        for layer in model.backbone.layers:
            layer.mixer.A_log.fill_(rate)

    return change


@pytest.mark.parametrize(
    ("build", "change", "code"),
    [
        (switch, one_expert, "GS119"),
        (switch, copied_experts, "GS303"),
        (mixtral, copied_stack, "GS303"),
        (mamba, decay(8.0), "GS120"),
        (mamba, decay(-14.0), "GS120"),
        (lambda: adapted(first=0.0), lambda model: None, "GS203"),
        (lambda: adapted(first=2.0, last=2.0), lambda model: None, "GS113"),
    ],
)
def test_a_fault_is_found(build, change, code):
    torch.manual_seed(0)
    assert code in structures(build(), change)
