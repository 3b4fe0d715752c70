"""Laws of tracing, over every awkward model: what uses which weight, and nothing is left behind."""

from __future__ import annotations

import math
from collections import Counter
from fnmatch import fnmatchcase
from functools import cache

import pytest
import torch
from torch import nn

from gainstage.backends.torch import trace
from gainstage.errors import ModelError
from gainstage.graph import Operation
from zoo.awkward import AWKWARD, RAISES
from zoo.case import Case, Expected
from zoo.untouched import untouched

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")


def named(table):
    return pytest.mark.parametrize("case", table, ids=str)


@cache
def looked_at(case: Case):
    model = case.model()
    inputs, target = case.batch()
    return model, trace(model, inputs, target, loss=case.loss)


def matches(path: str, patterns) -> str | None:
    return next((pattern for pattern in patterns if fnmatchcase(path, pattern)), None)


@named(AWKWARD)
def test_every_parameter_is_tied_to_the_operations_that_use_it(case):
    _, graph = looked_at(case)
    for parameter in graph.parameters:
        names = {parameter.path, *parameter.aliases}
        found = sorted(
            {
                f"{graph.nodes[i].operation}.{u.slot}#{i}"
                for i in parameter.nodes
                for u in graph.nodes[i].uses
                if u.parameter in names
            }
        )
        uses = [use.split("#")[0] for use in found]
        if matches(parameter.path, case.unreached):
            assert uses == [], parameter.path
            continue
        pattern = matches(parameter.path, case.expects)
        assert pattern is not None, f"{case.name}: nothing is expected of {parameter.path}, found {uses}"
        known = case.expects[pattern]
        known = Expected(known) if isinstance(known, str) else known
        wanted = sorted(known.uses.split())
        assert len(uses) == len(wanted), (parameter.path, uses, wanted)
        assert all(map(fnmatchcase, uses, wanted)), (parameter.path, uses, wanted)
        if known.role is not None:
            assert parameter.role == known.role, parameter.path
        if known.kernel is not None and parameter.magnitude_of is None:
            assert (parameter.kernel, parameter.blocks) == (known.kernel, known.blocks), parameter.path


@named(AWKWARD)
def test_every_parameter_of_the_model_is_in_the_graph_once(case):
    model, graph = looked_at(case)
    names = [name for p in graph.parameters for name in (p.path, *p.aliases)]
    assert Counter(names) == Counter(name for name, _ in model.named_parameters(remove_duplicate=False))
    for parameter in graph.parameters:
        original = model.get_parameter(parameter.path)
        assert parameter.trainable == original.requires_grad
        if type(original) is nn.Parameter:
            assert parameter.shape == tuple(original.shape)
            if parameter.kernel is not None and matches(parameter.path, case.unreached) is None:
                assert parameter.kernel.size * parameter.blocks == math.prod(parameter.shape), parameter.path


@named(AWKWARD)
def test_the_graph_is_whole(case):
    model, graph = looked_at(case)
    paths = {name for name, _ in model.named_modules()}
    for index, node in enumerate(graph.nodes):
        assert node.index == index
        assert all(source < index for source in node.inputs)
        assert node.path in paths
        assert node.operation is not Operation.UNKNOWN or node.name in case.unknown, node.label
        assert {use.parameter for use in node.uses} <= set(graph.by_path)
    assert graph.inputs
    assert graph.outputs
    assert graph.nodes[graph.outputs[0]].from_input
    assert (graph.loss is not None) == (case.loss is not None or case.name == "its own loss")


@named(AWKWARD)
def test_equal_models_give_equal_graphs(case):
    assert looked_at.__wrapped__(case)[1] == looked_at(case)[1]


@named(AWKWARD)
def test_the_model_is_left_as_it_was_found(case):
    model = case.model()
    for module in list(model.modules())[1::3]:
        module.eval()
    for position, parameter in enumerate(model.parameters()):
        if position % 2 and type(parameter) is nn.Parameter and parameter.requires_grad:
            parameter.grad = torch.full_like(parameter, 0.5)
    inputs, target = case.batch()
    with untouched(model):
        trace(model, inputs, target, loss=case.loss)


def test_a_model_that_raises_is_left_as_it_was_found():
    model = RAISES.model()
    inputs, _ = RAISES.batch()
    with untouched(model), pytest.raises(ModelError, match=r"ValueError.*the model's own message") as raised:
        trace(model, inputs)
    assert isinstance(raised.value.__cause__, ValueError)
    assert "norm" in str(raised.value)
