"""Where work runs: every piece is done once, whatever happens to those who do it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import types

import pytest
from joblib._parallel_backends import ThreadingBackend

import gainstage as gs
from gainstage.errors import InputError, MissingPackageError, UnknownNameError
from gainstage.trials import LostWorkerError, Store, engines, run
from gainstage.workflows.building import Named
from gainstage.workflows.comparing import experiment

NET = Named("mlp:64x16x10,act=tanh")
SEEDS, SCHEMES, STEPS = 4, ("keep", "orthogonal"), 60


def test_here_results_come_one_by_one():
    seen = []
    results = run(lambda piece: seen.append(piece) or piece, [1, 2, 3])
    assert seen == []
    assert next(results) == 1
    assert seen == [1]
    assert [*results] == [2, 3]


def test_in_processes_of_this_machine():
    pids = [*run(lambda _: os.getpid(), range(6), workers=2)]
    assert len(pids) == 6
    assert os.getpid() not in pids


def test_a_local_worker_that_dies_is_told():
    def die(piece):
        if piece == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return piece

    with pytest.raises(LostWorkerError, match="memory ran out"):
        [*run(die, [0, 1, 2], workers=2)]


def test_what_work_raises_is_raised_here():
    def fail(piece):
        raise ValueError(f"piece {piece}")

    for workers in (1, 2):
        with pytest.raises(ValueError, match="piece"):
            [*run(fail, [0, 1], workers=workers)]


def test_bad_arguments(monkeypatch):
    with pytest.raises(UnknownNameError, match="Did you mean 'dask'"):
        [*run(abs, [1], engine="dsk")]
    with pytest.raises(InputError, match="at least 1"):
        [*run(abs, [1], workers=0)]
    with pytest.raises(InputError, match="address 'tcp://x' was given for the engine 'local'"):
        [*run(abs, [1], address="tcp://x")]
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match="pip install 'gainstage\\[ray\\]'"):
        [*run(abs, [1], engine="ray")]


class _Ray(types.ModuleType):
    """What is used of Ray; its joblib backend returns all results together, as a pool of threads does here."""

    def __init__(self):
        super().__init__("ray")
        self.running, self.asked = False, []

    def is_initialized(self):
        return self.running

    def init(self, **settings):
        self.running = True
        self.asked.append(settings)
        if settings.get("address") == "nowhere":
            raise ConnectionError("no such cluster")

    def shutdown(self):
        self.running = False

    def cluster_resources(self):
        return {"CPU": 2.0}


class _AllTogether(ThreadingBackend):
    supports_return_generator = False


def test_ray_through_the_backend_that_it_registers(monkeypatch):
    import joblib

    ray, registered = _Ray(), types.ModuleType("ray.util.joblib")
    registered.register_ray = lambda: joblib.register_parallel_backend("ray", _AllTogether)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.util", types.ModuleType("ray.util"))
    monkeypatch.setitem(sys.modules, "ray.util.joblib", registered)
    results = run(abs, [-1, -2, -3, -4, -5], engine="ray", workers=2)
    assert sorted(results) == [1, 2, 3, 4, 5]
    assert ray.asked == [{"num_cpus": 2}]
    assert not ray.running
    with pytest.raises(InputError, match="no Ray cluster at 'nowhere'"):
        [*run(abs, [1], engine="ray", address="nowhere")]


@pytest.fixture
def cluster():
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as made:
        yield made


def test_dask_finishes_every_trial_once_though_a_worker_is_killed(cluster, tmp_path):
    from distributed import Client

    path = tmp_path / "runs.db"
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        pids = [*client.run(os.getpid).values()]
    facts = experiment(NET, "digits", SCHEMES, seeds=SEEDS, steps=STEPS, together=2).facts
    killed = []

    def kill_one():
        while not path.exists():
            time.sleep(0.02)
        with Store(path, facts, resume=True) as store:
            while not store.finished():
                time.sleep(0.02)
            os.kill(pids[0], signal.SIGKILL)
            killed.append(len(store.finished()))

    thread = threading.Thread(target=kill_one)
    thread.start()
    found = gs.compare(
        NET, "digits", SCHEMES, seeds=SEEDS, steps=STEPS, together=2, store=path, engine="dask",
        address=cluster.scheduler_address,
    )  # fmt: skip
    thread.join()
    assert 0 < killed[0] < SEEDS * len(SCHEMES)
    assert found.complete
    assert {t.outcome for t in found.trials} == {"trained"}
    with Store(path, facts, resume=True) as store:
        assert sorted(t.key for t in store.trials()) == sorted(t.key for t in found.trials)
    here = gs.compare(NET, "digits", SCHEMES, seeds=[0], steps=STEPS, together=2)
    twin = {t.key: t for t in found.trials}
    for trial in here.trials:  # who trained it makes no difference
        assert trial.curve.losses == pytest.approx(twin[trial.key].curve.losses, rel=1e-3)


def test_no_scheduler_at_the_address(monkeypatch):
    monkeypatch.setattr(engines, "PATIENCE", "1s")
    with pytest.raises(InputError, match=r"no Dask scheduler at 'tcp://127\.0\.0\.1:1'"):
        [*run(abs, [1], engine="dask", address="tcp://127.0.0.1:1")]
