"""A model is left as it was found, whatever its own code does, and also when it raises."""

from __future__ import annotations

import random
from collections import deque

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules import module as global_hooks

from gainstage.backends.torch import record, trace
from gainstage.backends.torch.models.preserve import preserved
from gainstage.backends.torch.models.random_states import random_state
from gainstage.errors import ModelError

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 0, 1, 2])


class Restless(nn.Module):
    """Changes everything that a forward pass can change, and raises in the end if told so."""

    def __init__(self, fails: bool = False):
        super().__init__()
        self.norm, self.layer, self.drop = nn.BatchNorm1d(4), nn.Linear(4, 3), nn.Dropout(0.5)
        self.table = nn.Embedding(6, 3, max_norm=0.1)
        self.register_buffer("steps", torch.zeros(()))
        self.plain = torch.zeros(3)
        self.seen, self.queue, self.names = [], deque([1, 2]), {"a"}
        self.cache = {"inner": {"list": [torch.zeros(2)]}, "kept": 1}
        self.count, self.fails = 0, fails

    def forward(self, x):
        self.steps += 1
        self.steps_renamed = self.steps
        self.plain.add_(1)
        self.count += 1
        self.seen.append(x)
        self.queue.popleft()
        self.names.add("b")
        self.cache["inner"]["list"][0].add_(1)
        self.cache["inner"]["list"].append(x)
        self.cache["inner"]["new"] = x
        del self.cache["kept"]
        self.layer.weight.requires_grad_(False)
        self.drop.eval()
        self.register_buffer("late", x.detach().mean(0))
        self.add_module("another", nn.Linear(2, 2))
        self.layer.register_forward_hook(lambda *_: None)
        random.random()
        np.random.rand()
        torch.rand(1)
        x = self.layer(self.drop(self.norm(x))) + self.table(torch.arange(6))
        if self.fails:
            raise ValueError("done")
        return x


def state(model):
    """All that could have changed, as text and numbers."""
    tensors = {k: v.clone() for k, v in model.state_dict().items()}
    plain = (model.plain.tolist(), len(model.seen), list(model.queue), sorted(model.names), model.count,
             sorted(model.cache), sorted(model.cache["inner"]), len(model.cache["inner"]["list"]),
             model.cache["inner"]["list"][0].tolist())  # fmt: skip
    shape = ([n for n, _ in model.named_modules()], [n for n, _ in model.named_buffers()], sorted(model.__dict__),
             [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()],
             [len(m._forward_hooks) for m in model.modules()])  # fmt: skip
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    generators = (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist())
    hooks = [len(getattr(global_hooks, name)) for name in dir(global_hooks) if name.startswith("_global_")
             and isinstance(getattr(global_hooks, name), dict)]  # fmt: skip
    switches = (torch.is_grad_enabled(), torch.backends.mha.get_fastpath_enabled())
    return tensors, (plain, shape, generators, hooks, switches), gradients


def unchanged(before, after):
    assert before[1] == after[1]
    for name, value in before[0].items():
        assert torch.equal(value, after[0][name]), name
    for one, other in zip(before[2], after[2], strict=True):
        assert (one is None and other is None) or torch.equal(one, other)


LOOKS = {
    "trace": lambda m: trace(m, X),
    "trace with a loss": lambda m: trace(m, X, Y, loss=F.cross_entropy),
    "record": lambda m: record(m, X, Y, loss=F.cross_entropy),
    "record without a loss": lambda m: record(m, X, detail="lean"),
    "record with an optimizer": lambda m: record(
        m, X, Y, loss=F.cross_entropy, optimizer=torch.optim.Adam(m.parameters(), lr=1.0)
    ),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("gradients", [False, True])
def test_nothing_is_left_behind(look, fails, gradients):
    model = Restless(fails)
    if gradients:
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
    before = state(model)
    if fails:
        with pytest.raises(ModelError, match="ValueError") as caught:
            LOOKS[look](model)
        assert isinstance(caught.value.__cause__, ValueError)
    else:
        LOOKS[look](model)
    unchanged(before, state(model))


def test_the_very_same_objects_are_put_back():
    model = Restless()
    gradient = torch.ones_like(model.layer.weight)
    model.layer.weight.grad = gradient
    before = dict(model.__dict__), dict(model._buffers), dict(model._modules), dict(model.layer._parameters)
    record(model, X, Y, loss=F.cross_entropy)
    after = model.__dict__, model._buffers, model._modules, model.layer._parameters
    for old, new in zip(before, after, strict=True):
        assert old.keys() == new.keys()
        assert all(old[name] is new[name] for name in old)
    assert model.layer.weight.grad is gradient


def test_a_backward_pass_that_waits_still_works():
    """Putting values back must not write where nothing changed: that would invalidate the user's own graph."""
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3)).eval()
    loss = model(X).sum()
    record(model, X, Y, loss=F.cross_entropy)
    loss.backward()
    assert model[1].weight.grad is not None


def test_measurements_repeat():
    """The random state of a measurement is its own, so that dropout falls the same way twice."""
    model = nn.Sequential(nn.Linear(4, 64), nn.Dropout(0.5), nn.Linear(64, 3))
    first, second, other = (record(model, X, Y, loss=F.cross_entropy, seed=s).task.loss.value for s in (0, 0, 1))
    assert first == second != other


def test_a_random_state_can_start_from_a_seed():
    draws = []
    for _ in range(2):
        with random_state(5):
            draws.append((random.random(), float(np.random.rand()), float(torch.rand(1))))
    assert draws[0] == draws[1]


def test_weights_can_be_the_callers_affair_but_renormalising_tables_are_not():
    model = nn.Sequential(nn.Linear(2, 2))
    table = nn.Embedding(3, 2, max_norm=0.01)
    before = table.weight.detach().clone()
    with preserved(model, weights=False), torch.no_grad():
        model[0].weight.fill_(3)
    assert bool((model[0].weight == 3).all())
    with preserved(model), torch.no_grad():
        model[0].weight.fill_(4)
    assert bool((model[0].weight == 3).all())
    with preserved(table, weights=False):
        table(torch.tensor([0, 1, 2]))
        assert not torch.equal(table.weight, before)
    assert torch.equal(table.weight, before)


def test_an_exception_that_the_model_catches_does_not_shift_module_paths():
    class Tries(nn.Module):
        def __init__(self):
            super().__init__()
            self.fallible, self.last = nn.Linear(7, 3), nn.Linear(4, 3)

        def forward(self, x):
            try:
                return self.fallible(x)
            except RuntimeError:
                return torch.relu(self.last(x))

    graph = trace(Tries(), X)
    assert [node.path for node in graph.nodes] == ["", "last", ""]
