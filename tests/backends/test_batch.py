"""How batches go in and outputs come out."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
import torch
from torch import nn

from gainstage.backends.torch.models.batch import first_output, own_loss, prepare
from gainstage.errors import InputError, ModelError

MODEL = nn.Linear(4, 3)
X = torch.randn(6, 4)
Pair = namedtuple("Pair", "left right")


@dataclasses.dataclass
class Output:
    hidden: torch.Tensor
    logits: torch.Tensor | None = None
    loss: torch.Tensor | None = None


FORMS = {
    "tensor": (X, (X,), {}),
    "array": (X.numpy(), (X,), {}),
    "tuple": ((X, 2), (X, 2), {}),
    "list": ([X, X], (X, X), {}),
    "mapping": ({"x": X, "flag": True}, (), {"x": X, "flag": True}),
    "ordered mapping": (OrderedDict(x=X), (), {"x": X}),
    "nested": (([X, {"mask": X}],), ([X, {"mask": X}],), {}),
    "named tuple": (((Pair(X, X)),), (Pair(X, X),), {}),
}


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    return one == other


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_batch(form):
    inputs, args, kwargs = FORMS[form]
    batch = prepare(inputs, MODEL)
    assert same(batch.args, args)
    assert same(batch.kwargs, kwargs)
    assert batch.examples == 6
    doubled = batch.map(lambda t: t * 2)
    assert all(torch.equal(t, 2 * old) for (_, t), (_, old) in zip(doubled.tensors, batch.tensors, strict=True))


def test_the_axis_of_examples_is_the_first_unless_the_labels_say_otherwise():
    sequence = torch.randn(5, 6, 4)
    assert prepare(sequence, MODEL).examples == 5
    assert (
        prepare(sequence, MODEL, torch.zeros(6)).examples,
        prepare(sequence, MODEL, torch.zeros(6)).example_axis,
    ) == (6, 1)
    assert prepare(sequence, MODEL, torch.zeros(5)).example_axis == 0
    assert prepare(torch.tensor(3.0), MODEL).examples == 1


def test_masks_are_told_from_values():
    mask = torch.tensor([[0.0, -torch.inf], [0.0, 0.0]])
    batch = prepare({"x": X, "mask": mask, "zeros": torch.zeros(3)}, MODEL)
    assert batch.masks == {"mask"}
    with pytest.raises(
        InputError, match=r"'broken' of shape \(2,\) holds NaN or infinite values, first at index \(1,\)"
    ):
        prepare({"x": X, "broken": torch.tensor([1.0, -torch.inf])}, MODEL)


@pytest.mark.parametrize("inputs", ["text", 3, None, (), {}, [], ([],), {"x": 1}, object()])
def test_no_tensor_is_refused(inputs):
    with pytest.raises(InputError, match="holds no tensor: received"):
        prepare(inputs, MODEL)


@pytest.mark.parametrize("inputs", [torch.zeros(0, 4), (X, torch.zeros(0)), {"x": np.zeros((3, 0))}])
def test_an_empty_tensor_is_refused(inputs):
    with pytest.raises(InputError, match="empty: received an input of shape"):
        prepare(inputs, MODEL)


LOGITS, HIDDEN, LOSS = torch.randn(6, 3), torch.randn(6, 8), torch.tensor(1.5)
OUTPUTS = {
    "tensor": (LOGITS, LOGITS, None),
    "tuple": ((LOGITS, HIDDEN), LOGITS, None),
    "list behind integers": ([torch.ones(3, dtype=torch.long), LOGITS], LOGITS, None),
    "mapping": ({"hidden": HIDDEN, "logits": LOGITS, "loss": LOSS}, LOGITS, LOSS),
    "mapping of another name": ({"loss": LOSS, "out": LOGITS}, LOGITS, LOSS),
    "dataclass": (Output(HIDDEN, LOGITS, LOSS), LOGITS, LOSS),
    "dataclass without logits": (Output(HIDDEN), HIDDEN, None),
    "named tuple": (Pair(LOGITS, HIDDEN), LOGITS, None),
    "packed": (nn.utils.rnn.pack_sequence([LOGITS]), LOGITS, None),
    "nested": ({"a": [None, (HIDDEN,)]}, HIDDEN, None),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_the_loss_would_see(name):
    output, seen, loss = OUTPUTS[name]
    assert torch.equal(first_output(output), seen)
    assert own_loss(output) is loss


@pytest.mark.parametrize("output", [None, 3, "text", torch.ones(2, dtype=torch.long), {}, [], {"loss": LOSS}])
def test_an_output_without_numbers_is_refused(output):
    with pytest.raises(ModelError, match="no floating tensor: received"):
        first_output(output)
