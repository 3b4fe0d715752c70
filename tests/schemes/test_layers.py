"""Draws put into real layers: the level of the signal, forward and backward, is what the scheme promises."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from gainstage import schemes
from gainstage.graph import KernelShape
from gainstage.streams import Stream

EXAMPLES = 200


@dataclass(frozen=True)
class Case:
    """A layer, the geometry gainstage gives it, and how many places at each border do not see all taps."""

    build: Callable[[], nn.Module]
    kernel: KernelShape
    side: int = 0
    border: int = 0
    transposed: bool = False
    stride: int = 1


def convolution(in_, out, side, **settings):
    return nn.Conv2d(in_, out, side, padding=side // 2, padding_mode="circular", bias=False, **settings)


def transposed(in_, out, side, **settings):
    return nn.ConvTranspose2d(in_, out, side, bias=False, **settings)


LAYERS = {
    "linear": Case(lambda: nn.Linear(96, 96, bias=False), KernelShape(96, 96)),
    "linear, wide to narrow": Case(lambda: nn.Linear(256, 64, bias=False), KernelShape(64, 256)),
    "linear, narrow to wide": Case(lambda: nn.Linear(64, 256, bias=False), KernelShape(256, 64)),
    "convolution": Case(lambda: convolution(24, 32, 3), KernelShape(32, 24, 9), 6),
    "grouped": Case(lambda: convolution(24, 32, 3, groups=4), KernelShape(32, 24, 9, groups=4), 6),
    "depthwise": Case(lambda: convolution(96, 96, 3, groups=96), KernelShape(96, 96, 9, groups=96), 6),
    "depthwise with multiplier": Case(
        lambda: convolution(48, 96, 5, groups=48), KernelShape(96, 48, 25, groups=48), 6
    ),
    "patches": Case(lambda: nn.Conv2d(3, 96, 4, stride=4, bias=False), KernelShape(96, 3, 16), 8, stride=4),
    "transposed": Case(
        lambda: transposed(24, 32, 4, stride=2), KernelShape(32, 24, 16, overlap=4), 6, border=4, transposed=True
    ),
    "transposed, taps not a multiple of the stride": Case(
        lambda: transposed(24, 32, 3, stride=2, output_padding=1),
        KernelShape(32, 24, 9, overlap=9 / 4), 6, border=2, transposed=True,
    ),
    "transposed, stride one": Case(
        lambda: transposed(24, 32, 3), KernelShape(32, 24, 9, overlap=9), 6, border=2, transposed=True
    ),
    "transposed, grouped": Case(
        lambda: transposed(24, 32, 4, stride=2, groups=4),
        KernelShape(32, 24, 16, groups=4, overlap=4), 6, border=4, transposed=True,
    ),
}  # fmt: skip

KURTOSIS = {"normal": 3.0, "uniform": 1.8, "truncated_normal": 3 + float(scipy.stats.truncnorm(-2, 2).stats("k"))}
SCHEMES = {name: name for name in KURTOSIS} | {"orthogonal": None, "delta_orthogonal": None}
FORWARD = [
    pytest.param(name, case, id=f"{name}-{label}")
    for name in SCHEMES
    for label, case in LAYERS.items()
    if name != "delta_orthogonal" or case.kernel.out >= case.kernel.in_
]
# A strided convolution reaches fewer outputs than fan_out counts: KernelShape knows no stride but a transposed one's.
BACKWARD = [
    pytest.param(f"{distribution}_fan_out", case, id=f"{distribution}-{label}")
    for distribution in KURTOSIS
    for label, case in LAYERS.items()
    if case.stride == 1
]
RELU = [pytest.param(f"he_{name}", case, id=f"{name}-{label}") for name in KURTOSIS for label, case in LAYERS.items()]


def filled(case, name):
    """The layer with its weights drawn, from the canonical array to PyTorch's own axes."""
    layer, kernel = case.build(), case.kernel
    weights = schemes.get(name).draw(kernel, 1.0, Stream(0, "layer.weight"))
    if case.transposed:  # PyTorch stores (in, out per group, taps)
        groups, out, in_ = kernel.groups, kernel.out // kernel.groups, kernel.in_ // kernel.groups
        weights = weights.reshape(groups, out, in_, -1).swapaxes(1, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weights)).reshape(layer.weight.shape))
    return layer


def white(shape):
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


def inputs(case):
    spatial = (case.side, case.side) if case.side else ()
    return white((EXAMPLES, case.kernel.in_, *spatial))


def inside(signal, border):
    return signal[:, :, border:-border, border:-border] if border else signal


def check_level(signal, expected, name, kernel, comparisons, mean_share=0.0):
    """E[signal²] over elements, within the sampling error of inputs and weights.

    Examples are independent given the weights. Over weights, an output's second moment is Var(x) Σw² + (E x)² (Σw)² for
    n terms; with ``mean_share`` s = (E x)² / E x² its relative variance is (kurtosis - 1) / n + 2 s² (1 - 1/n).
    """
    level = signal.detach().double().square().flatten(1).mean(dim=1).numpy()
    distribution = next((law for law in ("truncated_normal", "uniform", "normal") if law in name), None)
    from_inputs = level.var(ddof=1) / level.size
    from_weights = (KURTOSIS[distribution] - 1) / kernel.size + 2 * mean_share**2 / kernel.out if distribution else 0.0
    bound = scipy.stats.norm.isf(1e-3 / (2 * comparisons)) * math.sqrt(from_inputs + from_weights * expected**2)
    assert abs(level.mean() - expected) <= bound


@pytest.mark.parametrize(("name", "case"), FORWARD)
def test_a_linear_layer_keeps_the_second_moment(name, case):
    output = filled(case, name)(inputs(case))
    check_level(inside(output, case.border), 1.0, name, case.kernel, len(FORWARD))


@pytest.mark.parametrize(("name", "case"), RELU)
def test_he_keeps_the_second_moment_behind_a_relu(name, case):
    """E relu(z)² = 1/2, and the factor two makes up for it; (E relu(z))² = 1/(2π)."""
    output = filled(case, name)(inputs(case).relu())
    check_level(inside(output, case.border), 1.0, name, case.kernel, len(RELU), mean_share=1 / math.pi)


@pytest.mark.parametrize(("name", "case"), BACKWARD)
def test_fan_out_keeps_the_second_moment_of_the_gradient(name, case):
    x = inputs(case).requires_grad_()
    output = filled(case, name)(x)
    output.backward(white(output.shape))
    check_level(x.grad, 1.0, name, case.kernel, len(BACKWARD))


@pytest.mark.parametrize("label", [label for label, case in LAYERS.items() if not case.transposed])
def test_pytorch_default_keeps_a_third(label):
    case = LAYERS[label]
    output = filled(case, "pytorch_default")(inputs(case))
    check_level(output, 1 / 3, "uniform", case.kernel, len(LAYERS))
