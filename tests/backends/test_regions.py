"""Any rectangle of a parameter equals that part of the whole, drawn by NumPy or in PyTorch operations."""

import numpy as np
import pytest
import torch

from gainstage.backends.torch.writing import on_device, write
from gainstage.backends.torch.writing.layout import native
from gainstage.backends.torch.writing.regions import draw, draw_region, rectangles
from gainstage.errors import InputError
from gainstage.graph import KernelShape, Role
from gainstage.records import Assignment, Plan
from gainstage.streams import Normal, Sign, Stream, Uniform

# Shape, kernel, blocks, layout, and how many rectangles the parameter consists of (None: drawn as a whole).
GEOMETRIES = {
    "linear": ((6, 4), KernelShape(6, 4), 1, "out_in", 1),
    "packed": ((12, 4), KernelShape(4, 4), 3, "out_in", 3),
    "packed, an axis for the blocks": ((3, 2, 5, 4), KernelShape(10, 4), 3, "out_in", 3),
    "blocks that end within a row": ((2, 12, 4), KernelShape(8, 4), 3, "out_in", None),
    "convolution": ((8, 3, 3, 2), KernelShape(8, 6, 6, groups=2), 1, "out_in", 1),
    "inputs first": ((4, 6), KernelShape(6, 4), 1, "in_out", 1),
    "inputs first, packed": ((4, 18), KernelShape(6, 4), 3, "in_out", 3),
    "inputs first, heads": ((4, 2, 3), KernelShape(6, 4), 1, "in_out", 1),
    "transposed, grouped": ((8, 3, 3, 2), KernelShape(6, 8, 6, groups=2), 1, "in_out", 2),
    "one number": ((), KernelShape(1, 1), 1, "out_in", 1),
}
every_geometry = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)


def assignment(geometry, scheme="he_normal", gain=1.0):
    shape, kernel, blocks, layout, _ = geometry
    return Assignment("w", Role.HIDDEN, shape, scheme, gain=gain, kernel=kernel, blocks=blocks, layout=layout)


def whole(asked):
    return native(draw(asked, 0), asked.shape, asked.kernel, asked.blocks, asked.layout)


def boxes(shape, count=20):
    generator = np.random.default_rng(0)
    for _ in range(count):
        low = [int(generator.integers(0, size + 1)) for size in shape]
        yield (
            tuple(low),
            tuple(int(generator.integers(first, size + 1)) for first, size in zip(low, shape, strict=True)),
        )


@every_geometry
def test_rectangles_cover_every_weight_once(geometry):
    shape, kernel, blocks, layout, count = geometry
    parts = rectangles(shape, kernel, blocks, layout)
    assert (None if parts is None else len(parts)) == count
    covered = np.zeros(shape, dtype=int)
    for part in parts or ():
        covered[(*map(slice, part.low, part.high), ...)] += 1
    assert parts is None or (covered == 1).all()


@every_geometry
@pytest.mark.parametrize("scheme", ["he_normal", "orthogonal", "zeros"])
def test_a_rectangle_equals_that_part_of_the_whole(geometry, scheme):
    asked = assignment(geometry, scheme)
    values = whole(asked)
    for low, high in boxes(asked.shape):
        expected = values[(*map(slice, low, high), ...)]
        for drawn in (None, draw(asked, 0)):
            memory = np.full(expected.shape, np.nan)
            draw_region(memory, asked, 0, offsets=low, drawn=drawn)
            np.testing.assert_array_equal(memory, expected)


@every_geometry
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_in_pytorch_operations_a_rectangle_is_the_same_or_is_left_alone(geometry, dtype):
    asked = assignment(geometry, gain=-0.7)
    values, drawn = torch.from_numpy(whole(asked).copy()).to(dtype), 0
    for low, high in boxes(asked.shape):
        expected = values[(*map(slice, low, high), ...)]
        memory = torch.full(expected.shape, torch.nan, dtype=dtype)
        if on_device.draw_region(memory, asked, 0, low):
            drawn += 1
            assert torch.equal(memory, expected)
        else:
            assert memory.isnan().all()
    assert drawn or geometry[3] == "in_out" or geometry[4] is None


def test_in_pytorch_operations_a_scheme_that_needs_the_matrix_is_not_drawn():
    assert not on_device.draw_region(torch.empty(6, 4), assignment(GEOMETRIES["linear"], "orthogonal"), 0, (0, 0))


@pytest.mark.parametrize("start", [0, 3, 2**34 - 6, 2**53 + 1, 2**62 + 5])
@pytest.mark.parametrize("distribution", [Normal(0.02), Normal(0.3, bound=1.5), Uniform(-1, 3), Sign(0.1)], ids=str)
def test_pytorch_operations_give_the_bytes_of_the_stream(distribution, start, monkeypatch):
    monkeypatch.setattr(on_device, "_CHUNK", 7000)
    found, expected = torch.empty(3, 7001), np.empty((3, 7001), dtype=np.float32)
    on_device.fill(found, Stream(0, "w"), distribution, start=start)
    Stream(0, "w").fill(expected, distribution, start=start)
    np.testing.assert_array_equal(found.numpy().view(np.int32), expected.view(np.int32))


def test_a_device_that_rounds_in_its_own_way_is_found_out(monkeypatch):
    def contracted(value):
        return (exact(value).double() * (1 + 2**-30)).float()

    exact = on_device._rational
    monkeypatch.setattr(on_device, "_rational", contracted)
    on_device.draws_alike.cache_clear()
    try:
        assert on_device.draws_alike(torch.device("cpu"))
        monkeypatch.setattr(on_device, "_rational", lambda value: torch.nextafter(exact(value), torch.zeros(())))
        on_device.draws_alike.cache_clear()
        assert not on_device.draws_alike(torch.device("cpu"))
        assert not on_device.draw_region(torch.empty(6, 4), assignment(GEOMETRIES["linear"]), 0, (0, 0))
    finally:
        on_device.draws_alike.cache_clear()


@pytest.mark.parametrize("scheme", ["he_normal", "orthogonal"])
def test_memory_that_numpy_cannot_reach_receives_the_same_values(scheme, monkeypatch):
    """As if every parameter were on an accelerator."""
    asked = assignment(GEOMETRIES["packed"], scheme)
    layer = torch.nn.Linear(4, 12, bias=False)
    monkeypatch.setattr(write, "numpy_view", lambda tensor: None)
    renamed = Assignment("weight", Role.HIDDEN, (12, 4), scheme, kernel=asked.kernel, blocks=3)
    write.apply(layer, Plan((renamed,)))
    np.testing.assert_array_equal(layer.weight.detach().numpy(), native(draw(renamed, 0), (12, 4), asked.kernel, 3))


def test_memory_that_overlaps_is_refused_before_anything_is_written():
    layer = torch.nn.Sequential(torch.nn.Linear(4, 4, bias=False), torch.nn.Linear(4, 4, bias=False))
    layer[1].weight = torch.nn.Parameter(torch.zeros(1).expand(4, 4))
    before = layer[0].weight.detach().clone()
    asked = [Assignment(f"{i}.weight", Role.HIDDEN, (4, 4), "he_normal", kernel=KernelShape(4, 4)) for i in range(2)]
    with pytest.raises(InputError, match=r"'1\.weight' cannot be written.*overlaps itself"):
        write.apply(layer, Plan(tuple(asked)))
    assert torch.equal(layer[0].weight, before)


def test_writing_tells_autograd():
    layer = torch.nn.Linear(4, 4, bias=False)
    output = layer(torch.ones(1, 4, requires_grad=True)).square().sum()
    asked = Assignment("weight", Role.HIDDEN, (4, 4), "he_normal", kernel=KernelShape(4, 4))
    write.apply(layer, Plan((asked,)))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.backward()
