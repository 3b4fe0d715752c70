"""Roles and residual streams of architectures in use, traced from their real code."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gainstage.backends.torch import trace
from gainstage.graph import Operation, Role, residuals, stream_lengths

IDS = torch.randint(0, 50, (3, 7), generator=torch.Generator().manual_seed(0))
IMAGE = torch.randn(2, 3, 32, 32)


def hugging_face(name, config, **sizes):
    def build():
        transformers = pytest.importorskip("transformers")
        return getattr(transformers, name)(getattr(transformers, config)(**sizes))

    return build


class DenseNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.layers = nn.ModuleList([nn.Conv2d(8 + 4 * i, 4, 3, padding=1) for i in range(3)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(8 + 4 * i) for i in range(3)])
        self.head = nn.Linear(20, 5)

    def forward(self, x):
        x = self.stem(x)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = torch.cat([x, layer(F.relu(norm(x)))], 1)
        return self.head(x.mean((2, 3)))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.bottom = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.up, self.join = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 8, 3, padding=1)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        skip = F.relu(self.down(x))
        low = F.relu(self.bottom(F.max_pool2d(skip, 2)))
        return self.head(F.relu(self.join(torch.cat([self.up(low), skip], 1))))


class Highway(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Linear(6, 8), nn.Linear(8, 3)
        self.hidden = nn.ModuleList([nn.Linear(8, 8) for _ in range(3)])
        self.gates = nn.ModuleList([nn.Linear(8, 8) for _ in range(3)])

    def forward(self, x):
        x = self.stem(x)
        for hidden, gate in zip(self.hidden, self.gates, strict=True):
            open_ = torch.sigmoid(gate(x))
            x = torch.relu(hidden(x)) * open_ + x * (1 - open_)
        return self.head(x)


class ParallelBlock(nn.Module):
    """Attention and feed-forward side by side, with rotary embeddings."""

    def __init__(self):
        super().__init__()
        self.stem, self.head, self.norm = nn.Linear(6, 8), nn.Linear(8, 3), nn.LayerNorm(8)
        self.q, self.k, self.v, self.out = (nn.Linear(8, 8) for _ in range(4))
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)
        angles = torch.arange(7.0)[:, None] * torch.ones(4).repeat(2)
        self.register_buffer("cosine", angles.cos())
        self.register_buffer("sine", angles.sin())

    def rotate(self, x):
        left, right = x.chunk(2, -1)
        return x * self.cosine + torch.cat([-right, left], -1) * self.sine

    def forward(self, x):
        x = self.stem(x)
        y = self.norm(x)
        attended = F.scaled_dot_product_attention(self.rotate(self.q(y)), self.rotate(self.k(y)), self.v(y))
        return self.head(x + (self.out(attended) + self.down(F.gelu(self.up(y)))))


class Excited(nn.Module):
    """A residual block whose branch is weighted by channel (squeeze and excitation)."""

    def __init__(self):
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.squeeze, self.excite, self.head = nn.Linear(8, 2), nn.Linear(2, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = F.relu(self.stem(x))
        y = self.conv(x)
        weights = torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3))))))
        return self.head(F.relu(x + y * weights[:, :, None, None]).mean((2, 3)))


class ByHand(nn.Module):
    """Normalisations, softmax and gelu written out in elementary operations."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.q, self.k, self.v, self.c, self.head = (nn.Linear(8, 8) for _ in range(7))
        self.gain, self.shift, self.gain2 = (nn.Parameter(torch.ones(8)) for _ in range(3))

    def forward(self, x):
        x = self.a(x)
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + 1e-5).sqrt() * self.gain + self.shift
        x = self.b(x)
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.gain2
        scores = self.q(x) @ self.k(x).transpose(-1, -2)
        powers = torch.exp(scores - scores.amax(-1, keepdim=True))
        x = x + self.c((powers / powers.sum(-1, keepdim=True)) @ self.v(x))
        return self.head(0.5 * x * (1 + torch.tanh(0.8 * (x + 0.045 * x**3))))


TEXT = {"vocab_size": 50, "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32, "intermediate_size": 64}
VISION = {"hidden_sizes": [8, 16, 16, 32], "depths": [1, 2, 1, 1], "num_labels": 5}

# name: (model, inputs, roles by pattern in order of precedence, adds on every stream)
MODELS = {
    "gpt2": (hugging_face("GPT2LMHeadModel", "GPT2Config", n_layer=2, n_embd=32, n_head=4, vocab_size=50,
                          n_positions=16), {"input_ids": IDS},
             {"*wte*": "head", "*wpe*": "other", "*c_attn.weight": "packed_attention", "*c_proj.weight": "branch_end",
              "*c_fc.weight": "hidden", "*ln_*.weight": "norm_scale", "*ln_*.bias": "norm_shift", "*.bias": "bias"},
             [4]),
    "llama": (hugging_face("LlamaForCausalLM", "LlamaConfig", **TEXT, num_key_value_heads=2), {"input_ids": IDS},
              {"*embed*": "embedding", "*q_proj*": "query", "*k_proj*": "key", "*v_proj*": "value",
               "*o_proj*": "branch_end", "*gate_proj*": "gate", "*up_proj*": "hidden", "*down_proj*": "branch_end",
               "*norm*": "norm_scale", "lm_head*": "head"}, [4]),
    "bert": (hugging_face("BertForSequenceClassification", "BertConfig", **TEXT),
             {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)},
             {"*word_emb*": "embedding", "*position_emb*": "other", "*token_type*": "other", "*LayerNorm.weight":
              "norm_scale", "*LayerNorm.bias": "norm_shift", "*.bias": "bias", "*query*": "query", "*key*": "key",
              "*value*": "value", "*output.dense*": "branch_end", "*intermediate*": "hidden", "*pooler*": "hidden",
              "classifier*": "head"}, [4]),
    "t5": (hugging_face("T5ForConditionalGeneration", "T5Config", vocab_size=50, d_model=32, d_ff=64, num_layers=2,
                        num_heads=4, d_kv=8, decoder_start_token_id=0), {"input_ids": IDS, "labels": IDS},
           {"shared*": "head", "*relative*": "other", "*layer_norm*": "norm_scale", "*.q.*": "query", "*.k.*": "key",
            "*.v.*": "value", "*.o.*": "branch_end", "*.wi.*": "hidden", "*.wo.*": "branch_end"}, [4, 6]),
    "resnet": (hugging_face("ResNetForImageClassification", "ResNetConfig", embedding_size=8, layer_type="basic",
                            **VISION), {"pixel_values": IMAGE},
               {"*normalization.weight": "norm_scale", "*normalization.bias": "norm_shift",
                "classifier.1.weight": "head", "classifier.1.bias": "bias", "*": "before_norm"}, [1, 2, 1, 1]),
    "convnext": (hugging_face("ConvNextForImageClassification", "ConvNextConfig", **VISION),
                 {"pixel_values": torch.randn(2, 3, 64, 64)},
                 {"*layernorm.weight": "norm_scale", "*layernorm.bias": "norm_shift", "*downsampling_layer.0.weight":
                  "norm_scale", "*downsampling_layer.0.bias": "norm_shift", "*.bias": "bias", "*layer_scale*": "other",
                  "*patch_emb*": "before_norm", "*dwconv*": "before_norm", "*pwconv1*": "hidden",
                  "*pwconv2*": "branch_end", "*downsampling*": "hidden", "classifier*": "head"}, [1, 2, 1, 1]),
    "mobilenet": (hugging_face("MobileNetV2ForImageClassification", "MobileNetV2Config", depth_multiplier=0.35,
                               image_size=32, num_labels=5), {"pixel_values": IMAGE},
                  {"*normalization.weight": "norm_scale", "*normalization.bias": "norm_shift",
                   "classifier.weight": "head", "classifier.bias": "bias", "*": "before_norm"}, [1, 2, 3, 2, 2]),
    "vit": (hugging_face("ViTForImageClassification", "ViTConfig", num_hidden_layers=2, hidden_size=32,
                         intermediate_size=64, num_attention_heads=4, image_size=32, patch_size=8, num_labels=5),
            {"pixel_values": IMAGE},
            {"*cls_token": "other", "*position*": "other", "*layernorm*.weight": "norm_scale",
             "*layernorm*.bias": "norm_shift", "*.bias": "bias", "*q_proj*": "query", "*k_proj*": "key",
             "*v_proj*": "value", "*o_proj*": "branch_end", "*fc1*": "hidden", "*fc2*": "branch_end",
             "*projection*": "hidden", "classifier*": "head"}, [4]),
    "densely connected": (DenseNet, IMAGE, {"norms.*.weight": "norm_scale", "norms.*.bias": "norm_shift",
                                            "*.bias": "bias", "head.*": "head", "*": "hidden"}, []),
    "u-net": (UNet, IMAGE, {"*.bias": "bias", "head.*": "head", "*": "hidden"}, []),
    "highway": (Highway, torch.randn(4, 6), {"*.bias": "bias", "gates*": "gate", "hidden*": "branch_end",
                                             "stem*": "hidden", "head*": "head"}, [3]),
    "parallel attention and feed-forward": (
        ParallelBlock, torch.randn(4, 7, 6),
        {"norm.weight": "norm_scale", "norm.bias": "norm_shift", "*.bias": "bias", "q.*": "query", "k.*": "key",
         "v.*": "value", "out.*": "branch_end", "down.*": "branch_end", "up.*": "hidden", "stem.*": "hidden",
         "head.*": "head"}, [1]),
    "excited": (Excited, IMAGE, {"*.bias": "bias", "stem.*": "hidden", "conv.*": "branch_end", "squeeze.*": "hidden",
                                 "excite.*": "gate", "head.*": "head"}, [1]),
    "written by hand": (ByHand, torch.randn(4, 7, 8),
                        {"*.bias": "bias", "gain*": "norm_scale", "shift": "norm_shift", "a.*": "before_norm",
                         "b.*": "before_norm", "q.*": "query", "k.*": "key", "v.*": "value", "c.*": "branch_end",
                         "head.*": "head"}, [1]),
}  # fmt: skip


@pytest.fixture(scope="module")
def graphs():
    """Every model traced once."""
    made = {}

    def graph(name):
        if name not in made:
            build, inputs, *_ = MODELS[name]
            torch.manual_seed(0)
            made[name] = trace(build(), inputs)
        return made[name]

    return graph


@pytest.mark.parametrize("name", MODELS)
def test_roles(graphs, name):
    for parameter in graphs(name).parameters:
        if not parameter.reached:
            continue
        expected = next(role for pattern, role in MODELS[name][2].items() if fnmatchcase(parameter.path, pattern))
        assert parameter.role is Role(expected), parameter.path


@pytest.mark.parametrize("name", MODELS)
def test_residual_streams(graphs, name):
    assert list(stream_lengths(residuals(graphs(name))).values()) == MODELS[name][3]


@pytest.mark.parametrize("name", MODELS)
def test_every_operation_is_known_and_every_layer_keeps_examples_apart(graphs, name):
    graph = graphs(name)
    assert all(n.operation is not Operation.UNKNOWN for n in graph.nodes)
    for node in graph.weighted():
        assert node.example_axis == 0, node.label


def test_functions_written_by_hand_are_recognised(graphs):
    found = [n.function for n in graphs("written by hand").nodes
             if n.part_of is None and n.function and n.operation is not Operation.INPUT]  # fmt: skip
    assert found == ["layer_norm", "rms_norm", "softmax", "composite"]
