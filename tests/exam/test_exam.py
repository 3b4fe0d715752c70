"""The exam is sound: frozen, split by the coin, every case builds and runs. No test asks what ``gs.check`` finds."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from exam.case import Case, Entry
from exam.catalogue import DISCLOSED, SPLITS, catalogue, digest, halves
from exam.verify import forward

TORCH = [entry for entry in catalogue().values() if entry.framework == "torch"]
VERSIONS = [(entry, cured) for entry in TORCH for cured in ((False, True) if entry.sick else (False,))]


def _number(entries: list[Entry]) -> tuple[int, int]:
    return sum(e.sick for e in entries), sum(not e.sick for e in entries)


@pytest.mark.parametrize(("wave", "least"), [(1, 60), (2, 45)])
def test_size(wave: int, least: int) -> None:
    everything = [e for e in catalogue().values() if e.wave == wave]
    assert min(_number(everything)) >= least
    assert min(_number([e for e in everything if e.framework == "keras"])) >= (12 if wave == 1 else 5)


def test_split_is_the_coins() -> None:
    coins = {name: entry.coin for name, entry in catalogue().items()}
    assert halves() == coins | dict.fromkeys(DISCLOSED, "seen")
    assert all(coins[name] == "unseen" for name in DISCLOSED)
    for half in ("seen", "unseen"):
        for wave, least in ((1, 25), (2, 15)):
            assert min(_number([e for e in catalogue().values() if e.coin == half and e.wave == wave])) >= least


@pytest.mark.parametrize("wave", SPLITS)
def test_cases_are_frozen(wave: int) -> None:
    assert json.loads(SPLITS[wave].read_text(encoding="utf-8"))["cases"] == digest(wave)


def test_answers_are_complete() -> None:
    for entry in catalogue().values():
        assert entry.link.startswith("https://"), entry.name
        assert entry.family, entry.name
        assert bool(entry.cause) == entry.sick, entry.name


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for part in value for t in _tensors(part)] if isinstance(value, list | tuple) else []


def _held(case: Case) -> list[torch.Tensor]:
    return [*case.model.state_dict().values(), *_tensors(case.x), *_tensors(case.y)]


@pytest.mark.filterwarnings("ignore")  # sick networks may make the framework warn
@pytest.mark.parametrize(("entry", "cured"), VERSIONS, ids=lambda v: v.name if isinstance(v, Entry) else "cured" * v)
def test_builds_alike_and_runs(entry: Entry, cured: bool) -> None:
    case, again = (entry.build(3, cured=cured) for _ in range(2))
    first, second = _held(case), _held(again)
    assert len(first) == len(second)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert case.loss is not None
    assert case.optimizer is not None
    loss = case.loss(forward(case.model, case.x), case.y)
    assert loss.shape == ()
    assert case.optimizer(case.model).param_groups
