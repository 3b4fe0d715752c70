"""The defaults of the frameworks against the frameworks themselves."""

import math

import pytest
import torch
from torch import nn

from gainstage import schemes
from gainstage.graph import KernelShape
from gainstage.streams import Stream

TORCH_LAYERS = {
    "linear": (lambda: nn.Linear(80, 50), KernelShape(50, 80)),
    "convolution": (lambda: nn.Conv2d(24, 32, 3), KernelShape(32, 24, 9)),
    "grouped": (lambda: nn.Conv2d(24, 32, 3, groups=4), KernelShape(32, 24, 9, groups=4)),
    "depthwise": (lambda: nn.Conv1d(256, 256, 5, groups=256), KernelShape(256, 256, 5, groups=256)),
    "transposed": (lambda: nn.ConvTranspose2d(32, 20, 4, stride=2), KernelShape(20, 32, 16, overlap=4)),
    "transposed, grouped": (
        lambda: nn.ConvTranspose2d(32, 20, 4, stride=2, groups=4),
        KernelShape(20, 32, 16, groups=4, overlap=4),
    ),
}


@pytest.mark.parametrize(("build", "kernel"), TORCH_LAYERS.values(), ids=TORCH_LAYERS)
def test_pytorch_default_is_what_the_layer_does(build, kernel):
    """Both are uniform, so their largest of n values identify the limit: P(max < (1 - e) limit) = (1 - e)^n."""
    scheme = schemes.get("pytorch_default")
    limit = math.sqrt(3) * scheme.spread(kernel)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = float(build().weight.detach().abs().max())
    ours = float(abs(scheme.draw(kernel, 1.0, Stream(0, "weight"))).max())
    slack = math.log(1e6) / kernel.size  # missed by chance once in a million
    for largest in (theirs, ours):
        assert (1 - slack) * limit <= largest <= limit * (1 + 2**-23)


def test_pytorch_embedding_is_what_the_layer_does():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = nn.Embedding(500, 40).weight.detach().double().numpy()
    spread = schemes.get("pytorch_embedding").spread(KernelShape(500, 40))
    # The mean square of n standard normals has standard error √(2/n); five of them.
    assert abs((theirs**2).mean() / spread**2 - 1) <= 5 * math.sqrt(2 / theirs.size)


def keras_limit(kernel_shape):
    """GlorotUniform on a kernel as Keras stores it: (taps..., inputs, outputs), all leading axes receptive."""
    *taps, fan_in, fan_out = kernel_shape
    receptive = math.prod(taps)
    return math.sqrt(6 / (receptive * fan_in + receptive * fan_out))


@pytest.mark.parametrize(
    ("stored", "kernel"),
    {
        "Dense": ((80, 50), KernelShape(50, 80)),
        "Conv2D": ((3, 3, 24, 32), KernelShape(32, 24, 9)),
        "Conv2D, 4 groups": ((3, 3, 6, 32), KernelShape(32, 24, 9, groups=4)),
        "DepthwiseConv2D": ((3, 3, 256, 1), KernelShape(256, 256, 9, groups=256)),
        "Conv2DTranspose": ((4, 4, 20, 32), KernelShape(20, 32, 16, overlap=4)),
    }.values(),
    ids=str,
)
def test_keras_default_counts_fans_on_the_stored_kernel(stored, kernel):
    assert math.prod(stored) == kernel.size
    assert math.sqrt(3) * schemes.get("keras_default").spread(kernel) == pytest.approx(keras_limit(stored), rel=1e-14)


@pytest.mark.parametrize("kernel", [KernelShape(50, 80), KernelShape(32, 24, 9)], ids=str)
def test_keras_default_is_glorot_uniform_without_groups(kernel):
    default, glorot = (
        schemes.get(name).draw(kernel, 1.0, Stream(0, "w")) for name in ("keras_default", "glorot_uniform")
    )
    assert default == pytest.approx(glorot, rel=2**-23)


def test_keras_embedding_is_uniform_within_a_twentieth():
    kernel = KernelShape(500, 40)
    weights = schemes.get("keras_embedding").draw(kernel, 1.0, Stream(0, "w"))
    slack = math.log(1e6) / kernel.size
    assert 0.05 * (1 - slack) <= abs(weights).max() <= 0.05 * (1 + 2**-23)
