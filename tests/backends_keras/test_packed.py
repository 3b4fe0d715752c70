"""Several projections in one weight: each block is drawn by its own fans, with the bytes of the twin in PyTorch."""

import keras
import numpy as np
import pytest
import torch
from keras import layers, ops
from torch import nn

import gainstage as gs
from gainstage.backends.keras.models.batch import values_of
from gainstage.backends.keras.models.names import named_parameters
from gainstage.backends.keras.writing.write import stream_path
from gainstage.planning import plan

WIDTH, HEADS, TOKENS = 32, 4, 8


def attend(q, k, v):
    split = (ops.reshape(t, (-1, TOKENS, HEADS, WIDTH // HEADS)) for t in (q, k, v))
    return ops.reshape(ops.dot_product_attention(*split), (-1, TOKENS, WIDTH))


def torch_attend(q, k, v):
    split = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in (q, k, v))
    return nn.functional.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)


def shared_keys(q, k, v):
    """Two heads of keys and values for four of queries."""
    q, k, v = (ops.reshape(t, (-1, TOKENS, t.shape[-1] // 8, 8)) for t in (q, k, v))
    return ops.reshape(
        ops.dot_product_attention(q, ops.repeat(k, 2, axis=2), ops.repeat(v, 2, axis=2)), (-1, TOKENS, WIDTH)
    )


def torch_shared_keys(q, k, v):
    q, k, v = (t.unflatten(-1, (-1, 8)).transpose(1, 2) for t in (q, k, v))
    k, v = (t.repeat_interleave(2, dim=1) for t in (k, v))
    return nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def halves(x, chunk, activation):
    gate, up = chunk(x)
    return activation(gate) * up


CASES = {
    "split": (3 * WIDTH, 3, lambda y: attend(*ops.split(y, 3, axis=-1)), lambda y: torch_attend(*y.chunk(3, -1))),
    "slices": (
        3 * WIDTH,
        3,
        lambda y: attend(y[..., :WIDTH], y[..., WIDTH : 2 * WIDTH], y[..., 2 * WIDTH :]),
        lambda y: torch_attend(y[..., :WIDTH], y[..., WIDTH : 2 * WIDTH], y[..., 2 * WIDTH :]),
    ),
    "unstacked": (
        3 * WIDTH,
        3,
        lambda y: attend(*ops.unstack(ops.reshape(y, (-1, TOKENS, 3, WIDTH)), axis=2)),
        lambda y: torch_attend(*y.unflatten(-1, (3, WIDTH)).unbind(2)),
    ),
    "fewer keys": (
        2 * WIDTH,
        4,
        lambda y: shared_keys(*ops.split(y, [WIDTH, WIDTH + WIDTH // 2], axis=-1)),
        lambda y: torch_shared_keys(*y.split([WIDTH, WIDTH // 2, WIDTH // 2], -1)),
    ),
    "gate": (
        2 * WIDTH,
        2,
        lambda y: halves(y, lambda t: ops.split(t, 2, axis=-1), ops.silu),
        lambda y: halves(y, lambda t: t.chunk(2, -1), nn.functional.silu),
    ),
    "glu": (2 * WIDTH, 2, ops.glu, nn.functional.glu),
    "read as a whole": (WIDTH, 1, ops.tanh, torch.tanh),
}
"""Width of the weight, its blocks, and what is done with its output in Keras and in PyTorch."""


class Packed(keras.Model):
    def __init__(self, width, mix):
        super().__init__()
        self.packed, self.out, self.head = layers.Dense(width), layers.Dense(WIDTH), layers.Dense(5)
        self.mix = mix

    def call(self, x):
        return self.head(ops.mean(x + self.out(self.mix(self.packed(x))), axis=1))


class Twin(nn.Module):
    def __init__(self, width, mix):
        super().__init__()
        self.packed, self.out, self.head = nn.Linear(WIDTH, width), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 5)
        self.mix = mix

    def forward(self, x):
        return self.head((x + self.out(self.mix(self.packed(x)))).mean(1))


@pytest.mark.parametrize("scheme", ["auto", "orthogonal"])
@pytest.mark.parametrize("name", CASES)
def test_blocks_and_bytes_are_those_of_the_twin(name, scheme, white):
    width, blocks, mix, torch_mix = CASES[name]
    model, other, x = Packed(width, mix), Twin(width, torch_mix), white(16, TOKENS, WIDTH)
    own, twin = plan(gs.trace(model, x), scheme, seed=5), plan(gs.trace(other, torch.from_numpy(x)), scheme, seed=5)
    packed = next(a for a in own if a.parameter == "packed.kernel")
    assert (packed.blocks, packed.kernel.out, packed.kernel.in_) == (blocks, width // blocks, WIDTH)
    assert [(stream_path(a.parameter), a.role, a.scheme, a.gain, a.kernel, a.blocks, a.spread) for a in own] == [
        (a.parameter, a.role, a.scheme, a.gain, a.kernel, a.blocks, a.spread) for a in twin
    ]
    gs.apply(model, own)
    gs.apply(other, twin)
    tensors = dict(other.named_parameters())
    for path, variable in named_parameters(model)[0].items():
        tensor = tensors[stream_path(path)].detach().numpy().T
        assert values_of(variable).tobytes() == np.ascontiguousarray(tensor).tobytes()


def test_blocks_lie_in_a_kernel_with_heads_as_in_a_matrix(white):
    """``(units, 3, heads, width)`` in one ``EinsumDense`` is the matrix ``(units, 3 · heads · width)``."""
    inputs = keras.Input((TOKENS, WIDTH))
    shape = (None, 3, HEADS, WIDTH // HEADS)
    laid = layers.EinsumDense("btd,dchw->btchw", output_shape=shape, name="packed")(inputs)
    mixed = ops.dot_product_attention(*ops.unstack(laid, axis=2))
    model = keras.Model(inputs, layers.Dense(5)(ops.reshape(mixed, (-1, TOKENS, WIDTH))))
    matrix, x = Packed(3 * WIDTH, CASES["split"][2]), white(4, TOKENS, WIDTH)
    gs.initialize(matrix, "orthogonal", x=x, seed=2)
    planned = gs.initialize(model, "orthogonal", x=x, seed=2)
    assert next(a.blocks for a in planned if a.parameter == "packed.kernel") == 3
    assert values_of(model.get_layer("packed").kernel).tobytes() == values_of(matrix.packed.kernel).tobytes()
    for block in np.split(values_of(matrix.packed.kernel), 3, axis=1):
        np.testing.assert_allclose(block.T @ block, np.eye(WIDTH), atol=1e-5)
