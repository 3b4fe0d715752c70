"""The exam of starts, one kind of weights at a time: what does redrawing a framework's default numbers gain?

Weights of one kind that hold PyTorch's default numbers are drawn as ``auto`` draws them; everything else stays as the
authors made it. The seen half alone, at the authors' rates. ``all`` is ``auto`` for every weight. The last lines count
the networks for which any of these starts trained better on all seeds: the best that one could choose afterwards.

    python benchmarks/long/exam_parts.py --kinds recurrent tables --only 'row-gru' 'deep-factors'
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import fmean

import torch
from starts_exam import Case, half_of, torch_cases
from starts_exam.running import train
from starts_exam.starts import AUTHOR, batch_for, fingerprint, restore, weights
from starts_exam.store import Result, Store
from starts_exam.verdicts import contrasts, score

import gainstage as gs
from gainstage.backends import backend_of
from gainstage.graph import Parameter, Role
from gainstage.records import WeightMoments

KINDS: dict[str, frozenset[Role]] = {
    "hidden": frozenset({Role.HIDDEN}),
    "inner": frozenset({Role.HIDDEN, Role.VALUE, Role.BRANCH_END, Role.DEPTHWISE}),
    "recurrent": frozenset({Role.RECURRENT, Role.RECURRENT_INPUT, Role.RECURRENT_BIAS}),
    "outputs": frozenset({Role.HEAD}),
    "tables": frozenset({Role.EMBEDDING}),
    "all": frozenset(Role),
}
LEANING = 0.05
"""A mean difference of 5 % in error that all seeds share, as in the exam."""


def holds_default(parameter: Parameter, values: WeightMoments) -> bool:
    """Report whether the variance is that of PyTorch's default: 1 in tables, 1/(3 fan_in) in other weights."""
    if parameter.role in KINDS["recurrent"]:
        return True
    if parameter.kernel is None or not values.variance:
        return False
    table = parameter.role is Role.EMBEDDING
    count, wanted = math.prod(parameter.shape), 1.0 if table else 1 / (3 * parameter.kernel.fan_in)
    return abs(values.variance / wanted - 1) < 5 * math.sqrt((2.0 if table else 0.8) / count)


def started(case: Case, kind: str, seed: int):
    """Build a network and draw one kind of its weights; None where it has none of that kind."""
    model, drawn = case.model(seed), kind == AUTHOR
    x = batch_for(case, case.data(seed))
    for network, inputs in (case.parts(model, x) if case.parts else [(model, x)]) if kind != AUTHOR else ():
        if kind == "all":
            gs.initialize(network, "auto", x=inputs, seed=seed)
            drawn = True
            continue
        backend = backend_of(network)
        backend.materialise(network, inputs)
        graph = backend.trace(network, inputs)
        known = backend.weight_moments(network, graph, units=False)
        chosen = {
            p.path for p in graph.parameters
            if p.trainable and p.role in KINDS[kind] and p.path in known and holds_default(p, known[p.path])
        }  # fmt: skip
        if chosen:
            kept = {p.path: "keep" for p in graph.parameters if p.path not in chosen}
            gs.initialize(network, "auto", x=inputs, seed=seed, overrides=kept)
            drawn = True
    return model if drawn else None


def scores(case: Case, kind: str, seeds: int, store: Store) -> list[float]:
    """Train from one start, unless equal trainings are stored; empty where there is nothing to draw."""
    found = []
    for seed in range(seeds):
        model = started(case, kind, seed)
        if model is None:
            return []
        kept = weights(case, model)
        result = store.get(case.name, kind, 1.0, seed, fingerprint(kept))
        if result is None:
            restore(case, model, kept)
            end = train(case, model, case.data(seed), case.rate, seed)
            before, value, loss = (v if math.isfinite(v) else None for v in (end.before, end.value, end.loss))
            result = Result(case.name, kind, 1.0, seed, fingerprint(kept), before, value, loss, round(end.seconds, 2))
            store.add(result)
        found.append(score(case.metric, result.value))
    return found


def leaning(differences: Sequence[float]) -> int:
    """Return the sign that all seeds share, or 0."""
    same = all(d > 0 for d in differences) or all(d < 0 for d in differences)
    return round(math.copysign(1, fmean(differences))) if same and abs(fmean(differences)) > LEANING else 0


def main() -> None:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN", help="names, with * and ?")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--store", type=Path, default=Path(".exam_parts.jsonl"), help="file of results")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cases = [c for c in torch_cases() if half_of(c.name) == "seen" and any(fnmatchcase(c.name, p) for p in given.only)]
    store, chosen = Store(given.store), set[str]()
    print("| kind | networks | better | alike | worse | leaning better | leaning worse | mean |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in given.kinds:
        pairs: dict[str, list[tuple[float, float]]] = {}
        for case in cases:
            other = scores(case, kind, given.seeds, store)
            if other:
                pairs[case.name] = list(zip(scores(case, AUTHOR, given.seeds, store), other, strict=True))
        found = contrasts(pairs, {}) if len(pairs) > 1 else []
        signs = {name: leaning([b - a for a, b in both]) for name, both in pairs.items()}
        chosen |= {name for name, sign in signs.items() if sign > 0}
        counts = " | ".join(str(sum(c.verdict == v for c in found)) for v in ("better", "alike", "worse"))
        signed = " | ".join(str(sum(sign == s for sign in signs.values())) for s in (1, -1))
        means = [max(-2.0, min(2.0, fmean(b - a for a, b in both))) for both in pairs.values()]
        print(
            f"| {kind} | {len(pairs)} | {counts} | {signed} | {fmean(means) if means else math.nan:+.3f} |", flush=True
        )
    print(f"\nAny of them leaning better: {len(chosen)} of {len(cases)}: {', '.join(sorted(chosen))}.")


if __name__ == "__main__":
    main()
