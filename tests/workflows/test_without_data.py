"""A named scheme without data leaves no weight silently: it finds an input by itself, or refuses and lists."""

from __future__ import annotations

import math

import pytest
import torch
import transformers
from torch import nn

import gainstage as gs
from gainstage.backends.torch.models.described_inputs import described_inputs
from gainstage.data import InputSpec
from zoo.hf import HUGGING_FACE

LIBRARY = {case.name: case for case in HUGGING_FACE}


def gpt2(vocabulary=64, width=32):
    config = transformers.GPT2Config(
        vocab_size=vocabulary, n_embd=width, n_layer=2, n_head=4, n_positions=32, bos_token_id=0, eos_token_id=0
    )
    return transformers.GPT2LMHeadModel(config)


@pytest.mark.parametrize(("vocabulary", "width"), [(64, 32), (1000, 64)])
def test_gpt2_has_every_weight_drawn_and_starts_at_chance(vocabulary, width):
    torch.manual_seed(0)
    model = gpt2(vocabulary, width)
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.dim() > 1}
    plan = gs.initialize(model, "he_normal")
    assert not any(assignment.scheme == "keep" for assignment in plan)
    assert not any(torch.equal(p, before[name]) for name, p in model.named_parameters() if name in before)
    tokens, labels = torch.randint(vocabulary, (2, 16, 16)).unbind()
    with torch.no_grad():
        logits = model(input_ids=tokens).logits
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    assert float(loss) == pytest.approx(math.log(vocabulary), rel=0.05)
    assert any("shape (2, 16)" in note for note in plan.notes)


@pytest.mark.parametrize("name", ["vit", "swin", "whisper", "wav2vec2", "t5", "clip", "llama"])
def test_the_input_follows_the_modality_of_the_configuration(name):
    plan = gs.plan(LIBRARY[name].model(), "he_normal")
    left = [a for a in plan if a.scheme == "keep" and "no operation" in a.reason]
    assert not left
    assert sum(a.scheme == "he_normal" for a in plan) > len(plan) / 5


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("gpt2", ("input_ids",)), ("t5", ("input_ids", "decoder_input_ids")), ("vit", ("pixel_values",)),
        ("resnet", ("pixel_values",)), ("wav2vec2", ("input_values",)),
        ("whisper", ("input_features", "decoder_input_ids")), ("perceiver", None),
    ],
)  # fmt: skip
def test_what_a_model_takes_is_in_its_configuration(name, inputs):
    first = next(described_inputs(LIBRARY[name].model()), None)
    assert inputs == (None if first is None else tuple(spec.name for spec in first))


def test_a_spectrogram_is_frames_by_bands():
    config = transformers.ASTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_length=32, num_mel_bins=16
    )
    model = transformers.ASTForAudioClassification(config)
    assert next(described_inputs(model)) == (InputSpec((32, 16), "values", "input_values"),)
    assert any("shape (2, 32, 16)" in note for note in gs.plan(model, "he_normal").notes)


class Raw(nn.Module):
    """A weight of its own, beside a layer."""

    def __init__(self):
        super().__init__()
        self.mixing = nn.Parameter(torch.randn(20, 8))
        self.out = nn.Linear(8, 3)

    def forward(self, x):
        return self.out(torch.relu(x @ self.mixing))


def test_a_weight_that_nothing_explains_is_listed_and_nothing_is_written():
    model = Raw()
    before = {name: p.clone() for name, p in model.state_dict().items()}
    with pytest.raises(
        gs.GainstageError, match=r"holds 'mixing' \(20, 8\), so 'he_normal' would leave what stands there. Pass x="
    ):
        gs.initialize(model, "he_normal")
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())
    assert gs.initialize(model, "he_normal", x=torch.randn(4, 20)).assignments[0].scheme == "he_normal"


@pytest.mark.parametrize(
    ("scheme", "overrides"),
    [("he_normal", {"mixing": "keep"}), ("zeros", {"mixing": "ones"}), ("keep", {"out": "zeros"})],
)
def test_what_is_kept_on_purpose_is_no_reason_to_refuse(scheme, overrides):
    gs.plan(Raw(), scheme, overrides=overrides)


def test_a_draw_that_an_override_asks_for_is_not_left_either():
    with pytest.raises(gs.GainstageError, match="'mixing'"):
        gs.plan(Raw(), "keep", overrides={"mixing": "orthogonal"})


def test_an_input_on_which_the_model_raises_counts_as_none():
    class Broken(Raw):
        config, main_input_name = transformers.GPT2Config(vocab_size=8), "input_ids"

    with pytest.raises(gs.GainstageError, match="'mixing'"):
        gs.plan(Broken(), "he_normal")


def test_layers_of_pytorch_are_all_known():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair, self.bend, self.out = nn.Bilinear(30, 40, 500), nn.PReLU(), nn.Linear(500, 3)

    plan = gs.plan(Pair(), "he_normal")
    assert {a.parameter: a.scheme for a in plan if a.parameter.endswith("weight")} == {
        "pair.weight": "he_normal", "bend.weight": "keep", "out.weight": "he_normal",
    }  # fmt: skip
    model = Pair()
    gs.initialize(model, "he_normal")
    with torch.no_grad():
        level = model.pair(torch.randn(400, 30), torch.randn(400, 40)).square().mean()
    # A second moment of 500 units that share 400 × 2 inputs: its scatter is mostly that of the inputs' norms.
    assert float(level) == pytest.approx(2.0, rel=6 * math.sqrt(2 / 400 / 30 + 2 / 400 / 40 + 2 / 500))


class Tied(nn.Module):
    """Tokens and positions, and the tokens' table as the output layer."""

    def __init__(self, swapped=False):
        super().__init__()
        layers = {"tokens": nn.Embedding(50, 8), "head": nn.Linear(8, 50, bias=False)}
        for name in sorted(layers, reverse=swapped):
            setattr(self, name, layers[name])
        self.head.weight = self.tokens.weight
        self.positions = nn.Embedding(10, 8)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("scheme", ["he_normal", "glorot_uniform", "orthogonal", "pytorch_default", "keras_default"])
def test_a_tied_table_never_has_a_spread_of_one(scheme, swapped):
    tables = [a for a in gs.plan(Tied(swapped), scheme) if a.shape[-1] == 8]
    tied = next(a for a in tables if a.shape[0] == 50)
    assert tied.role == "head"
    assert tied.spread < 0.3
    if scheme not in ("pytorch_default", "keras_default"):  # which keep to the framework's own rule
        assert [a.spread for a in tables] == [pytest.approx(tied.spread)] * 2


def test_labels_without_a_batch_are_refused():
    with pytest.raises(gs.GainstageError, match="Pass x too"):
        gs.plan(nn.Linear(4, 3), "he_normal", y=torch.zeros(8))
