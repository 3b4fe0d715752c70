"""One table of laws over every scheme and every kind of kernel."""

import hashlib
import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from gainstage import schemes
from gainstage.errors import InputError
from gainstage.graph import KernelShape
from gainstage.schemes import sampling
from gainstage.streams import Stream

KERNELS = {
    "dense": KernelShape(96, 96),
    "tall": KernelShape(256, 32),
    "wide": KernelShape(32, 256),
    "convolution": KernelShape(48, 32, 9),
    "grouped": KernelShape(64, 48, 9, groups=4),
    "depthwise": KernelShape(512, 512, 9, groups=512),
    "depthwise with multiplier": KernelShape(512, 256, 9, groups=256),
    "transposed": KernelShape(64, 48, 16, overlap=4),
    "transposed, uneven overlap": KernelShape(48, 32, 9, overlap=2.25),
}


def variance_table():
    """Distribution and variance at gain one, from the terms i summed in an output and the outputs o of an input."""
    factors = {
        "{}": lambda i, o: 1 / i,
        "{}_fan_out": lambda i, o: 1 / o,
        "glorot_{}": lambda i, o: 2 / (i + o),
        "he_{}": lambda i, o: 2 / i,
        "he_{}_fan_out": lambda i, o: 2 / o,
        "he_{}_fan_avg": lambda i, o: 4 / (i + o),
    }
    table = {
        pattern.format(distribution): (distribution, variance)
        for distribution in ("normal", "uniform", "truncated_normal")
        for pattern, variance in factors.items()
    }
    table["pytorch_embedding"] = ("normal", lambda i, o: 1)
    table["keras_embedding"] = ("uniform", lambda i, o: 0.1**2 / 12)
    return table


INDEPENDENT = variance_table()
FRAMEWORK_FANS = {"pytorch_default", "keras_default"}  # their spreads are compared with the frameworks in test_defaults
ORTHOGONAL = {"orthogonal", "delta_orthogonal"}
CENTRED = {"centred_normal", "centred_orthogonal", "centred_outputs"}  # the laws of their own are in test_centred
FIXED = {"identity": None, "zeros": 0.0, "ones": 0.0, "constant": 0.0}

KURTOSIS = {"normal": 3.0, "uniform": 1.8, "truncated_normal": 3 + float(scipy.stats.truncnorm(-2, 2).stats("k"))}
DISTRIBUTION = {name: distribution for name, (distribution, _) in INDEPENDENT.items()} | dict.fromkeys(
    sorted(FRAMEWORK_FANS), "uniform"
)


def serves(name, kernel):
    match name:
        case "delta_orthogonal":
            return kernel.out >= kernel.in_
        case "centred_normal" | "centred_orthogonal":
            return kernel.in_ > kernel.groups
        case "centred_outputs":
            return kernel.out > kernel.groups
    return True


CASES = [
    pytest.param(name, kernel, id=f"{name}-{label}")
    for name in schemes.names()
    for label, kernel in KERNELS.items()
    if serves(name, kernel)
]
RANDOM_CASES = [case for case in CASES if case.values[0] not in FIXED]
INDEPENDENT_CASES = [case for case in CASES if case.values[0] in DISTRIBUTION]
LEVEL_CASES = [
    case for case in CASES if case.values[0] in {"normal", "uniform", "truncated_normal"} | ORTHOGONAL | CENTRED
]


def quantile(comparisons, false_alarms=1e-3):
    """How many standard errors all comparisons together exceed by chance once in 1 / false_alarms choices of seed."""
    return scipy.stats.norm.isf(false_alarms / (2 * comparisons))


def draw(name, kernel, gain=1.0, *, seed=0, path="blocks.0.weight", block=0):
    return schemes.get(name).draw(kernel, gain, Stream(seed, path, block))


def test_every_scheme_is_under_a_law():
    """A scheme registered without a line in the tables above fails here."""
    assert set(schemes.names()) == set(INDEPENDENT) | FRAMEWORK_FANS | ORTHOGONAL | CENTRED | set(FIXED)


@pytest.mark.parametrize(("name", "kernel"), CASES)
def test_shape_type_and_finiteness(name, kernel):
    weights = draw(name, kernel)
    assert weights.shape == (kernel.out, kernel.in_ // kernel.groups, kernel.receptive)
    assert weights.dtype == np.float32
    assert weights.flags.c_contiguous
    assert np.isfinite(weights).all()


@pytest.mark.parametrize(("name", "kernel"), INDEPENDENT_CASES)
def test_mean_and_variance_within_the_sampling_error(name, kernel):
    scheme = schemes.get(name)
    gain = 0.7
    spread = scheme.spread(kernel, gain)
    weights = draw(name, kernel, gain).astype(np.float64)
    z = quantile(2 * len(INDEPENDENT_CASES))
    assert abs(weights.mean()) <= z * spread / math.sqrt(kernel.size)
    error = math.sqrt((KURTOSIS[DISTRIBUTION[name]] - 1) / kernel.size)
    assert abs((weights**2).mean() / spread**2 - 1) <= z * error


@pytest.mark.parametrize(("name", "kernel"), INDEPENDENT_CASES)
def test_distribution(name, kernel):
    """Kolmogorov-Smirnov against the law that the name says."""
    spread = schemes.get(name).spread(kernel)
    cut = scipy.stats.truncnorm(-2, 2)
    law = {
        "normal": scipy.stats.norm(0, spread),
        "uniform": scipy.stats.uniform(-math.sqrt(3) * spread, 2 * math.sqrt(3) * spread),
        "truncated_normal": scipy.stats.truncnorm(-2, 2, scale=spread / cut.std()),
    }[DISTRIBUTION[name]]
    p_value = scipy.stats.kstest(draw(name, kernel).ravel().astype(np.float64), law.cdf).pvalue
    assert p_value > 1e-3 / len(INDEPENDENT_CASES)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("name", INDEPENDENT)
def test_spread_is_what_the_paper_says(name, kernel):
    taps = kernel.receptive if kernel.overlap is None else kernel.overlap
    terms, reached = kernel.in_ / kernel.groups * taps, kernel.out / kernel.groups * kernel.receptive
    _, variance = INDEPENDENT[name]
    assert schemes.get(name).spread(kernel) == pytest.approx(math.sqrt(variance(terms, reached)), rel=1e-14)
    assert schemes.get(name).spread(kernel, -3.0) == pytest.approx(3 * math.sqrt(variance(terms, reached)), rel=1e-14)


@pytest.mark.parametrize(("name", "expected"), FIXED.items())
def test_spread_of_what_is_not_random(name, expected):
    assert schemes.get(name).spread(KERNELS["dense"], 0.5) == expected


@pytest.mark.parametrize(("name", "kernel"), [case for case in CASES if case.values[0] in ORTHOGONAL])
def test_spread_of_orthogonal_kernels_is_exact(name, kernel):
    """The squares of an orthonormal matrix add up to its shorter side: no sampling error, float32 rounding alone."""
    weights = draw(name, kernel, 0.7).astype(np.float64)
    spread = schemes.get(name).spread(kernel, 0.7)
    assert math.sqrt((weights**2).mean()) == pytest.approx(spread, rel=2**-23)
    # Every entry has mean zero and no two are correlated, so the mean behaves as that of independent weights.
    assert abs(weights.mean()) <= quantile(len(CASES)) * spread / math.sqrt(kernel.size)


@pytest.mark.parametrize(("name", "kernel"), CASES)
def test_same_stream_same_bytes(name, kernel):
    assert draw(name, kernel).tobytes() == draw(name, kernel).tobytes()


@pytest.mark.parametrize(("name", "kernel"), RANDOM_CASES)
@pytest.mark.parametrize("other", [{"seed": 1}, {"path": "blocks.1.weight"}, {"block": 1}], ids=lambda o: next(iter(o)))
def test_another_address_other_values(name, kernel, other):
    """Uncorrelated ones, that is. The standard error of a correlation is 1 / √(number of pairs)."""
    first, second = (draw(name, kernel, **address).astype(np.float64).ravel() for address in ({}, other))
    used = (first != 0) & (second != 0)
    first, second = first[used], second[used]
    correlation = (first @ second) / math.sqrt((first @ first) * (second @ second))
    assert abs(correlation) <= quantile(3 * len(RANDOM_CASES)) / math.sqrt(used.sum())


@pytest.mark.parametrize(("name", "kernel"), CASES)
def test_gain_scales_linearly(name, kernel):
    one = draw(name, kernel)
    np.testing.assert_array_equal(draw(name, kernel, 4.0), 4 * one)
    np.testing.assert_array_equal(draw(name, kernel, -1.0), -one)
    np.testing.assert_array_equal(draw(name, kernel, 0.0), 0 * one)
    # What is small because a mean was taken off is rounded like what it was taken off from.
    slack = 2**-22 * float(abs(one).max()) if name in CENTRED else 0.0
    # On either side the spread and its product with a draw are rounded to float32.
    np.testing.assert_allclose(draw(name, kernel, 0.3), 0.3 * one.astype(np.float64), rtol=2**-22, atol=slack)


@pytest.mark.parametrize(("name", "kernel"), LEVEL_CASES)
def test_second_moment_of_a_linear_map_is_kept(name, kernel):
    """E[y²] = 1 for white x: each group as a matrix on patches; where taps are spread over places, so is the sum."""
    rows, columns = kernel.out // kernel.groups, kernel.in_ // kernel.groups * kernel.receptive
    matrices = draw(name, kernel).astype(np.float64).reshape(kernel.groups, rows, columns)
    examples = 200
    x = np.random.default_rng(0).standard_normal((kernel.groups, columns, examples))
    share = 1.0 if kernel.overlap is None else kernel.overlap / kernel.receptive
    second_moment = share * ((matrices @ x) ** 2).mean()
    # Var(xᵀ A x) = 2 |A|² for Gaussian x, with A = WᵀW; and the squares of the weights scatter themselves.
    grams = matrices.swapaxes(1, 2) @ matrices
    from_inputs = 2 * share**2 * (grams**2).sum() / kernel.out**2 / examples
    # Taking a mean off leaves at least half of all values free.
    from_weights = (KURTOSIS[name] - 1) / kernel.size if name in KURTOSIS else 4 / kernel.size * (name in CENTRED)
    assert abs(second_moment - 1) <= quantile(len(LEVEL_CASES)) * math.sqrt(from_inputs + from_weights)


def test_which_schemes_are_independent():
    assert {name for name in schemes.names() if schemes.get(name).independent} == set(DISTRIBUTION)
    assert all(schemes.get(name).independent == kind for name, kind in DISTRIBUTION.items())


@pytest.mark.parametrize("gain", [0.7, -0.7])
@pytest.mark.parametrize(("name", "kernel"), CASES)
def test_memory_and_region_change_nothing(name, kernel, gain):
    whole, scheme, stream = draw(name, kernel, gain), schemes.get(name), Stream(0, "blocks.0.weight")
    transposed = np.empty(kernel.shape[::-1]).T
    scheme.fill(transposed, kernel, gain, stream)
    np.testing.assert_array_equal(transposed, whole)
    words = np.empty(kernel.shape, dtype=np.uint16)
    scheme.fill(words, kernel, gain, stream, bfloat16=True)
    assert torch.equal(torch.from_numpy(words.view(np.int16)).view(torch.bfloat16), torch.from_numpy(whole).bfloat16())
    out, in_, taps = kernel.shape
    column = np.empty((out - 3, taps), dtype=np.float32)
    scheme.fill(column, kernel, gain, stream, start=3 * in_ * taps + (in_ - 1) * taps, strides=(in_ * taps, 1))
    np.testing.assert_array_equal(column, whole[3:, -1])


# sha256 of KernelShape(48, 32, 9) at gain one, seed 0, path "blocks.0.weight", little-endian. Never change them.
GOLDEN = {
    "normal": "4c396d1e2d28314863cc4897b65f6b8511abaac8120636ff02306040829bf89b",
    "uniform": "f19cfc746463c9ac13744c80331132468708becc5469c2a769fb7613235d28b0",
    "truncated_normal": "fe272cee7e9bbfd735af6aeaf6b80374b602f380a555291c139d14ccf2d03d6e",
    "he_normal": "8033ddc597fbc235f853aa678b6828d7014f9815b604cfc3ec9b6c2b5aab0775",
    "glorot_uniform": "c0d65852261e67b5e2d7d5568c5ca1fbeb129ea633a98992c7c80e73e234ad77",
    "pytorch_default": "f5685730e3ee2ca94cea1780c68e1a2b68cb078d7c49089c5c89a173e0e75a2a",
}


@pytest.mark.parametrize(("name", "expected"), GOLDEN.items())
def test_golden_bytes(name, expected):
    weights = draw(name, KERNELS["convolution"])
    assert hashlib.sha256(weights.astype("<f4").tobytes()).hexdigest() == expected


def test_spread_of_the_cut_normal_by_quadrature():
    density = scipy.stats.norm.pdf
    inside, _ = scipy.integrate.quad(density, -2, 2, epsabs=1e-14)
    second_moment, _ = scipy.integrate.quad(lambda z: z * z * density(z), -2, 2, epsabs=1e-14)
    assert pytest.approx(math.sqrt(second_moment / inside), rel=1e-14) == sampling.TRUNCATED_SPREAD


@pytest.mark.parametrize("name", schemes.names())
@pytest.mark.parametrize("gain", [math.nan, math.inf, -math.inf, "2", None])
def test_bad_gain(name, gain):
    with pytest.raises(InputError, match=f"gain of scheme '{name}' must be a finite number; received"):
        draw(name, KERNELS["dense"], gain)
    with pytest.raises(InputError, match="finite number"):
        schemes.get(name).spread(KERNELS["dense"], gain)


def test_no_framework_is_imported():
    check = "import sys, gainstage.schemes; sys.exit(bool({'torch', 'keras', 'jax', 'tensorflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
