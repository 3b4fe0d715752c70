"""Losses, optimizers, seeds and words mean the same in every public function."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage import errors
from gainstage.errors import InputError, UnknownNameError

torch.manual_seed(0)
X, Y = torch.randn(16, 4), torch.randint(3, (16,))
CE = nn.functional.cross_entropy


def net():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


def sick():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(*[m for _ in range(12) for m in (nn.Linear(16, 16), nn.Sigmoid())], nn.Linear(16, 3))


ASKED = {
    "check": lambda **given: gs.check(net(), X, Y, **given).profile,
    "fix": lambda **given: gs.fix(net(), X, Y, **given).after.profile,
    "trace": lambda **given: gs.trace(net(), X, Y, **given),
    "predict": lambda **given: gs.predict(net(), X, Y, **given),
    "plan": lambda **given: gs.plan(net(), "auto", x=X, y=Y, **given),
    "initialize": lambda **given: gs.initialize(net(), "auto", x=X, y=Y, **given),
}


@pytest.mark.parametrize("name", ASKED)
def test_a_loss_has_many_forms_and_one_meaning(name):
    function = ASKED[name](loss=CE)
    for other in ("cross_entropy", nn.CrossEntropyLoss(), nn.CrossEntropyLoss, lambda output, y: CE(output, y)):
        assert repr(ASKED[name](loss=other)) == repr(function)


@pytest.mark.parametrize("name", ASKED)
def test_a_loss_of_no_known_name_is_refused_with_the_nearest_one(name):
    with pytest.raises(UnknownNameError, match="Did you mean 'cross_entropy'"):
        ASKED[name](loss="cross_entropi")
    with pytest.raises(InputError, match="A loss is a name such as 'cross_entropy'"):
        ASKED[name](loss=3)


@pytest.mark.parametrize("function", [gs.check, gs.fix, gs.trace])
def test_a_loss_by_name_needs_labels(function):
    with pytest.raises(
        InputError, match=r"The loss 'mse' compares the output with labels, and none were given. Pass y"
    ):
        function(net(), X, loss="mse")


def test_a_loss_by_name_sees_the_first_output_of_several():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(4, 3)

        def forward(self, x):
            return self.out(x), x

    assert gs.check(Pair(), X, Y, loss="cross_entropy").profile.task.loss.kind == "cross_entropy"


def steps(optimizer, learning_rate=None):
    model = net()
    made = optimizer(model) if inspect.isfunction(optimizer) else optimizer
    diagnosis = gs.check(model, X, Y, loss=CE, optimizer=made, learning_rate=learning_rate)
    return [p.update for p in diagnosis.profile.parameters], diagnosis.profile.step


def test_an_optimizer_has_many_forms_and_one_meaning():
    expected = steps(lambda model: torch.optim.Adam(model.parameters(), lr=0.01))
    assert steps("adam", 0.01) == steps(torch.optim.Adam, 0.01) == expected
    factory = lambda _: lambda parameters, rate: torch.optim.Adam(parameters, lr=rate)  # noqa: E731
    assert steps(factory, 0.01) == expected
    fixed = gs.fix(net(), X, Y, loss=CE, optimizer="adam", learning_rate=0.01)
    assert fixed.before.profile.step == expected[1]


BAD = [
    ({"optimizer": "adm", "learning_rate": 0.1}, UnknownNameError, "Did you mean 'adam'"),
    ({"optimizer": "adam"}, InputError, "Pass learning_rate"),
    ({"optimizer": torch.optim.SGD}, InputError, "Pass learning_rate"),
    ({"optimizer": "adam", "learning_rate": -1.0}, InputError, "positive"),
    ({"learning_rate": 0.1}, InputError, "no optimizer"),
    ({"optimizer": torch.optim.SGD(net().parameters(), lr=0.1), "learning_rate": 0.1}, InputError, "has its own"),
    ({"optimizer": 3, "learning_rate": 0.1}, InputError, r"Expected a torch.optim.Optimizer, received int"),
]  # fmt: skip


@pytest.mark.parametrize("function", [gs.check, gs.fix])
@pytest.mark.parametrize(("given", "kind", "words"), BAD, ids=[case[2] for case in BAD])
def test_an_optimizer_that_cannot_be_used_is_refused(function, given, kind, words):
    with pytest.raises(kind, match=words):
        function(net(), X, Y, loss=CE, **given)


def test_a_comparison_makes_its_optimizers_itself():
    data = (X.numpy(), Y.numpy())
    quick = {"seeds": 1, "steps": 2, "together": 1}
    assert gs.compare(net, data, ["keep"], optimizer=torch.optim.SGD, **quick).optimizer == "SGD"
    assert gs.compare(net, data, ["keep"], loss=nn.CrossEntropyLoss, **quick).trials[0].outcome != "failed"
    with pytest.raises(InputError, match="makes an optimizer for every training"):
        gs.compare(net, data, ["keep"], optimizer=torch.optim.SGD(net().parameters(), lr=0.1), **quick)


def test_learning_rates_by_width_go_by_the_kind_of_the_optimizer():
    wide = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 3))
    groups = lambda optimizer: [  # noqa: E731
        (len(g["params"]), g["lr"])
        for g in gs.parameter_groups(wide, X, learning_rate=0.1, base_width=16, optimizer=optimizer)
    ]
    assert groups("adam") == groups("adamw") == groups(torch.optim.AdamW)
    assert groups("sgd") == groups("momentum") == groups(torch.optim.SGD(wide.parameters(), lr=0.1))
    assert groups("sgd") != groups("adam")


@pytest.mark.parametrize("seed", [-1, 2**64, 2**80, 0.5, True])
def test_a_seed_that_is_none_is_refused_everywhere(seed):
    for ask in (gs.check, gs.fix, lambda model, x, seed: gs.plan(model, "auto", x=x, seed=seed)):
        with pytest.raises(InputError, match="seed must be a whole number"):
            ask(net(), X, seed=seed)


def test_fixing_checks_by_itself_and_a_diagnosis_saves_that():
    model, again = sick(), sick()
    x, y = torch.randn(32, 16), torch.randint(3, (32,))
    fixed = gs.fix(model, x, y, loss=CE)
    assert not fixed.before.ok
    assert repr(gs.fix(again, x, y, loss=CE, diagnosis=fixed.before)) == repr(fixed)
    with pytest.raises(InputError, match=r"diagnosis is what gs.check returned; received Tensor"):
        gs.fix(model, x, y, diagnosis=y)


def test_fixing_draws_what_its_remedy_draws():
    """The trace that a remedy is planned on is that of `initialize`, the loss along with it."""
    model, again = sick(), sick()
    x, y = torch.randn(32, 16), torch.randint(3, (32,))
    fixed = gs.fix(model, x, y, loss=CE, seed=3)
    assert any(change.applied and change.finding.remedy.scheme == "auto" for change in fixed.changes)
    gs.initialize(again, "auto", x=x, seed=3)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("given", [{"x": X}, {"y": Y}, {"loss": CE}, {"input_shape": (16, 4)}, {"x": X, "y": Y}])
def test_nothing_beside_a_graph_is_ignored(given):
    graph = gs.trace(net(), X, Y, loss=CE)
    gs.predict(graph, plan="he_normal")
    with pytest.raises(InputError, match=f"so that {' and '.join(given)} cannot be used with it"):
        gs.predict(graph, plan="he_normal", **given)


def test_keep_is_the_one_word_for_what_is_left_as_it_is():
    model = net()
    before = [p.clone() for p in model.parameters()]
    plan = gs.initialize(model, "keep")
    assert {a.scheme for a in plan} == {"keep"}
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    data = (X.numpy(), Y.numpy())
    found = gs.compare(net, data, {"mine": lambda model: None, "built": "keep"}, seeds=2, steps=3, together=1)
    mine, built = ([t.curve.losses for t in found.trials if t.scheme == name] for name in ("mine", "built"))
    assert mine == built
    assert [arm.scheme for arm in gs.compare(net, data, seeds=1, steps=2).contenders] == ["keep", "auto"]
    with pytest.raises(UnknownNameError, match="default"):
        gs.compare(net, data, ["default"], seeds=1, steps=2)


def test_every_error_is_a_builtin_one_as_well():
    found = [
        kind for kind in vars(errors).values()
        if inspect.isclass(kind) and issubclass(kind, gs.GainstageError) and kind is not gs.GainstageError
    ]  # fmt: skip
    assert len(found) > 4
    for kind in found:
        assert any(base.__module__ == "builtins" and base is not Exception for base in kind.__mro__[1:-3]), kind
    with pytest.raises(ValueError, match="he_norml"):
        gs.plan(net(), "he_norml")


def test_a_plan_writes_itself_as_code():
    plan = gs.plan(net(), "he_normal", seed=5)
    names: dict[str, object] = {}
    exec(compile(plan.to_code(), "plan", "exec"), names)
    model = names["initialize"](net())
    assert not model[0].bias.any()
    with pytest.raises(InputError, match="of a Keras model"):
        gs.Plan((), framework="keras").to_code()
