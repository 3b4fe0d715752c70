"""Laws of measuring, over every awkward model: the figures are those of a plain pass, and nothing is left behind."""

from __future__ import annotations

import math
from collections import defaultdict
from fnmatch import fnmatchcase
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.backends.torch import record
from gainstage.backends.torch.models.random_states import random_state
from gainstage.errors import ModelError
from zoo.awkward import AWKWARD, RAISES
from zoo.untouched import untouched

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")

EXACT = 200 * torch.finfo(torch.float32).eps
"""One rounding of single precision for each of the few hundred terms of a sum."""

PLAIN_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Embedding)

MEASURABLE = tuple(case for case in AWKWARD if not case.memoryless)
DRAWN = tuple(case for case in MEASURABLE if not case.name.startswith("lazy"))
"""Those whose weights are there before the pass, so that two passes can be compared."""


def squares(output, _target=None) -> torch.Tensor:
    """A loss for every model: the mean square of the first tensor it returns."""
    first = next(leaf for leaf in leaves(output) if leaf.is_floating_point())
    return first.float().square().mean()


def leaves(tree) -> list:
    """All tensors and arrays in nested containers."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, (list, tuple)):
        return [leaf for item in tree for leaf in leaves(item)]
    return [tree] if isinstance(tree, (torch.Tensor, np.ndarray)) else []


def named(table):
    return pytest.mark.parametrize("case", table, ids=str)


def loss_of(case):
    return None if case.name == "its own loss" else case.loss or squares


@cache
def recorded(case):
    return record(case.model(), *case.batch(), loss=loss_of(case), seed=0)


def loss_of_pass(case, model, inputs, target) -> torch.Tensor:
    """The loss of an ordinary forward pass, from the random state that ``record`` starts from."""
    inputs = torch.from_numpy(inputs) if isinstance(inputs, np.ndarray) else inputs
    args, keywords = (
        ((), inputs) if isinstance(inputs, dict) else (inputs if isinstance(inputs, tuple) else (inputs,), {})
    )
    with random_state(0):
        output = model(*args, **keywords)
        loss = loss_of(case)
        return output["loss"] if loss is None else loss(getattr(output, "logits", output), target)


def plain_gradients(case) -> tuple[float, dict[str, torch.Tensor | None]]:
    """Loss and gradients by an ordinary pass."""
    model = case.model()
    loss = loss_of_pass(case, model, *case.batch())
    loss.backward()
    return loss.item(), {name: p.grad for name, p in model.named_parameters()}


@named(DRAWN)
def test_loss_and_gradients_are_those_of_a_plain_pass(case):
    profile = recorded(case)
    loss, gradients = plain_gradients(case)
    assert profile.task.loss is not None
    assert profile.task.loss.value == pytest.approx(loss, rel=EXACT)
    for path, gradient in gradients.items():
        measured = profile.by_path.get(path)
        assert (measured is None or measured.gradient is None) == (gradient is None), path
        if gradient is not None:
            norm = float(torch.linalg.vector_norm(gradient.to(torch.promote_types(gradient.dtype, torch.float32))))
            assert measured.gradient.norm == pytest.approx(norm, rel=EXACT, abs=1e-12), path


def seen_by_hooks(case) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Second moments at the outputs of plain layers, forward and backward, by call, through PyTorch's own hooks."""
    forward, backward = defaultdict(list), defaultdict(dict)

    def watch(path):
        def hook(module, args, output):
            forward[path].append(second_moment(output))
            call = len(forward[path]) - 1
            if output.requires_grad:
                output.register_hook(lambda g: backward[path].__setitem__(call, second_moment(g)))

        return hook

    model = case.model()
    for path, module in model.named_modules():
        if type(module) in PLAIN_LAYERS and not module._forward_hooks:
            module.register_forward_hook(watch(path))
    inputs, target = case.batch()
    loss_of_pass(case, model, inputs, target).backward()
    return dict(forward), {path: [found[i] for i in sorted(found)] for path, found in backward.items()}


def second_moment(tensor: torch.Tensor) -> float:
    return float(tensor.detach().double().square().mean())


@named(DRAWN)
def test_figures_are_those_that_hooks_on_the_layers_see(case):
    profile = recorded(case)
    forward, backward = seen_by_hooks(case)
    measured = defaultdict(list)
    for found in profile.nodes:
        node = profile.node(found)
        if node.path in forward and node.operation.weighted:
            measured[node.path].append(found)
    recomputed = "checkpoint" in case.name
    for path, levels in forward.items():
        found = [m.forward.second_moment for m in measured[path]]
        if recomputed:
            levels = levels[: len(found)]
        assert found == pytest.approx(levels, rel=EXACT), path
        gradients = [m.backward.second_moment for m in measured[path] if m.backward is not None]
        assert gradients == pytest.approx(backward.get(path, []), rel=EXACT), path


@named(MEASURABLE)
def test_everything_that_is_used_has_figures(case):
    profile = recorded(case)
    assert profile.backward
    assert profile.first_nonfinite is None
    assert profile.nodes or case.unknown
    for measured in profile.nodes:
        node = profile.node(measured)
        assert measured.forward.finite
        assert measured.forward.count == math.prod(node.shape), node.label
    by_path = {p.path: p for p in profile.parameters}
    for parameter in profile.graph.parameters:
        assert (parameter.path in by_path) == parameter.reached
        if not parameter.reached:
            continue
        assert by_path[parameter.path].weight.finite
        silent = any(fnmatchcase(parameter.path, p) for p in case.nondifferentiable)
        expected = parameter.trainable and not silent
        assert (by_path[parameter.path].gradient is not None) == expected, parameter.path


@named(MEASURABLE)
def test_every_weight_that_gets_a_gradient_has_it_measured_at_its_output_too(case):
    profile = recorded(case)
    for measured in profile.parameters:
        if measured.gradient is None:
            continue
        for index in profile.parameter(measured).nodes:
            node = profile.graph.nodes[index]
            if node.operation.weighted and node.stage == "model" and index in profile.by_node:
                assert profile.by_node[index].backward is not None, node.label


@named(MEASURABLE)
def test_a_check_gives_a_diagnosis_that_can_be_shown(case):
    diagnosis = gs.check(case.model(), *case.batch(), loss=case.loss)
    known = {"", *diagnosis.profile.graph.by_path, *(n.path for n in diagnosis.profile.graph.nodes)}
    known |= {path[:i] for path in known for i, letter in enumerate(path) if letter == "."}
    for finding in diagnosis.findings:
        assert finding.path in known
        assert finding.evidence
        assert finding.cause
        assert finding.remedy.summary
    assert str(diagnosis)
    assert gs.loads(gs.dumps(diagnosis)) == diagnosis


@named(MEASURABLE)
@pytest.mark.parametrize("stepped", [False, True], ids=["plain", "with optimizer"])
def test_the_model_is_left_as_it_was_found(case, stepped):
    model = case.model()
    inputs, target = case.batch()
    lazy = any(isinstance(p, nn.parameter.UninitializedParameter) for p in model.parameters())
    for position, parameter in enumerate(model.parameters()):
        if position % 2 and type(parameter) is nn.Parameter and parameter.requires_grad:
            parameter.grad = torch.full_like(parameter, 0.5)
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trainable, lr=1e-2) if stepped and not lazy else None
    before = [t.copy() if isinstance(t, np.ndarray) else t.clone() for t in leaves(inputs)]
    with untouched(model):
        record(model, inputs, target, loss=loss_of(case), optimizer=optimizer)
    for old, new in zip(before, leaves(inputs), strict=True):
        assert bool((old == new).all())
    if optimizer is not None:
        assert not optimizer.state


def test_a_model_that_raises_is_left_as_it_was_found():
    model = RAISES.model()
    inputs, _ = RAISES.batch()
    with untouched(model), pytest.raises(ModelError, match=r"ValueError.*the model's own message"):
        record(model, inputs)


def test_weights_without_memory_cannot_be_measured():
    (case,) = (c for c in AWKWARD if c.memoryless)
    with pytest.raises(ModelError, match="meta device"):
        record(case.model(), *case.batch())
