"""Published networks as trainings: the networks build and have a gradient, and rates are chosen on other seeds."""

from __future__ import annotations

import pytest
import torch
from published_nets import hugging_face_cases
from published_trainings import CHOOSING, FACTORS, FRESH, OWN, best_rate, report
from starts_exam.case import arguments
from starts_exam.store import Result

CASES = {case.name: case for case in hugging_face_cases()}


def test_there_are_at_least_twenty_under_names_of_their_own():
    assert len(CASES) == len(hugging_face_cases()) >= 20


@pytest.mark.parametrize("name", ["vit", "gpt2", "bert", "t5", "whisper"])  # one of each task
def test_a_network_builds_deterministically_and_has_a_gradient(name):
    case = CASES[name]
    model, same, data = case.model(3), case.model(3), case.data(0)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))
    x, y = tuple(part[:4] for part in arguments(data.x)), data.y[:4]
    loss = case.value(model, x if isinstance(data.x, tuple) else x[0], y)
    loss.backward()
    assert torch.isfinite(loss)
    assert any(p.grad is not None and p.grad.any() for p in model.parameters())


def results(start: str, values: dict[float, float]) -> list[Result]:
    """Equal trainings of one network for all seeds; a rate's accuracy is given."""
    seeds = (*CHOOSING, *FRESH)
    return [
        Result("vit", start, factor, seed, f"{start}{seed}", 0.1, value + seed / 1000, 1.0)
        for factor, value in values.items()
        for seed in seeds
    ]


def test_the_rate_is_chosen_on_two_seeds_and_judged_on_five_others():
    found = results(OWN, dict(zip(FACTORS, (0.2, 0.5, 0.3, 0.1), strict=True)))
    flattering = [r for r in found if r.factor == FACTORS[0] and r.seed in FRESH]
    found = [r for r in found if r not in flattering]
    found += [Result("vit", OWN, FACTORS[0], r.seed, r.fingerprint, 0.1, 0.99, 1.0) for r in flattering]
    assert best_rate(CASES["vit"], found) == FACTORS[1]
    assert best_rate(CASES["vit"], [r for r in found if r.seed != 1]) is None


def test_a_row_needs_both_starts_in_full():
    own = results(OWN, dict.fromkeys(FACTORS, 0.5))
    auto = results("auto", dict.fromkeys(FACTORS, 0.8))
    text = report(list(CASES.values()), own + auto)
    assert "| vit | accuracy | 0.504 at 0.0003 | 0.804 at 0.0003 | better" in text
    assert "1 better, 0 alike, 0 worse of 1" in text
    assert "vit" not in report(list(CASES.values()), own + [r for r in auto if r.seed != FRESH[-1]])
