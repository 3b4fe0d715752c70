"""Recurrent layers against real ones of PyTorch, forward and back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gainstage.errors import InputError, UnknownNameError
from gainstage.theory import gaussian_moments, recurrent_moments

UNITS, SEEDS, BATCH = 384, 8, 4
CELLS = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
CASES = {
    "rnn": {"kind": "rnn", "steps": 16, "bias": 0.05},
    "rnn relu": {"kind": "rnn", "steps": 12, "input_weight": 0.8, "recurrent_weight": 1.2, "activation_kind": "relu"},
    "rnn alike inputs": {"kind": "rnn", "steps": 10, "correlation": 0.5, "recurrent_weight": 1.5, "level": 0.3},
    "lstm as pytorch makes it": {
        "kind": "lstm", "steps": 24, "input_weight": 1 / 3, "recurrent_weight": 1 / 3, "bias": 1 / 3 / UNITS,
        "recurrent_bias": 1 / 3 / UNITS,
    },
    "lstm that remembers": {"kind": "lstm", "steps": 24, "bias_mean": (0.0, 1.0, 0.0, 0.0), "correlation": 0.3},
    "lstm last": {"kind": "lstm", "steps": 12, "input_weight": 2.0, "arrives": "last", "bias": 0.1},
    "gru": {"kind": "gru", "steps": 20, "input_weight": 1 / 3, "recurrent_weight": 1 / 3, "recurrent_bias": 0.2},
    "gru alike": {
        "kind": "gru", "steps": 20, "recurrent_weight": 1.5, "bias": 0.1, "correlation": 0.5, "level": 2.0,
        "gradient_correlation": 0.3,
    },
}  # fmt: skip


def simulate(
    kind, steps, level=1.0, correlation=0.0, input_weight=1.0, recurrent_weight=1.0, bias=0.0, recurrent_bias=0.0,
    bias_mean=0.0, activation_kind="tanh", arrives="all", gradient_correlation=0.0,
) -> dict[str, np.ndarray]:  # fmt: skip
    """One figure for each seed."""
    found: dict[str, list] = {"forward": [], "last": [], "backward": [], "mean": [], "correlation": []}

    def tokens(level: float, c: float) -> torch.Tensor:
        common, own = torch.randn(BATCH, 1, UNITS), torch.randn(BATCH, steps, UNITS)
        return math.sqrt(level) * (math.sqrt(c) * common + math.sqrt(1 - c) * own)

    for seed in range(SEEDS):
        torch.manual_seed(seed)
        settings = {"nonlinearity": activation_kind} if kind == "rnn" else {}
        layer = CELLS[kind](UNITS, UNITS, batch_first=True, **settings)
        with torch.no_grad():
            layer.weight_ih_l0.normal_(0, math.sqrt(input_weight / UNITS))
            layer.weight_hh_l0.normal_(0, math.sqrt(recurrent_weight / UNITS))
            gates = layer.bias_ih_l0.numel() // UNITS
            means = torch.tensor(np.broadcast_to(bias_mean, gates).copy()).float().repeat_interleave(UNITS)
            layer.bias_ih_l0.copy_(math.sqrt(bias) * torch.randn(gates * UNITS) + means)
            layer.bias_hh_l0.copy_(math.sqrt(recurrent_bias) * torch.randn(gates * UNITS))
        x = tokens(level, correlation).requires_grad_()
        h = layer(x)[0]
        gradient = tokens(1.0, gradient_correlation)
        if arrives == "last":
            gradient[:, :-1] = 0
        (back,) = torch.autograd.grad(h, x, gradient)
        h = h.detach()
        square = torch.einsum("btn,bsn->ts", h, h) / UNITS / BATCH
        between = (square.sum() - square.trace()) / (steps - 1) / square.trace()
        for name, value in (
            ("forward", (h**2).mean()), ("last", (h[:, -1] ** 2).mean()), ("backward", (back**2).mean()),
            ("mean", h.mean()), ("correlation", between),
        ):  # fmt: skip
            found[name].append(float(value))
    return {name: np.asarray(values) for name, values in found.items()}


@pytest.mark.parametrize("case", CASES)
def test_layers_of_pytorch(case) -> None:
    """Within four standard errors over seeds and 2.5 %: the drawn paths are good to 1 %, the units are 384."""
    expected, measured = recurrent_moments(**CASES[case]), simulate(**CASES[case])
    for name, value in (
        ("forward", expected.second_moment),
        ("last", expected.last),
        ("backward", expected.backward),
        ("correlation", expected.correlation),
        ("mean", expected.mean),
    ):
        sample = measured[name]
        error = sample.std(ddof=1) / math.sqrt(SEEDS)
        absolute = 0.01 * math.sqrt(expected.second_moment) if name == "mean" else 0.005 * (name == "correlation")
        slack = 0.04 if name == "backward" and case == "gru alike" else 0.025
        assert abs(sample.mean() - value) <= 4 * error + slack * abs(value) + absolute, name


def test_a_simple_rnn_settles_where_its_variance_map_does() -> None:
    q = 0.0
    for _ in range(400):
        q = 0.7 + 1.3 * (gaussian_moments("tanh", q).second_moment if q else 0.0)
    found = recurrent_moments("rnn", 96, level=0.7, recurrent_weight=1.3)
    assert found.last == pytest.approx(gaussian_moments("tanh", q).second_moment, rel=1e-9)
    chi = gaussian_moments("tanh", q).derivative_second_moment
    assert found.backwards[48] == pytest.approx(chi / (1 - 1.3 * chi), rel=1e-3)


def test_long_sequences_go_on_as_they_did() -> None:
    short, long = (recurrent_moments("lstm", steps, bias_mean=(0, 1, 0, 0)) for steps in (96, 5000))
    assert len(long.second_moments) == 96
    assert long.second_moment == pytest.approx(short.last, rel=0.01)
    assert long.backward == pytest.approx(short.backwards[48], rel=0.1)
    assert long.correlation < short.correlation
    # Where gradients come at the end only, a longer sequence shares them among more steps.
    ends = [recurrent_moments("rnn", steps, recurrent_weight=1.2, arrives="last").backward for steps in (90, 900)]
    assert ends[1] == pytest.approx(ends[0] / 10, rel=1e-3)
    # And where they explode they go on exploding.
    wild = [recurrent_moments("rnn", steps, level=0.05, recurrent_weight=3.0, arrives="last") for steps in (97, 193)]
    growth = wild[0].backwards[40] / wild[0].backwards[41]
    assert growth > 1.1
    assert math.log(wild[1].backward * 193 / wild[0].backward / 97) == pytest.approx(96 * math.log(growth), rel=0.02)


def test_the_same_call_gives_the_same_figures() -> None:
    assert recurrent_moments("gru", 8) == recurrent_moments("gru", 8)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: recurrent_moments("lsmt", 3), UnknownNameError, "Did you mean 'lstm'"),
        (lambda: recurrent_moments("lstm", 0), InputError, "at least 1"),
        (lambda: recurrent_moments("lstm", 2.0), InputError, "whole number"),
        (lambda: recurrent_moments("lstm", 3, level=-1.0), InputError, "'level'"),
        (lambda: recurrent_moments("lstm", 3, input_weight=math.nan), InputError, "'input_weight'"),
        (lambda: recurrent_moments("lstm", 3, bias_mean=(1.0, 2.0)), InputError, "each of 4 gates"),
        (lambda: recurrent_moments("gru", 3, bias="one"), InputError, "each of 3 gates"),
        (lambda: recurrent_moments("gru", 3, correlation=1.5), InputError, "between 0 and 1"),
        (lambda: recurrent_moments("gru", 3, gradient_correlation=-0.5), InputError, "between 0 and 1"),
        (lambda: recurrent_moments("gru", 3, arrives="first"), UnknownNameError, "arrival"),
        (
            lambda: recurrent_moments("rnn", 96, recurrent_weight=1e3, activation_kind="linear"),
            InputError,
            "without bound",
        ),
        (lambda: recurrent_moments("rnn", 3, activation_kind="tahn"), UnknownNameError, "Did you mean 'tanh'"),
    ],
)
def test_bad_input_is_named(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("alike", [0.0, 0.3])
def test_two_examples_share_biases_and_what_their_inputs_share(kind: str, alike: float) -> None:
    found = []
    for seed in range(6):
        torch.manual_seed(seed)
        cell = CELLS[kind](128, 128, batch_first=True)
        for weight in cell.parameters():
            torch.nn.init.normal_(weight, std=0.3 if weight.dim() == 1 else 0.08)
        x = math.sqrt(1 - alike) * torch.randn(16, 12, 128) + math.sqrt(alike) * torch.randn(1, 1, 128)
        with torch.no_grad():
            h = cell(x)[0]
        whole = torch.einsum("atd,btd->ab", h, h)
        found.append(float((whole.sum() - whole.trace()) / 15 / whole.trace()))
    told = recurrent_moments(
        kind, 12, examples=alike, correlation=alike, input_weight=128 * 0.08**2, recurrent_weight=128 * 0.08**2,
        bias=0.09, recurrent_bias=0.09,
    )  # fmt: skip
    error = 4 * float(np.std(found)) / math.sqrt(len(found))
    assert abs(told.examples - float(np.mean(found))) < error + 0.03, (told.examples, np.mean(found))
