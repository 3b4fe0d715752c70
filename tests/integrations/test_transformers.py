"""Real trainings of Hugging Face's Trainer under a watch, the Trainer imported by the tests alone: it takes seconds."""

from __future__ import annotations

import runpy
import warnings
from pathlib import Path

import pytest
import torch

from gainstage.errors import TrainingError

pytestmark = pytest.mark.filterwarnings("ignore:.*")  # of transformers and accelerate

EXAMPLES = Path(__file__).parents[2] / "examples"
IDS = torch.randint(1, 50, (128, 12), generator=torch.Generator().manual_seed(0))
DATA = [{"input_ids": row, "labels": row} for row in IDS]


@pytest.fixture(scope="module")
def hf():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        _ = transformers.Trainer
        yield transformers


@pytest.fixture
def train(hf, tmp_path):
    def run(callbacks, resume=None, scale=1.0, **settings):
        torch.manual_seed(0)
        config = hf.GPT2Config(
            vocab_size=50, n_positions=12, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
        )
        model = hf.GPT2LMHeadModel(config)
        with torch.no_grad():
            model.transformer.wte.weight.mul_(scale)
        arguments = hf.TrainingArguments(
            output_dir=tmp_path, max_steps=8, per_device_train_batch_size=16, gradient_accumulation_steps=2,
            max_grad_norm=0.1, learning_rate=1e-3, lr_scheduler_type="constant", report_to=[], logging_strategy="no",
            use_cpu=True, disable_tqdm=True, **{"save_strategy": "no"} | settings,
        )  # fmt: skip
        run.trainer = hf.Trainer(model=model, args=arguments, train_dataset=DATA, callbacks=callbacks)
        run.trainer.train(resume_from_checkpoint=resume)
        return [p.detach().numpy().tobytes() for p in model.parameters()]

    return run


@pytest.fixture
def callback(hf):
    from gainstage.integrations.transformers import WatchCallback

    return lambda **choices: WatchCallback(**{"to": None, "on_finding": "collect"} | choices)


def test_weights_are_the_same_bytes_and_a_checkpoint_holds_the_watch(train, callback, tmp_path):
    watching, resumed = callback(), callback()
    plain = train([])
    assert train([watching], save_strategy="steps", save_steps=4) == plain
    history = watching.watch.history
    assert [step.step for step in history.steps] == list(range(1, 9))
    assert history.start is not None
    assert history.start.ok
    assert history.notes == ()
    assert all(step.batches == 2 for step in history.steps)
    # Before the Trainer clips to 0.1, which its own events never show.
    assert history.steps[0].gradient > 0.2
    assert history.steps[0].gradient * history.steps[0].kept == pytest.approx(0.1, rel=0.01)
    assert train([resumed], resume=str(tmp_path / "checkpoint-4")) == plain
    assert resumed.watch.history.steps == history.steps


def test_states_of_callbacks_that_the_trainer_restores_itself(train, callback, tmp_path):
    train([callback()], save_strategy="steps", save_steps=4)
    train([callback()], str(tmp_path / "checkpoint-4"), restore_callback_states_from_checkpoint=True)
    (watching,) = (c for c in train.trainer.callback_handler.callbacks if type(c).__name__ == "WatchCallback")
    assert [step.step for step in watching.watch.history.steps] == list(range(1, 9))


def test_the_first_batch_is_checked_and_the_run_is_refused(train, callback, capsys):
    watching = callback(refuse=True, on_finding="warn")
    with pytest.raises(TrainingError, match="refused before its first step"):
        train([watching], scale=0.0)  # the tied head passes nothing back
    watching.close_watch()
    lines = [line for line in capsys.readouterr().err.splitlines() if "before the first step" in line]
    assert len(lines) == 1


def test_a_loop_with_accelerate_needs_no_callback(hf):
    import accelerate

    import gainstage as gs

    def run(watched: bool):
        torch.manual_seed(0)
        accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
        model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
        x = torch.randn(96, 8)
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x), batch_size=16)
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
        watch = gs.watch(model, optimizer, to=None, on_finding="collect") if watched else None
        for (batch,) in loader:
            with accelerator.accumulate(model):
                accelerator.backward(model(batch).square().mean())
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 0.01)
                optimizer.step()
                optimizer.zero_grad()
        return [p.detach().numpy().tobytes() for p in model.parameters()], watch

    (plain, _), (watched, watch) = run(False), run(True)
    history = watch.close()
    assert plain == watched
    assert [(step.step, step.batches) for step in history.steps] == [(1, 2), (2, 2), (3, 2)]
    assert history.steps[0].kept < 1
    assert history.start is not None


@pytest.mark.parametrize(("name", "subject"), [("transformers", "GPT2LMHeadModel"), ("accelerate", "Sequential")])
def test_the_examples_run_as_they_stand(hf, name, subject, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / f"watch_{name}.py"), run_name="__main__")
    assert f"steps of {subject} under AdamW: nothing was found." in capsys.readouterr().out
    assert (tmp_path / "gainstage-history.jsonl").exists()
