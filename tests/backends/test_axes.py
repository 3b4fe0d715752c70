"""Where the examples are: arithmetic on strides, and random chains of operations whose values carry their example."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings

from gainstage.backends.torch.tracing.axes import axis_of, permuted, remap_axis, stride_at, without
from gainstage.backends.torch.tracing.interpreter import Interpreter

EXAMPLES = 5  # a prime, so that no reshape can cut the examples in two


def marked(*shape: int, axis: int = 0) -> torch.Tensor:
    """A tensor in which every element is the number of its example."""
    index = torch.arange(shape[axis], dtype=torch.float32)
    return index.reshape([-1 if i == axis else 1 for i in range(len(shape))]).expand(shape).contiguous()


def stride_after(function, tensor: torch.Tensor, examples: int = EXAMPLES, axis: int = 0):
    interpreter = Interpreter({}, examples)
    with interpreter:
        interpreter.add_input(tensor, "x", axis)
        out = function(tensor)
    return out, interpreter.value_of(out).example_stride


def separates(tensor: torch.Tensor, stride: int, examples: int = EXAMPLES) -> bool:
    """Whether the middle axis of the promised reshape really runs over examples."""
    rows = tensor.reshape(-1, examples, stride)
    return bool((rows == torch.arange(examples, dtype=rows.dtype)[None, :, None]).all())


# -- every operation of these keeps each element's example -------------------------------------------------------------


def same_along(x: torch.Tensor) -> list[int]:
    """The axes along which no example changes."""
    return [a for a in range(x.dim()) if bool((x.amax(a) == x.amin(a)).all())]


def _linear(x, draw):
    size = x.shape[-1]
    return x if x.dim() - 1 not in same_along(x) else F.linear(x, torch.full((draw(st.integers(1, 4)), size), 1 / size))


def _permute(x, draw):
    return x.permute(draw(st.permutations(range(x.dim()))))


def _merge(x, draw):
    if x.dim() < 2:
        return x
    a = draw(st.integers(0, x.dim() - 2))
    return x.reshape(*x.shape[:a], x.shape[a] * x.shape[a + 1], *x.shape[a + 2 :])


def _split(x, draw):
    a = draw(st.integers(0, x.dim() - 1))
    factor = draw(st.sampled_from([f for f in range(1, x.shape[a] + 1) if x.shape[a] % f == 0]))
    return x.reshape(*x.shape[:a], factor, x.shape[a] // factor, *x.shape[a + 1 :])


def _on_same(change):
    def apply(x, draw):
        axes = same_along(x) if x.dim() > 1 else []
        return change(x, draw(st.sampled_from(axes)), draw) if axes else x

    return apply


def _outer(x, draw):
    return torch.einsum("...i,j->...ji", x, torch.ones(2))


def _filled(x, draw):
    if x.dim() - 1 not in same_along(x):
        return x
    out = torch.zeros_like(x)
    out[..., : x.shape[-1] // 2] = x[..., : x.shape[-1] // 2]
    out[..., x.shape[-1] // 2 :] = x[..., x.shape[-1] // 2 :]
    return out


OPERATIONS = {
    "linear": _linear,
    "permute": _permute,
    "merge": _merge,
    "split": _split,
    "mean": _on_same(lambda x, a, draw: x.mean(a)),
    "mean_kept": _on_same(lambda x, a, draw: x.mean(a, keepdim=True)),
    "amax": _on_same(lambda x, a, draw: x.amax(a)),
    "max": _on_same(lambda x, a, draw: x.max(a).values),
    "select": _on_same(lambda x, a, draw: x.select(a, -1)),
    "unbind": _on_same(lambda x, a, draw: x.unbind(a)[0]),
    "slice": _on_same(lambda x, a, draw: x.narrow(a, 0, max(x.shape[a] // 2, 1))),
    "chunk": _on_same(lambda x, a, draw: x.chunk(2, a)[-1]),
    "flip": _on_same(lambda x, a, draw: x.flip(a)),
    "roll": _on_same(lambda x, a, draw: x.roll(1, a)),
    "index": _on_same(lambda x, a, draw: x.index_select(a, torch.tensor([0, 0]))),
    "cat": lambda x, draw: torch.cat([x, x], draw(st.integers(0, x.dim() - 1))),
    "stack": lambda x, draw: torch.stack([x, x, x], draw(st.integers(0, x.dim()))),
    "expand": lambda x, draw: x.unsqueeze(0).expand(2, *x.shape),
    "repeat": lambda x, draw: x.repeat(2, *[1] * x.dim()),
    "unsqueeze": lambda x, draw: x.unsqueeze(draw(st.integers(0, x.dim()))),
    "add": lambda x, draw: x + torch.zeros(3, *[1] * x.dim()),
    "relu": lambda x, draw: F.relu(x),
    "relu_in_place": lambda x, draw: x.clone().relu_(),
    "normalise": lambda x, draw: x * torch.ones(x.shape[-1]),
    "advanced": lambda x, draw: x[torch.arange(x.shape[0])],
    "outer": _outer,
    "filled": _filled,
}  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_a_chain_of_operations_keeps_examples_apart(data):
    shape = [EXAMPLES, *data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))]
    axis = data.draw(st.integers(0, 1))
    shape[0], shape[axis] = shape[axis], shape[0]
    names = data.draw(st.lists(st.sampled_from(sorted(OPERATIONS)), min_size=1, max_size=6))

    def chain(x):
        for name in names:
            if x.numel() < 5000 and x.dim() < 7:
                x = OPERATIONS[name](x, data.draw)
        return x

    out, stride = stride_after(chain, marked(*shape, axis=axis), axis=axis)
    assert stride is not None, names
    assert separates(out, stride), names


MIXING = {
    "product with every other example": lambda x: x[:, 0] @ x[:, 0].T,
    "sum over examples": lambda x: x.sum(0),
    "gram matrix over examples": lambda x: x[:, 0].T @ x[:, 0],
    "all pairs": lambda x: x[:, 0][:, None] - x[:, 0][None, :],
    "masked": lambda x: x[x > 1],
    "half of the batch": lambda x: x[:2],
}


@pytest.mark.parametrize("name", MIXING)
def test_where_examples_are_mixed_there_is_no_answer(name):
    _, stride = stride_after(MIXING[name], marked(EXAMPLES, EXAMPLES, EXAMPLES))
    assert stride is None


KEEPING = {
    "last token of each": lambda x: x[torch.arange(EXAMPLES), torch.tensor([0, 1, 2, 1, 0])],
    "new axis through an index": lambda x: x[:, torch.zeros(EXAMPLES, EXAMPLES, dtype=torch.long)],
    "index behind the examples": lambda x: x[:, :, torch.tensor([0, 0])],
    "batched product": lambda x: torch.bmm(x, torch.ones_like(x).transpose(1, 2)) / x.shape[-1],
    "unfold": lambda x: x.unfold(1, 2, 1),
    "convolution": lambda x: F.conv1d(x, torch.ones(EXAMPLES, EXAMPLES, 1) / EXAMPLES),
    "diagonal": lambda x: x.diagonal(0, 1, 2),
    "pooled": lambda x: F.adaptive_avg_pool1d(x, 1),
    "interleaved": lambda x: x.repeat_interleave(2, 0),
    "written by columns": lambda x: torch.stack([x[:, 0] for _ in range(EXAMPLES)], 1),
}  # fmt: skip


@pytest.mark.parametrize("name", KEEPING)
def test_sizes_equal_to_the_batch_do_not_mislead(name):
    """All axes are as long as the batch, so that a wrong axis would pass every check of sizes."""
    out, stride = stride_after(KEEPING[name], marked(EXAMPLES, EXAMPLES, EXAMPLES))
    assert stride is not None
    assert separates(out, stride)


def test_embedded_tokens_belong_to_their_example():
    tokens = marked(EXAMPLES, EXAMPLES).long()
    table = torch.arange(EXAMPLES, dtype=torch.float32)[:, None].expand(EXAMPLES, 3).contiguous()
    interpreter = Interpreter({"table": table}, EXAMPLES)
    with interpreter:
        interpreter.add_input(tokens, "ids")
        out = F.embedding(tokens, table)
    value = interpreter.value_of(out)
    assert separates(out, value.example_stride)
    assert value.unit_axis == 2


# -- the arithmetic itself ---------------------------------------------------------------------------------------------

SHAPES = st.lists(st.integers(1, 6), min_size=1, max_size=5)


@given(SHAPES, st.data())
def test_a_stride_tells_its_axis_again(shape, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    shape[axis] = EXAMPLES
    assert axis_of(shape, stride_at(shape, axis), EXAMPLES) == (axis, 1)


@given(SHAPES, st.data())
def test_a_permutation_moves_the_stride_as_it_moves_the_elements(shape, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    shape[axis] = EXAMPLES
    order = data.draw(st.permutations(range(len(shape))))
    stride = permuted(shape, stride_at(shape, axis), EXAMPLES, order)
    assert separates(marked(*shape, axis=axis).permute(order), stride)


@given(SHAPES, st.data())
def test_an_axis_of_units_is_found_behind_every_permutation(shape, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    order = tuple(data.draw(st.permutations(range(len(shape)))))
    after = [shape[i] for i in order]
    assert order[remap_axis(axis, shape, after, order)] == axis


@given(SHAPES, st.data())
def test_an_axis_of_units_that_was_taken_apart_is_found_when_it_is_put_together(shape, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    apart = [*shape[:axis], 2, shape[axis], *shape[axis + 1 :]]
    shape[axis] *= 2
    between = remap_axis(axis, shape, apart, None)
    assert between == axis
    assert remap_axis(between, apart, shape, None) == axis


def test_no_stride_and_no_axis_stay_unknown():
    assert axis_of((4, 3), None, 4) is None
    assert permuted((4, 3), None, 4, (1, 0)) is None
    assert remap_axis(None, (4, 3), (12,), None) is None
    assert without(1, [1]) is None
    assert stride_at((4, 3), 0) == math.prod((3,))
