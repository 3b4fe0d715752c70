"""Laws over architectures of the Hugging Face library, built small from their configurations."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch

import gainstage as gs
from gainstage.backends.torch import trace
from gainstage.backends.torch.models.random_states import random_state
from gainstage.graph import Operation
from zoo.hf import HUGGING_FACE

architectures = pytest.mark.parametrize("case", HUGGING_FACE, ids=str)


def plain_pass(case, model=None):
    """Loss and gradients by an ordinary pass."""
    model = model or case.model()
    with random_state(0):
        loss = model(**case.batch()[0]).loss
        loss.backward()
    return loss.item(), {name: p.grad for name, p in model.named_parameters()}


@cache
def traced(case):
    with random_state(0):  # some mask at random
        return trace(case.model(), *case.batch())


@cache
def checked(case):
    return gs.check(case.model(), *case.batch(), seed=0)


@architectures
def test_every_parameter_that_learns_is_tied_to_an_operation(case):
    graph = traced(case)
    _, gradients = plain_pass(case)
    assert {p.path for p in graph.parameters} == set(gradients)
    reached = {p.path for p in graph.parameters if p.reached}
    assert {path for path, g in gradients.items() if g is not None} <= reached
    assert graph.loss is not None
    assert graph.outputs
    unknown = {n.name for n in graph.nodes if n.operation is Operation.UNKNOWN and n.stage == "model"}
    assert unknown <= {"_ctc_loss"}, unknown


@architectures
def test_every_matrix_has_its_geometry(case):
    model = case.model()
    graph = traced(case)
    for name, module in model.named_modules():
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)) and f"{name}.weight" in graph.by_path:
            parameter = graph.parameter(f"{name}.weight")
            if parameter.reached:
                assert parameter.kernel is not None, parameter.path
                assert parameter.kernel.size * parameter.blocks == math.prod(parameter.shape)
                assert parameter.role.is_kernel, (parameter.path, parameter.role)


@architectures
def test_loss_and_gradients_are_those_of_a_plain_pass(case):
    profile = checked(case).profile
    loss, gradients = plain_pass(case)
    # One rounding of single precision for each of the few hundred terms of a sum.
    exact = 200 * torch.finfo(torch.float32).eps
    assert profile.task.loss is not None
    assert profile.task.loss.value == pytest.approx(loss, rel=exact)
    assert profile.first_nonfinite is None
    largest = max(float(g.norm()) for g in gradients.values() if g is not None)
    for path, gradient in gradients.items():
        measured = profile.by_path.get(path)
        assert (measured is None or measured.gradient is None) == (gradient is None), path
        if gradient is not None:
            assert measured.gradient.norm == pytest.approx(
                float(gradient.norm()), rel=10 * exact, abs=exact * largest
            ), path


@architectures
def test_a_check_gives_a_diagnosis_that_can_be_shown(case):
    diagnosis = checked(case)
    assert str(diagnosis)
    assert gs.loads(gs.dumps(diagnosis)) == diagnosis


@architectures
def test_automatic_initialization_starts_at_chance(case):
    model = case.model()
    inputs, _ = case.batch()
    plan = gs.initialize(model, "auto", x=inputs)
    assert {a.parameter for a in plan} == {name for name, _ in model.named_parameters()}
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
    loss, gradients = plain_pass(case, model)
    assert math.isfinite(loss)
    _, before = plain_pass(case)
    silenced = {n for n, g in before.items() if g is not None and g.any() and not gradients[n].any()}
    assert not silenced, silenced
    if case.chance is not None:
        # Logits of spread .3 cost .3²/2 nats; were all examples alike, the mean would scatter by .3 around that.
        assert loss <= case.chance + 0.3**2 / 2 + 4 * 0.3, plan
