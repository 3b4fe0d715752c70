"""Laws that every activation of the table obeys, and the real functions of PyTorch and Keras."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers.activations import ACT2FN

from gainstage.errors import InputError, UnknownNameError
from gainstage.theory import Activation, activation, activations, gaussian_moments, level_gain, register
from gainstage.theory.activations import registry
from gainstage.theory.activations.kinks import find_kinks

INF = math.inf
X = np.linspace(-8.0, 8.0, 1601) + 0.0037
NOT_ELEMENTWISE = {"GLU", "MultiheadAttention", "Softmin", "Softmax", "Softmax2d", "LogSoftmax"}


def away_from_kinks(act: Activation, distance: float) -> np.ndarray:
    return X[np.abs(X[:, None] - np.asarray([*act.kinks, INF])).min(-1) > distance]


# ---- laws ------------------------------------------------------------------------------------------------------------


def test_derivative_is_the_slope_of_the_function(act) -> None:
    h = 1e-3
    x = away_from_kinks(act, 3 * h)
    slopes = (8 * (act(x + h) - act(x - h)) - (act(x + 2 * h) - act(x - 2 * h))) / (12 * h)
    # Truncation h⁴ f⁽⁵⁾/30 (softsign has the largest fifth derivative, 120; the exponential its own size) and rounding.
    size = 1 + np.abs(act(x))
    bound = h**4 * 120 / 30 * size + 2 * np.finfo(float).eps * size / h
    assert (np.abs(act.derivative(x) - slopes) <= bound).all()


@pytest.mark.parametrize("far", [1e2, 1e3, 1e8])
def test_far_out_nothing_overflows(act, far) -> None:
    x = np.array([-far, far])
    values = np.concatenate((act(x), act.derivative(x)))  # a warning would be an error
    if act.name == "exponential":
        assert (values >= 0).all()
        assert values[0] == pytest.approx(math.exp(-far))
    else:
        assert np.isfinite(values).all()


def test_bounds_are_the_tightest(act) -> None:
    x = np.concatenate((np.linspace(-30, 30, 600001), [-1e6, 1e6]))
    low, high = float(act(x).min()), float(act(x).max())
    for bound, reached in zip(act.bounds, (low, high), strict=True):
        if math.isfinite(bound):
            assert reached == pytest.approx(bound, abs=2e-6)
        else:
            assert abs(reached) > 1e3


def test_homogeneous_means_that_scale_passes_through(act) -> None:
    follows = all(np.allclose(act(a * X), a * act(X), rtol=1e-12, atol=0) for a in (0.1, 3.0))
    assert follows == act.homogeneous


def test_kinks_are_where_the_function_is_not_smooth(act) -> None:
    found = find_kinks(act.function)
    # A jump of f'' alone is found to about four decimals only.
    assert len(found) <= len(act.kinks)
    for place in found:
        assert min(abs(place - kink) for kink in act.kinks) < 1e-3
    for kink in act.kinks:
        beside = np.array([kink - 1e-6, kink + 1e-6])
        if abs(np.diff(act.derivative(beside))[0]) > 1e-3:
            assert any(abs(place - kink) < 1e-8 for place in found)


def test_names_settings_and_summary_are_filled_in(act) -> None:
    assert activation(act.name).name == act.name == act.label
    assert all(activation(alias).name == act.name for alias in act.aliases)
    assert activation(act.name, dict(act.settings)).settings == act.settings
    assert len(act.summary) > 5
    assert activation(act) is act


def test_changed_settings_are_not_taken_from_the_table_of_constants(act) -> None:
    for key, value in act.settings:
        changed = activation(act.name, {key: 0.9 * value - 0.01})
        assert changed.unit is None
        assert f"{key}=" in changed.label
        assert gaussian_moments(changed).second_moment != gaussian_moments(act).second_moment


# ---- real functions --------------------------------------------------------------------------------------------------

TORCH = {
    "relu": F.relu, "relu6": F.relu6, "leaky_relu": F.leaky_relu, "rrelu": F.rrelu, "elu": F.elu, "selu": F.selu,
    "celu": F.celu, "gelu": F.gelu, "silu": F.silu, "mish": F.mish, "sigmoid": F.sigmoid, "tanh": F.tanh,
    "softplus": F.softplus, "softsign": F.softsign, "hardsigmoid": F.hardsigmoid, "hardswish": F.hardswish,
    "hardtanh": F.hardtanh, "logsigmoid": F.logsigmoid, "tanhshrink": F.tanhshrink, "softshrink": F.softshrink,
    "hardshrink": F.hardshrink, "erf": torch.erf, "sin": torch.sin, "exp": torch.exp,
    "prelu": lambda x: F.prelu(x, torch.tensor([0.25], dtype=x.dtype)),
    "threshold": lambda x: F.threshold(x, 1.0, 0.0),
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "linear": torch.nn.Identity(),
}  # fmt: skip


@pytest.mark.parametrize("name", TORCH)
def test_values_and_slopes_are_those_of_pytorch(name) -> None:
    ours, x = activation(name), torch.tensor(X, requires_grad=True)
    values = TORCH[name](x)
    (slopes,) = torch.autograd.grad(values.sum(), x)
    # PyTorch's softplus turns linear at 20/beta, where e⁻²⁰ is 2e-9.
    np.testing.assert_allclose(ours(X), values.detach().numpy(), rtol=1e-6, atol=5e-9)
    np.testing.assert_allclose(ours.derivative(X), slopes.numpy(), rtol=1e-6, atol=5e-9)


@pytest.mark.parametrize(
    ("name", "settings", "theirs"),
    [
        ("leaky_relu", {"negative_slope": 0.2}, lambda x: F.leaky_relu(x, 0.2)),
        ("elu", {"alpha": 0.7}, lambda x: F.elu(x, 0.7)),
        ("celu", {"alpha": 1.7}, lambda x: F.celu(x, 1.7)),
        ("softplus", {"beta": 3.0}, lambda x: F.softplus(x, 3.0)),
        ("hardtanh", {"min_val": -0.5, "max_val": 2.0}, lambda x: F.hardtanh(x, -0.5, 2.0)),
        ("softshrink", {"lambd": 0.9}, lambda x: F.softshrink(x, 0.9)),
        ("hardshrink", {"lambd": 0.9}, lambda x: F.hardshrink(x, 0.9)),
        ("threshold", {"threshold": -0.3, "value": 2.0}, lambda x: F.threshold(x, -0.3, 2.0)),
        ("rrelu", {"lower": 0.1, "upper": 0.4}, lambda x: F.rrelu(x, 0.1, 0.4)),
        ("prelu", {"slope": -0.5}, lambda x: F.prelu(x, torch.tensor([-0.5], dtype=x.dtype))),
    ],
)
def test_settings_mean_what_they_mean_in_pytorch(name, settings, theirs) -> None:
    expected = theirs(torch.tensor(X)).numpy()
    for ours in (activation(name, settings), activation(name, **settings)):
        np.testing.assert_allclose(ours(X), expected, rtol=1e-6, atol=5e-9)


@pytest.mark.parametrize("name", sorted(set(torch.nn.modules.activation.__all__) - NOT_ELEMENTWISE))
def test_every_elementwise_module_of_pytorch_has_an_entry(name) -> None:
    settings = (1.0, 0.0) if name == "Threshold" else ()
    module = getattr(torch.nn, name)(*settings).double().eval()
    np.testing.assert_allclose(activation(name)(X), module(torch.tensor(X)).detach().numpy(), rtol=1e-6, atol=5e-9)


def keras_reference(x: np.ndarray) -> dict[str, np.ndarray]:
    """The activations of Keras 3 by the formulas of its documentation."""
    with np.errstate(over="ignore"):
        logistic = 1 / (1 + np.exp(-x))
    return {
        "celu": np.maximum(x, 0) + np.minimum(0, np.exp(x) - 1),
        "elu": np.where(x > 0, x, np.exp(x) - 1),
        "exponential": np.exp(x),
        "gelu": np.vectorize(lambda v: v * (1 + math.erf(v / math.sqrt(2))) / 2)(x),
        "hard_shrink": np.where(np.abs(x) > 0.5, x, 0),
        "hard_sigmoid": np.where(x <= -3, 0, np.where(x >= 3, 1, x / 6 + 0.5)),
        "hard_silu": np.where(x < -3, 0, np.where(x > 3, x, x * (x + 3) / 6)),
        "hard_swish": np.where(x < -3, 0, np.where(x > 3, x, x * (x + 3) / 6)),
        "hard_tanh": np.clip(x, -1, 1),
        "linear": x,
        "log_sigmoid": np.log(logistic),
        "mish": x * np.tanh(np.log1p(np.exp(x))),
        "relu": np.maximum(x, 0),
        "relu6": np.minimum(np.maximum(x, 0), 6),
        "selu": 1.05070098 * np.where(x > 0, x, 1.67326324 * (np.exp(x) - 1)),
        "sigmoid": logistic,
        "silu": x * logistic,
        "soft_shrink": np.where(x > 0.5, x - 0.5, np.where(x < -0.5, x + 0.5, 0)),
        "softplus": np.log(np.exp(x) + 1),
        "softsign": x / (np.abs(x) + 1),
        "sparse_plus": np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x)),
        "sparse_sigmoid": np.where(x <= -1, 0, np.where(x >= 1, 1, (x + 1) / 2)),
        "squareplus": (x + np.sqrt(x**2 + 4)) / 2,
        "swish": x * logistic,
        "tanh": np.tanh(x),
        "tanh_shrink": x - np.tanh(x),
    }


@pytest.mark.parametrize("name", keras_reference(X))
def test_values_are_those_of_keras(name) -> None:
    np.testing.assert_allclose(activation(name)(X), keras_reference(X)[name], rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("name", ["gelu_new", "gelu_pytorch_tanh", "quick_gelu", "relu2", "swish", "mish", "linear"])
def test_names_of_transformers(name) -> None:
    theirs = ACT2FN[name](torch.tensor(X)).numpy()
    np.testing.assert_allclose(activation(name)(X), theirs, rtol=1e-6, atol=5e-9)


# ---- functions and layers of a framework -----------------------------------------------------------------------------


def elementwise_functions() -> dict[str, object]:
    """Everything in ``torch.nn.functional`` that makes of one tensor another of its shape, element by element."""
    x = torch.tensor(X)
    found = {}
    for name in dir(F):
        function = getattr(F, name)
        if name.startswith("_") or name.endswith("_") or isinstance(function, type) or not callable(function):
            continue
        try:
            torch.manual_seed(0)
            y, again, part = function(x.clone()), function(x.clone()), function(x[:100].clone())
        except Exception:  # needs more arguments, or is no function of a tensor
            continue
        if isinstance(y, torch.Tensor) and y.shape == x.shape and torch.equal(y, again) and torch.equal(y[:100], part):
            found[name] = function
    return found


def test_every_elementwise_function_of_pytorch_is_in_the_table() -> None:
    found = elementwise_functions()
    assert len(found) > 20
    for name, function in found.items():
        if name in ("alpha_dropout", "feature_alpha_dropout"):  # the identity when not training
            continue
        mine = activation(function)
        assert mine.name in activations(), name
        np.testing.assert_allclose(mine(X), function(torch.tensor(X)).numpy(), rtol=1e-6, atol=5e-9)
        assert level_gain(function) == pytest.approx(level_gain(mine.name), rel=1e-10)


@pytest.mark.parametrize(
    ("theirs", "label"),
    [
        (F.gelu, "gelu"), (torch.tanh, "tanh"), (torch.nn.SiLU(), "silu"), (torch.nn.Mish, "mish"),
        (torch.nn.LeakyReLU(0.2), "leaky_relu(negative_slope=0.2)"), (torch.nn.ELU(0.5), "elu(alpha=0.5)"),
        (torch.nn.Threshold(0.5, 0.1), "threshold(threshold=0.5, value=0.1)"), (torch.nn.RReLU(), "rrelu"),
        (torch.nn.Hardtanh(-2.0, 1.0), "hardtanh(min_val=-2)"), (torch.nn.PReLU(), "prelu"), (torch.sin, "sin"),
    ],
)  # fmt: skip
def test_functions_and_layers_of_pytorch_are_found_in_the_table(theirs, label) -> None:
    assert activation(theirs).label == label


def test_layers_of_pytorch_that_the_table_does_not_hold_are_taken_as_they_are() -> None:
    assert activation(torch.nn.GELU(approximate="tanh")).name == "GELU"
    assert level_gain(torch.nn.GELU(approximate="tanh")) == pytest.approx(level_gain("gelu_tanh"), rel=1e-10)
    mine = lambda x: torch.relu(x) * torch.relu(x)  # noqa: E731
    assert level_gain(mine) == pytest.approx(level_gain("relu_squared"), rel=1e-12)
    assert level_gain(mine, "backward") == pytest.approx(level_gain("relu_squared", "backward"), rel=1e-10)
    sequence = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.ReLU())
    both = lambda x: np.maximum(np.tanh(x), 0)  # noqa: E731
    assert level_gain(sequence, "centred") == pytest.approx(level_gain(both, "centred"), rel=1e-12)
    learned = torch.nn.PReLU()
    torch.nn.init.constant_(learned.weight, 0.7)
    assert level_gain(learned) == pytest.approx(level_gain(activation("prelu", slope=0.7)), rel=1e-7)
    assert learned.weight.dtype == torch.float32  # the user's own layer is left alone


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        (torch.nn.Softmax(-1), "not elementwise"),
        (torch.nn.Threshold, "needs arguments"),
        (torch.nn.Linear(4, 4), "raised RuntimeError"),
        (torch.nn.Dropout(0.5).train, "raised"),
        (F.dropout, "not deterministic|not elementwise"),
        (torch.log, "NaN"),
        (lambda x: torch.relu(x.float()), "float32"),
        (lambda x: x.no_such_method(), "AttributeError"),
    ],
)
def test_what_is_no_activation_of_pytorch_is_refused(theirs, words) -> None:
    with pytest.raises(InputError, match=words):
        activation(theirs)


# ---- the table -------------------------------------------------------------------------------------------------------


def test_a_new_activation_needs_one_registration(monkeypatch) -> None:
    for table in ("_builders", "_aliases", "_canonical"):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))

    @register("bent_identity", "bent")
    def _bent(bend: float = 1.0) -> Activation:
        """X + bend · (√(x² + 1) - 1) / 2."""
        return Activation(
            lambda x: x + bend * (np.sqrt(x * x + 1) - 1) / 2, lambda x: 1 + bend * x / np.hypot(x, 1) / 2
        )

    assert "bent_identity" in activations()
    assert activation("Bent", bend=2.0).label == "bent_identity(bend=2)"
    assert level_gain("bent") < level_gain("linear")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: activation("gelo"), UnknownNameError, "Did you mean 'gelu'"),
        (lambda: activation("softmax"), InputError, "not elementwise"),
        (lambda: activation("elu", alpah=2.0), UnknownNameError, "Did you mean 'alpha'"),
        (lambda: activation("relu", alpha=2.0), InputError, "takes no settings"),
        (lambda: activation("elu", alpha="2"), InputError, "finite number"),
        (lambda: activation("elu", {"alpha": math.nan}), InputError, "finite number"),
        (lambda: activation("elu", alpha=-1.0), InputError, "above 0"),
        (lambda: activation("celu", alpha=0.0), InputError, "above 0"),
        (lambda: activation("softplus", beta=0.0), InputError, "above 0"),
        (lambda: activation("squareplus", b=-1.0), InputError, "above 0"),
        (lambda: activation("softshrink", lambd=-1.0), InputError, "at least 0"),
        (lambda: activation("hardshrink", lambd=-1.0), InputError, "at least 0"),
        (lambda: activation("hardtanh", min_val=2.0), InputError, "min_val < max_val"),
        (lambda: activation("rrelu", lower=0.9), InputError, "lower <= upper"),
        (lambda: activation(3), InputError, "received 3"),
        (lambda: activation(None), InputError, "received None"),
        (lambda: activation(np.tanh, {"alpha": 1.0}), InputError, "Settings go with a name"),
        (lambda: activation("tanh", kinks=(0.0,)), InputError, "with a function only"),
        (lambda: activation(activation("tanh"), kinks=(0.0,)), InputError, "already"),
    ],
)
def test_bad_input_is_named(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call()


def test_a_known_gain_needs_neither_scipy_nor_a_framework() -> None:
    script = (
        "import sys; from gainstage import theory; theory.gain('gelu'); theory.stability('erf'); "
        "print(sorted(m for m in ('scipy', 'scipy.integrate', 'torch', 'keras', 'mpmath') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
