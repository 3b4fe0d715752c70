"""Weights streamed into files are those that apply writes, survive kill -9, and load through the usual loaders."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, load_model
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

import gainstage as gs
from gainstage.backends.shared.checkpoint import job
from gainstage.backends.torch.writing import checkpoint
from gainstage.errors import InputError, ModelError, UnknownNameError

LLAMA = LlamaConfig(
    hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, vocab_size=60, use_cache=False
)


class Awkward(nn.Module):
    """Draws and rules of every kind: packed, transposed, orthogonal, centred, tied, normed, with buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 12, padding_idx=9)
        self.rows = nn.Linear(12, 12)
        self.run = nn.Sequential(*(m for _ in range(5) for m in (nn.Linear(12, 12), nn.Tanh())))
        self.wide, self.narrow = nn.Linear(12, 30), nn.Linear(30, 12)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(12, 12))
        self.up = nn.ConvTranspose1d(12, 6, 4, 2, groups=2)
        self.norm = nn.BatchNorm1d(6)
        self.cell = nn.LSTM(6, 5, batch_first=True)
        self.again, self.head = nn.Linear(5, 12), nn.Linear(12, 11, bias=False)
        self.head.weight = self.words.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.run(self.rows(self.words(tokens)))
        x = self.normed(x + self.narrow(torch.relu(self.wide(x))))
        x, _ = self.cell(self.norm(self.up(x.swapaxes(1, 2))).swapaxes(1, 2))
        return self.head(self.again(x))


def on_meta(build) -> nn.Module:
    with torch.device("meta"):
        return build()


def start(model: nn.Module) -> gs.Plan:
    return gs.plan(model, "auto", x={"input_ids": torch.zeros(2, 8, dtype=torch.long, device="meta")}, seed=3)


@pytest.fixture(scope="module")
def awkward() -> tuple[gs.Plan, dict[str, torch.Tensor]]:
    """A plan with measured factors, and the state that it gives to a model in memory."""
    torch.manual_seed(0)
    plan = gs.initialize(Awkward(), "auto", x=torch.randint(0, 9, (16, 10)), seed=3)
    assert {"orthogonal", "match_norm"} <= {a.scheme for a in plan}
    assert any(a.scale != 1 for a in plan)
    assert any(a.bias in ("centre", "measured") for a in plan)
    model = Awkward()
    gs.apply(model, plan)
    return plan, model.state_dict()


def little(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of so few elements, and a safe point behind each."""
    monkeypatch.setattr(checkpoint, "_PIECE", number)
    monkeypatch.setattr(job, "_DURABLE", 1)


@pytest.mark.parametrize("piece", [7, 50, 1 << 22])
def test_the_bytes_are_those_that_apply_writes(awkward, piece, tmp_path, monkeypatch):
    little(piece, monkeypatch)
    plan, expected = awkward
    (file,) = gs.materialize(on_meta(Awkward), plan, out=tmp_path / "net.safetensors")
    found = load_file(file)
    assert set(expected) - set(found) == {"head.weight"}  # tied: stored once
    for name, value in found.items():
        assert torch.equal(value, expected[name]), name
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]
    load_model(Awkward(), str(file))


def test_pieces_are_small(awkward, tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(checkpoint, "_PIECE", 50)
    keep = checkpoint._bytes
    monkeypatch.setattr(checkpoint, "_bytes", lambda piece: sizes.append(piece.numel()) or keep(piece))
    gs.materialize(on_meta(Awkward), awkward[0], tmp_path)
    assert max(sizes) <= 50
    assert sum(sizes) == sum(t.numel() for t in load_file(tmp_path / "model.safetensors").values())


def test_a_model_of_hugging_face_loads_in_its_number_format(tmp_path, monkeypatch):
    little(300, monkeypatch)
    model = on_meta(lambda: LlamaForCausalLM(LLAMA))
    plan = start(model)
    seen = []
    files = gs.materialize(
        model, plan, tmp_path, dtype="bfloat16", max_shard_size="20KB", on_progress=lambda *step: seen.append(step)
    )
    assert [file.name for file in files[-2:]] == ["config.json", "model.safetensors.index.json"]
    assert len(files) > 4
    assert all(file.stat().st_size < 20_000 + 2000 for file in files[:-2])
    loaded, told = LlamaForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    expected = LlamaForCausalLM(LLAMA).to(torch.bfloat16)
    gs.apply(expected, plan)
    for name, value in expected.state_dict().items():
        assert loaded.state_dict()[name].dtype == torch.bfloat16
        assert torch.equal(loaded.state_dict()[name], value), name
    done = [count for _, count, _ in seen]
    assert done == sorted(done)
    assert seen[-1][1] == seen[-1][2] == json.loads(files[-1].read_text())["metadata"]["total_size"]


def test_what_a_plan_keeps_is_what_the_model_would_have_made(tmp_path):
    config = GPT2Config(n_layer=1, n_embd=32, n_head=2, vocab_size=50, n_positions=256, bos_token_id=0, eos_token_id=0)
    model = on_meta(lambda: GPT2LMHeadModel(config))
    plan = start(model)
    plan = dataclasses.replace(
        plan,
        assignments=tuple(
            dataclasses.replace(a, scheme="keep", spread=None) if "wpe" in a.parameter else a for a in plan
        ),
    )
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        gs.materialize(model, plan, tmp_path / folder)
    loaded = GPT2LMHeadModel.from_pretrained(tmp_path / "one")
    assert loaded.lm_head.weight is loaded.transformer.wte.weight
    kept = loaded.transformer.wpe.weight.detach()
    # Normal of standard deviation 0.02: the sampling error of the second moment is √(2 / n).
    assert abs(kept.square().mean() / config.initializer_range**2 - 1) < 5 * (2 / kept.numel()) ** 0.5
    one, two = (load_file(tmp_path / folder / "model.safetensors") for folder in ("one", "two"))
    assert "lm_head.weight" not in one
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("steps", [0, 1, 9, 25])
def test_a_killed_process_is_gone_on_with(awkward, steps, tmp_path, monkeypatch):
    little(20, monkeypatch)
    plan, expected = awkward
    model, out = on_meta(Awkward), tmp_path / "net.safetensors"

    def die(_stage: str, _done: int, _total: int, left: list[int] = [steps]) -> None:  # noqa: B006
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    child = os.fork()
    if not child:
        try:
            gs.materialize(model, plan, out, on_progress=die)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not out.exists()
    safe = json.loads((tmp_path / ".net.unfinished" / "progress.json").read_text())["bytes"]
    written = []
    keep = checkpoint._bytes
    monkeypatch.setattr(checkpoint, "_bytes", lambda piece: written.append(piece.nbytes) or keep(piece))
    gs.materialize(model, plan, out)
    found = load_file(out)
    assert sum(written) <= out.stat().st_size - safe + 20 * 8  # all but the piece that was cut is kept
    assert all(torch.equal(found[name], expected[name]) for name in found)
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]


def test_one_killed_between_two_names_is_gone_on_with(tmp_path, monkeypatch):
    model, move = on_meta(lambda: LlamaForCausalLM(LLAMA)), os.replace
    plan = start(model)

    def fail(source: str, target: Path) -> None:
        if Path(target).name.startswith("model-00003"):
            raise OSError(errno.EIO, "input/output error")
        move(source, target)

    monkeypatch.setattr(job.os, "replace", fail)
    with pytest.raises(InputError, match=r"input/output error.*goes on from there"):
        gs.materialize(model, plan, tmp_path, max_shard_size="20KB")
    assert (tmp_path / "model-00002-of-00005.safetensors").exists() or list(tmp_path.glob("model-00002*"))
    with pytest.raises(OSError, match=r"model\.safetensors"):  # a reader does not take it for a model
        LlamaForCausalLM.from_pretrained(tmp_path)
    monkeypatch.setattr(job.os, "replace", move)
    files = gs.materialize(model, plan, tmp_path, max_shard_size="20KB")
    assert all(file.exists() for file in files)
    LlamaForCausalLM.from_pretrained(tmp_path)


def test_another_plan_starts_anew(tmp_path, monkeypatch):
    model = on_meta(lambda: nn.Linear(40, 30))
    monkeypatch.setattr(job, "_DURABLE", 1)
    full = OSError(errno.ENOSPC, "no space")
    with monkeypatch.context() as patch:
        patch.setattr(job.Job, "_move", lambda _self: (_ for _ in ()).throw(full))
        with pytest.raises(InputError, match=r"the disk is full.*goes on from there"):
            gs.materialize(model, gs.plan(model, "he_normal", seed=1), tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / ".model.unfinished"]
    expected, other = nn.Linear(40, 30), gs.plan(model, "he_normal", seed=2)
    gs.apply(expected, other)
    gs.materialize(model, other, tmp_path)
    assert torch.equal(load_file(tmp_path / "model.safetensors")["weight"], expected.weight)


def test_a_disk_that_is_too_small_or_fills_up(tmp_path, monkeypatch):
    model = on_meta(lambda: nn.Linear(400, 300))
    plan = gs.plan(model, "he_normal")
    with monkeypatch.context() as patch:
        patch.setattr(job.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_100_000))
        with pytest.raises(InputError, match=r"need 0\.48 MB and .* has 1\.10 MB left"):
            gs.materialize(model, plan, tmp_path)
    assert not list(tmp_path.iterdir())

    def full(_file: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(job, "_flush", full)
        with pytest.raises(InputError, match="the disk is full"):
            gs.materialize(model, plan, tmp_path)
    assert not (tmp_path / "model.safetensors").exists()
    gs.materialize(model, plan, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_files_that_are_there_are_not_touched(tmp_path):
    model = on_meta(lambda: nn.Linear(4, 3))
    plan = gs.plan(model, "he_normal")
    for taken in ("model.safetensors", "model.safetensors.index.json"):
        (tmp_path / taken).write_text("mine")
        with pytest.raises(InputError, match=r"exists.*Remove it"):
            gs.materialize(model, plan, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [taken]
        assert (tmp_path / taken).read_text() == "mine"
        (tmp_path / taken).unlink()
    model.config = {"width": 4}
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"config\.json' exists"):
        gs.materialize(model, plan, tmp_path)


def test_two_processes_do_not_write_the_same_files(tmp_path):
    model = on_meta(lambda: nn.Linear(4, 3))

    def second(*_step: object) -> None:
        with pytest.raises(InputError, match="Another process"):
            gs.materialize(model, gs.plan(model, "he_normal"), tmp_path)

    gs.materialize(model, gs.plan(model, "he_normal"), tmp_path, on_progress=second)
    assert (tmp_path / "model.safetensors").exists()


class Raw(nn.Module):
    """Values that no code of PyTorch's makes."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.ones(3))
        self.register_buffer("mask", torch.ones(3))
        self.layer = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x * self.token + self.mask)


def test_values_that_nobody_knows_are_refused_or_given(tmp_path):
    model = on_meta(Raw)
    plan = gs.plan(model, "he_normal", overrides={"token": "keep"})
    with pytest.raises(InputError, match=r"keeps 'token', 'mask', .*values=\{'token': tensor\}"):
        gs.materialize(model, plan, tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"has shape \(2,\); the model holds \(3,\)"):
        gs.materialize(model, plan, tmp_path, values={"mask": torch.ones(2)})
    with pytest.raises(UnknownNameError, match=r"'masks'.*Did you mean 'mask'"):
        gs.materialize(model, plan, tmp_path, values={"masks": torch.ones(3)})
    with pytest.raises(InputError, match="drawn by the plan and given"):
        gs.materialize(model, plan, tmp_path, values={"layer.weight": torch.ones(4, 3)})
    gs.materialize(model, plan, tmp_path, values={"mask": [1.0, 0.0, 1.0], "token": torch.arange(3.0)})
    found = load_file(tmp_path / "model.safetensors")
    assert found["mask"].tolist() == [1, 0, 1]
    assert found["token"].tolist() == [0, 1, 2]
    (tmp_path / "memory").mkdir()
    gs.materialize(Raw(), plan, tmp_path / "memory")  # a model that has values keeps them
    assert load_file(tmp_path / "memory" / "model.safetensors")["token"].tolist() == [1, 1, 1]


def test_number_formats_by_pattern_and_alignment(tmp_path):
    model = on_meta(lambda: nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 1)))
    plan = gs.plan(model, "he_normal")
    gs.materialize(model, plan, tmp_path, dtype={"*": "float16", "1": torch.float32})
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    assert kinds["0.weight"] == kinds["2.bias"] == "F16"
    assert kinds["1.weight"] == kinds["1.running_var"] == "F32"
    assert kinds["1.num_batches_tracked"] == "I64"
    raw = (tmp_path / "model.safetensors").read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    items = {"F16": 2, "F32": 4, "I64": 8}
    assert all((8 + size + t["data_offsets"][0]) % items[t["dtype"]] == 0 for n, t in header.items() if n[0] != "_")


@dataclass
class Config:
    width: int = 4


def test_a_configuration_of_ones_own(tmp_path):
    model = on_meta(lambda: nn.Linear(4, 3))
    model.config = Config()
    files = gs.materialize(model, gs.plan(model, "he_normal"), tmp_path / "net.safetensors")
    assert [file.name for file in files] == ["config.json", "net.safetensors"]
    assert json.loads(files[0].read_text()) == {"width": 4}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"out": "net.pt"}, "ending in .safetensors"),
        ({"out": "absent/net.safetensors"}, "no folder"),
        ({"dtype": "int8"}, "stored as one of"),
        ({"dtype": "complex64"}, "stored as one of"),
        ({"dtype": {"absent.*": "float16"}}, "Unknown pattern"),
        ({"max_shard_size": "big"}, "positive number of bytes"),
        ({"max_shard_size": 0}, "positive number of bytes"),
    ],
)
def test_bad_requests(asked, message, tmp_path):
    model = on_meta(lambda: nn.Linear(4, 3))
    out = tmp_path / asked.pop("out", "net.safetensors")
    with pytest.raises(InputError if "pattern" not in message else UnknownNameError, match=message):
        gs.materialize(model, gs.plan(model, "he_normal"), out, **asked)
    assert not list(tmp_path.iterdir())


def test_bad_models(tmp_path):
    model = on_meta(lambda: nn.Linear(4, 3))
    plan = gs.plan(model, "he_normal")
    with pytest.raises(InputError, match=r"has shape \(3, 5\) in the model and \(3, 4\) in the plan"):
        gs.materialize(on_meta(lambda: nn.Linear(5, 3)), plan, tmp_path)
    with pytest.raises(UnknownNameError, match="Unknown parameter 'weight'"):
        gs.materialize(on_meta(lambda: nn.Sequential(nn.Linear(4, 3))), plan, tmp_path)
    with pytest.raises(ModelError, match="no shape yet"):
        gs.materialize(nn.LazyLinear(3), plan, tmp_path)
    with pytest.raises(InputError, match="Expected a model"):
        gs.materialize("a name", plan, tmp_path)
    assert not list(tmp_path.iterdir())
