"""Programs written in the usual ways, unchanged, under ``gainstage run``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from gainstage.backends.torch.watching.discovery import Discovery, Together
from gainstage.errors import InputError
from gainstage.integrations.script import run

pytestmark = pytest.mark.filterwarnings("ignore:.*")  # of Lightning, transformers and Keras

SCRIPTS = Path(__file__).parent / "scripts"


def ran(name, *arguments, **choices):
    return run(str(SCRIPTS / name), arguments, **{"to": None, "on_finding": "collect"} | choices)


def test_a_plain_loop_is_seen_from_its_first_batch_and_trains_to_the_same_weights(capfd, tmp_path):
    alone = subprocess.run(
        [sys.executable, SCRIPTS / "loop.py", "--steps", "9"], capture_output=True, text=True, check=True
    )
    capfd.readouterr()
    (history,) = ran("loop.py", "--steps", "9", to=tmp_path / "h.jsonl").histories
    assert capfd.readouterr().out == alone.stdout
    assert [step.step for step in history.steps] == list(range(1, 10))
    assert history.steps[0].loss > history.steps[-1].loss
    assert history.start.judged
    assert history.looks[0].step == 1
    assert (tmp_path / "h.jsonl").exists()


def test_each_of_two_networks_is_watched_with_its_own_optimizer():
    histories = ran("gan.py").histories
    assert [(h.model, len(h.steps), h.ok) for h in histories] == [("Generator", 12, True), ("Discriminator", 12, True)]
    assert all(history.start.ok for history in histories)


def test_parts_that_no_module_holds_are_one_network():
    (history,) = ran("two_parts.py").histories
    assert [p.path for p in history.parameters] == [
        "encoder.0.weight",
        "encoder.0.bias",
        "decoder.weight",
        "decoder.bias",
    ]
    assert len(history.steps) == 8
    assert history.start.judged
    assert history.looks


@pytest.mark.parametrize(("script", "model"), [("trainer.py", "GPT2LMHeadModel"), ("lightning_fit.py", "Regression")])
def test_trainers(script, model):
    (history,) = ran(script).histories
    assert history.model == model
    assert len(history.steps) in (6, 10)
    assert history.start.judged
    assert history.looks[0].step == 1
    assert not any("not looked at" in note for note in history.notes)


def test_nothing_is_left_behind():
    before, argv, path, finders = torch.optim.Optimizer.__init__, sys.argv, sys.path[:], sys.meta_path[:]
    assert ran("loop.py", "--end", "raise").status == 1
    assert torch.optim.Optimizer.__init__ is before
    assert (sys.argv, sys.path, sys.meta_path) == (argv, path, finders)


@pytest.mark.parametrize(("end", "status"), [("", 0), ("0", 0), ("3", 3)])
def test_the_exit_status_is_the_programs(end, status):
    ended = ran("loop.py", "--end", end)
    assert ended.status == status
    assert ended.histories[0].finished


def test_an_exception_is_shown_without_frames_that_are_not_the_programs(capfd):
    ended = ran("loop.py", "--end", "raise")
    shown = capfd.readouterr().err
    assert ended.status == 1
    assert "the disk is full" in shown
    assert "runpy" not in shown
    assert "script.py" not in shown.replace("scripts", "")
    assert any("the disk is full" in note for note in ended.histories[0].notes)


def test_a_program_that_is_no_file_is_refused():
    with pytest.raises(InputError, match=r"no file 'nothing\.py'"):
        run("nothing.py")
    with pytest.raises(InputError, match=r"no module 'no_such_package\.train'"):
        run("no_such_package.train", as_module=True)


def command(*arguments, cwd):
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        [sys.executable, "-m", "gainstage", "run", *map(str, arguments)], cwd=cwd, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def test_the_command_keeps_standard_output_to_the_program_and_writes_the_history(tmp_path):
    done = command("--html", "page.html", SCRIPTS / "loop.py", "--steps", "5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("weights")
    assert len(done.stdout.splitlines()) == 1
    assert "HEALTHY  5 steps of Sequential under SGD" in done.stderr
    assert (tmp_path / "page.html").exists()
    lines = (tmp_path / "gainstage-history.jsonl").read_text().splitlines()
    assert all(json.loads(line) for line in lines)


def test_the_command_exits_with_1_for_findings_with_the_programs_status_and_with_2_where_nothing_is_trained(tmp_path):
    assert command(SCRIPTS / "loop.py", "--rate", "1e4", "--steps", "30", cwd=tmp_path).returncode == 1
    (tmp_path / "idle.py").write_text("print('nothing to train')\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "end.py").write_text("import sys\nsys.exit(5 if sys.argv[1:] == ['--now'] else 6)\n")
    idle = command("idle.py", cwd=tmp_path)
    assert (idle.returncode, idle.stdout) == (2, "nothing to train\n")
    assert "No training was seen" in idle.stderr
    assert command("-m", "package.end", "--now", cwd=tmp_path).returncode == 5


# -- which module an optimizer trains ----------------------------------------------------------------------------------


def found_by(build, call):
    seen = []
    with Discovery(lambda model, optimizers: seen.append((model, len(optimizers)))):
        made = build()
        call(made)
    return made, seen


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.body(x))


def step(model):
    model(torch.ones(2, 4)).sum().backward()


def test_an_optimizer_of_a_part_whose_rest_nobody_trains_is_of_the_whole():
    def build():
        model = Both()
        model.optimizer = torch.optim.SGD(model.head.parameters(), 0.1)
        return model

    model, seen = found_by(build, step)
    assert seen == [(model, 1)]


def test_two_optimizers_of_parts_that_are_called_as_one():
    def build():
        model = Both()
        model.optimizers = [torch.optim.SGD(part.parameters(), 0.1) for part in (model.body, model.head)]
        return model

    model, seen = found_by(build, step)
    assert seen == [(model, 2)]


def test_two_optimizers_of_the_same_parameters_in_turns_are_one_watch():
    def build():
        model = nn.Linear(4, 2)
        weights = [[model.weight], [model.bias]]
        return model, [torch.optim.SGD(part, 0.1) for part in weights]

    (model, _), seen = found_by(build, lambda made: step(made[0]))
    assert seen == [(model, 2)]


def test_a_call_without_gradients_is_no_training():
    def build():
        model = nn.Linear(4, 2)
        return model, torch.optim.SGD(model.parameters(), 0.1)

    def call(made):
        with torch.no_grad():
            made[0](torch.ones(2, 4))

    assert not found_by(build, call)[1]


def test_a_compiled_module_is_followed_where_it_is_called():
    def build():
        model = nn.Linear(4, 2)
        compiled = torch.compile(model, backend="eager")
        return compiled, torch.optim.SGD(model.parameters(), 0.1)

    (compiled, _), seen = found_by(build, lambda made: step(made[0]))
    assert seen == [(compiled, 1)]


def test_parts_with_names_of_their_classes():
    def build():
        parts = [nn.Linear(4, 4), nn.Linear(4, 2)]
        return parts, torch.optim.SGD([p for part in parts for p in part.parameters()], 0.1)

    def call(made):
        made[0][1](made[0][0](torch.ones(2, 4))).sum().backward()

    _, ((model, count),) = found_by(build, call)
    assert isinstance(model, Together)
    assert (count, list(model._modules)) == (1, ["linear", "linear_1"])
