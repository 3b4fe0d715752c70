"""A training gives the same bytes with and without a watch, which sees it whole and leaves nothing behind."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gainstage as gs
from gainstage.errors import InputError, TrainingError

STEPS = 40
X, Y = torch.randn(64, 8, generator=torch.Generator().manual_seed(1)), torch.arange(64) % 3


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3)
    )


def plain(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(X), Y).backward()
        optimizer.step()


def accumulating(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        for part in range(4):
            (F.cross_entropy(model(X[part::4]), Y[part::4]) / 4).backward()
        optimizer.step()


def clipping(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(X), Y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()


def closing(model, optimizer, steps):
    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(X), Y)
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)


def scaling(model, optimizer, steps):
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20)
    for _ in range(steps):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.float16):
            loss = F.cross_entropy(model(X), Y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        scaler.step(optimizer)
        scaler.update()


def scaling_accumulated(model, optimizer, steps):
    """Without unscaling before the step, and with more than one backward pass under one scale."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    for _ in range(steps):
        optimizer.zero_grad()
        for part in range(2):
            with torch.autocast("cpu", torch.float16):
                loss = F.cross_entropy(model(X[part::2]), Y[part::2]) / 2
            scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()


def in_bfloat16(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(X), Y)
        loss.backward()
        optimizer.step()


def sgd(model):
    return torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-3)


def adam(**settings):
    return lambda model: torch.optim.Adam(model.parameters(), 1e-3, **settings)


CASES = {
    "SGD": (sgd, plain), "Adam": (adam(), plain), "Adam, foreach": (adam(foreach=True), plain),
    "Adam, fused": (adam(fused=True), plain), "accumulation": (sgd, accumulating), "clipping": (sgd, clipping),
    "closure": (sgd, closing), "scaler": (sgd, scaling), "scaler, fused": (adam(fused=True), scaling),
    "scaler, accumulation": (sgd, scaling_accumulated), "bfloat16": (adam(), in_bfloat16),
}  # fmt: skip


def trained(make, loop, watching: bool, wrap=lambda model: model, steps: int = STEPS):
    model = network()
    called, optimizer = wrap(model), make(model)
    torch.manual_seed(7)
    if not watching:
        loop(called, optimizer, steps)
        return model, None
    with gs.watch(called, optimizer, every=50, to=None, on_finding="collect") as watch:
        loop(called, optimizer, steps)
    return model, watch.history


def bytes_of(model: nn.Module) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in model.state_dict().values()]


@pytest.mark.parametrize("steps", [STEPS, pytest.param(200, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", CASES)
def test_weights_are_the_same_bytes_with_and_without_a_watch(name, steps):
    make, loop = CASES[name]
    (without, _), (watched, history) = (trained(make, loop, watching, steps=steps) for watching in (False, True))
    assert bytes_of(without) == bytes_of(watched)
    assert [step.step for step in history.steps] == list(range(1, steps + 1))
    assert history.notes == ()
    assert {look.step for look in history.looks} >= {1, 2, 4, 31}
    assert all(layer.gradient is not None for look in history.looks for layer in look.layers)


def in_place(model, backend):
    model.compile(backend=backend)
    return model


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # inside of PyTorch's own compiler
@pytest.mark.parametrize(
    ("compiled", "backend"),
    [
        (torch.compile, "eager"),
        (in_place, "eager"),
        (torch.compile, "aot_eager"),  # with a backward pass that is traced ahead of time
        pytest.param(torch.compile, "inductor", marks=pytest.mark.long),  # calls a C++ compiler
    ],
)
def test_a_compiled_model_is_seen_and_trains_to_the_same_bytes(compiled, backend):
    torch.compiler.reset()

    def wrap(model):
        return compiled(model, backend=backend)

    (without, _), (watched, history) = (trained(sgd, plain, w, wrap, 20) for w in (False, True))
    assert bytes_of(without) == bytes_of(watched)
    assert len(history.steps) == 20
    assert history.looks[0].layers
    assert history.start is not None


def test_the_numbers_of_a_step_are_those_of_the_loop(monkeypatch):
    monkeypatch.setattr("gainstage.backends.torch.watching.sample.LEAST", 1024)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with gs.watch(model, optimizer, to=None, on_finding="collect", check=False) as watch:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(X), Y)
        loss.backward()
        norm = float(nn.utils.clip_grad_norm_(model.parameters(), 1e-2))
        optimizer.step()
    (step,) = watch.history.steps
    assert step.loss == pytest.approx(loss.item(), rel=1e-6)
    assert step.gradient == pytest.approx(norm, rel=1e-5)
    assert step.kept == pytest.approx(1e-2 / norm, rel=1e-3)
    # All elements of the weights are in the sample, so the update is exact: 0.1 times the clipped gradient.
    assert step.update * step.weight == pytest.approx(1e-3, rel=1e-3)
    assert step.slope == pytest.approx(-norm * 1e-3, rel=1e-3)


def test_a_fused_optimizer_under_a_scaler_shows_the_gradient_without_the_scale():
    _, history = trained(adam(fused=True), scaling, True, steps=30)
    _, exact = trained(adam(fused=True), clipping, True, steps=1)
    taken = [step for step in history.steps if step.stepped]
    assert taken
    assert taken[0].scale >= 1024
    assert taken[0].gradient == pytest.approx(exact.steps[0].gradient, rel=0.1)
    assert taken[0].kept == pytest.approx(0.1 / taken[0].gradient, rel=0.05)


def test_steps_that_the_scaler_skips_are_steps_that_were_not_taken():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    with gs.watch(model, optimizer, to=None, on_finding="collect", check=False) as watch:
        for _ in range(4):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.float16):
                loss = F.cross_entropy(model(X), Y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    assert [step.stepped for step in watch.history.steps] == [False] * 4
    assert [step.scale for step in watch.history.steps] == [2.0**40, 2.0**39, 2.0**38, 2.0**37]


def test_nothing_is_left_behind():
    backward, step = torch.autograd.backward, torch.amp.GradScaler.step
    model = network()
    optimizer = sgd(model)
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}

    def training():
        with gs.watch(model, optimizer, to=None, on_finding="collect"):
            plain(model, optimizer, 3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        training()
    assert torch.autograd.backward is backward
    assert torch.amp.GradScaler.step is step
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    for name, module in model.named_modules():
        assert set(vars(module)) == attributes[name]
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_attaching_twice_is_one_watch():
    model = network()
    optimizer = sgd(model)
    one = gs.watch(model, optimizer, to=None, on_finding="collect")
    two = gs.watch(model, optimizer, to=None, on_finding="collect")
    plain(model, optimizer, 3)
    assert one is two
    assert len(one.close().steps) == 3
    assert one.close() is not None


def test_a_checkpointed_run_goes_on():
    model = network()
    optimizer = sgd(model)
    with gs.watch(model, optimizer, to=None, on_finding="collect") as first:
        plain(model, optimizer, 5)
    kept = pickle.loads(pickle.dumps(first))
    assert [s.loss for s in kept.history.steps] == [s.loss for s in first.history.steps]
    other = copy.deepcopy(model)
    again = sgd(other)
    with gs.watch(other, again, to=None, on_finding="collect", resume=kept) as second:
        plain(other, again, 5)
    assert [step.step for step in second.history.steps] == list(range(1, 11))


def test_the_history_on_disk_is_the_history(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with gs.watch(model, optimizer, on_finding="collect") as watch:
        plain(model, optimizer, 5)
        killed = gs.load("gainstage-history.jsonl")
    assert [step.step for step in killed.steps] == [1, 2, 3, 4]  # the fifth waits for the gradient behind it
    assert not killed.finished
    found = gs.load("gainstage-history.jsonl", gs.History)
    assert found.steps == watch.history.steps
    assert found.looks == watch.history.looks
    watch.save(tmp_path / "history.json")
    watch.save_html(tmp_path / "history.html")
    assert gs.load("history.json").steps == gs.load("history.html").steps == found.steps
    assert "Healthy training" in (tmp_path / "history.html").read_text(encoding="utf-8")
    assert str(watch).startswith("HEALTHY")


def test_a_finding_can_end_the_training_and_a_bad_start_can_refuse_it():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 300.0)
    with pytest.raises(TrainingError, match="GT"), gs.watch(model, optimizer, to=None, on_finding="raise", check=False):
        plain(model, optimizer, 40)
    dead = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    nn.init.zeros_(dead[2].weight)
    nn.init.constant_(dead[0].bias, -100.0)
    optimizer = torch.optim.SGD(dead.parameters(), 0.1)
    before = bytes_of(dead)
    with pytest.raises(TrainingError, match="refused"), gs.watch(dead, optimizer, to=None, refuse=True):
        plain(dead, optimizer, 1)
    assert bytes_of(dead) == before


def test_what_cannot_be_watched_is_refused():
    model = network()
    with pytest.raises(InputError, match=r"torch\.optim\.Optimizer"):
        gs.watch(model, "adam", to=None)
    with pytest.raises(InputError, match="nothing to watch"):
        gs.watch(nn.ReLU(), sgd(model), to=None)
    with pytest.raises(InputError, match="every"):
        gs.watch(model, sgd(model), to=None, every=0)
    with pytest.raises(InputError, match="log"):
        gs.watch(model, sgd(model), to=3)


def test_sinks_get_what_is_seen():
    logged, scalars, texts = [], [], []

    class Writer:
        def add_scalar(self, *given):
            scalars.append(given)

        def add_histogram_raw(self, name, **given):
            assert len(given["bucket_limits"]) == len(given["bucket_counts"]) == given["num"]

        def add_text(self, *given):
            texts.append(given)

    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 3.0)
    to = [lambda values, step: logged.append((step, values)), Writer()]
    with gs.watch(model, optimizer, to=to, on_finding="collect", check=False) as watch:
        plain(model, optimizer, 8)
    assert {step for step, values in logged if "gainstage/gradient" in values} == set(range(1, 9))
    assert ("gainstage/loss", watch.history.steps[0].loss, 1) in scalars
    assert any("GT301" in text for _, text, _ in texts)


def test_a_failure_of_the_watch_ends_the_watch_alone():
    def broken(values, step):
        raise RuntimeError("the disk is full")

    model = network()
    optimizer = sgd(model)
    with gs.watch(model, optimizer, to=broken, on_finding="collect", check=False) as watch:
        plain(model, optimizer, 5)
    assert any("the disk is full" in note for note in watch.history.notes)
