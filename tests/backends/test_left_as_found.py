"""Whatever a model's own code does, a look leaves the model, its surroundings and the caller's tensors byte for byte.

A law over hostile forwards: each of them runs around the same networks, under every function that only looks.
"""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

import gainstage as gs
from gainstage.backends.torch.models.preserve import preserved
from gainstage.errors import GainstageError

EXAMPLES = 6


@pytest.fixture(autouse=True)
def no_hook_for_other_tests():
    """A model that runs by itself, to compare, registers its hook on all modules of the process."""
    before = nn.modules.module._global_forward_hooks.copy()
    yield
    nn.modules.module._global_forward_hooks.clear()
    nn.modules.module._global_forward_hooks.update(before)


class Convolutional(nn.Module):
    shape = (3, 8, 8)

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten())
        self.last = nn.Linear(216, 3)

    def forward(self, x):
        return self.last(self.features(x))


class Perceptron(nn.Module):
    shape = (5,)

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(5, 7), nn.LayerNorm(7), nn.Linear(7, 3)

    def forward(self, x):
        return self.last(torch.tanh(self.norm(self.first(x))))


class Recurrent(nn.Module):
    shape = (4, 5)

    def __init__(self):
        super().__init__()
        self.cell, self.last = nn.GRU(5, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x):
        return self.last(self.cell(x)[0][:, -1])


@dataclass
class Diary:
    """An object of the user's own that a model holds."""

    steps: int = 0
    entries: list = field(default_factory=list)


class Slotted:
    __slots__ = ("value",)

    def __init__(self):
        self.value = 1


def counter():
    count = 0

    def step():
        nonlocal count
        count += 1
        return count

    return step, lambda: count


class Hostile(nn.Module):
    """A network, and what its owner does to it in every forward pass."""

    calls = 0

    def __init__(self, inner, deed):
        super().__init__()
        self.inner, self.deed, self.shape = inner, deed, inner.shape
        self.diary, self.slotted = Diary(), Slotted()
        self.table, self.generators = np.zeros(3), [random.Random(1), np.random.default_rng(1), torch.Generator()]
        self.step, self.count = counter()
        self.register_buffer("seen", torch.zeros(2))

    def forward(self, x):
        changed = DEEDS[self.deed](self, x)
        return self.inner(x if changed is None else changed)


def weight(model):
    return model.inner.last.weight


def raises(model, x):
    weight(model).data.mul_(2)
    x.mul_(3)
    model.diary.steps += 1
    raise ValueError("midway")


def writes_in_place(model, x):
    with torch.no_grad():
        weight(model).mul_(0.9)


def rebinds_memory(model, x):
    weight(model).data = weight(model).data * 0.9


def resizes(model, x):
    model.seen.resize_(7).fill_(1)


def replaces(model, x):
    model.inner.last.weight = nn.Parameter(weight(model).detach() * 0.5)


def normalises(model, x):
    for parameter in model.parameters():
        parameter.data.div_(parameter.data.norm() + 1)


def through_numpy(model, x):
    if type(weight(model).data) is torch.Tensor:
        weight(model).data.numpy()[:] = 0.25


def negates_zeros(model, x):
    model.seen.mul_(-1)


def hooks_a_tensor(model, x):
    if weight(model).requires_grad:
        weight(model).register_hook(lambda gradient: gradient * 2)
        weight(model).register_post_accumulate_grad_hook(lambda parameter: None)


def hooks_modules(model, x):
    model.inner.register_forward_hook(lambda *_: None)
    nn.modules.module.register_module_forward_hook(lambda *_: None)


def freezes(model, x):
    weight(model).requires_grad_(False)
    model.inner.eval()


def keeps_notes(model, x):
    model.diary.steps += 1
    model.diary.entries.append(x)
    model.slotted.value += 1
    model.table += 1
    model.step()
    type(model).calls += 1
    weight(model).note = "mine"


def draws(model, x):
    source, numpy, generator = model.generators
    source.random(), numpy.random(), generator.manual_seed(9)
    random.random(), np.random.rand(), torch.rand(1)


def switches(model, x):
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)


def in_the_input(model, x):
    x.mul_(0.5).add_(1)


def asks_the_input_for_a_gradient(model, x):
    x.requires_grad_()


def parametrizes(model, x):
    if not parametrize.is_parametrized(model.inner.last):
        parametrize.register_parametrization(model.inner.last, "weight", nn.Identity())


DEEDS = {
    name: deed
    for name, deed in dict(globals()).items()
    if callable(deed) and getattr(deed, "__code__", None) and deed.__code__.co_varnames[:2] == ("model", "x")
}

LOOKS = {
    "check": lambda m, x, y: gs.check(m, x, y, loss=F.cross_entropy),
    "check with a step": lambda m, x, y: gs.check(m, x, y, loss=F.cross_entropy, optimizer="adam", learning_rate=0.1),
    "plan": lambda m, x, y: gs.plan(m, "auto", x=x),
    "predict": lambda m, x, y: gs.predict(m, x),
    "trace": lambda m, x, y: gs.trace(m, x, y, loss="cross_entropy"),
}


def state(model, x, y):
    """All that could have changed, as bytes, identities and numbers."""
    tensors = [*model.parameters(), *model.buffers(), x, y]
    gradients = [p.grad for p in model.parameters()]
    source, numpy, generator = model.generators
    hooks = nn.modules.module._global_forward_hooks
    return {
        "bytes": [bytes(t.detach().clone().reshape(-1).view(torch.uint8).numpy()) for t in tensors],
        "objects": [id(t) for t in tensors],
        "memory": [(model.deed == "resizes" or t.data_ptr(), tuple(t.shape), t.stride(), t.dtype) for t in tensors],
        "flags": [(t.requires_grad, t.is_leaf, vars(t).copy()) for t in tensors],
        "hooks": [(t._backward_hooks, t._post_accumulate_grad_hooks) for t in model.parameters()],
        "gradients": [(id(g), g.tolist()) for g in gradients],
        "modules": [(n, type(m), m.training, sorted(vars(m)), len(m._forward_hooks)) for n, m in model.named_modules()],
        "notes": (model.diary.steps, list(model.diary.entries), model.slotted.value, model.table.tolist(),
                  model.count(), type(model).calls),
        "random": (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(),
                   source.getstate(), numpy.bit_generator.state, generator.get_state().tolist()),
        "switches": (torch.is_grad_enabled(), torch.get_default_dtype(), len(hooks)),
    }  # fmt: skip


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("kind", [Perceptron, Convolutional, Recurrent])
def test_a_look_changes_nothing(kind, deed):
    torch.manual_seed(0)
    model = Hostile(kind(), deed)
    x, y = torch.randn(EXAMPLES, *model.shape), torch.tensor([0, 1, 2, 0, 1, 2])
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = state(model, x, y)
    for name, look in LOOKS.items():
        with suppress(GainstageError):  # some deeds are more than the pass itself survives
            look(model, x, y)
        after = state(model, x, y)
        for part in before:
            assert after[part] == before[part], (name, part)


def test_compare_leaves_the_callers_arrays_alone():
    class Writes(nn.Linear):
        def forward(self, x):
            x.mul_(0.5)
            return super().forward(x.clone())

    x, y = np.random.default_rng(0).normal(size=(60, 4)).astype("float32"), np.arange(60) % 3
    kept = x.tobytes(), y.tobytes()
    gs.compare(lambda: Writes(4, 3), (x, y), ["keep"], seeds=2, steps=3, batch_size=8)
    assert (x.tobytes(), y.tobytes()) == kept


def test_memory_that_a_pass_gave_back_is_taken_again():
    model = nn.Linear(3, 2)
    before = model.weight.detach().clone()
    with preserved(model):
        model.weight.untyped_storage().resize_(0)
    assert torch.equal(model.weight, before)


def test_two_threads_take_turns_on_one_model():
    model, x = nn.Sequential(*[m for _ in range(6) for m in (nn.Linear(8, 8), nn.Dropout(0.5))]), torch.randn(9, 8)
    alone = gs.check(model, x)
    found, failures = [], []

    def look():
        try:
            found.append(gs.check(model, x))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [gs.dumps(one) for one in found] == [gs.dumps(alone)] * 3
    assert not nn.modules.module._has_any_global_hook()
