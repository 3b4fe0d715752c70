"""Train every case briefly: healthy networks improve clearly, sick ones do clearly worse than their cured twins.

    python tests/exam/verify.py                 # everything, a minute or two; Keras's cases where Keras is installed
    python tests/exam/verify.py NAME NAME       # some cases
    python tests/exam/verify.py --write         # keep the figures in verified.json

The error is the case's own yardstick, or its loss. A healthy network passes when training on the first seed takes away
at least a fifth of its first error. A sick one passes when its error ends above its cured twin's by at least a fifth of
what the twin gained, or is not a number. No rule of gainstage takes part.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import sys
import time
import warnings
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from exam.case import Case, Entry
from exam.catalogue import catalogue

__all__ = ["SHARE", "errors", "forward", "judge"]

SHARE = 0.2
RECORD = Path(__file__).with_name("verified.json")


def forward(model: Any, x: Any) -> Any:
    """Call a model as ``gs.check`` does."""
    if isinstance(x, dict):
        return model(**x)
    return model(*x) if isinstance(x, tuple) else model(x)


def _loss(case: Case, output: Any) -> Any:
    if case.loss is not None:
        return case.loss(output, case.y)
    return output.loss if hasattr(output, "loss") else output


def _torch_error(case: Case) -> float:
    import torch

    case.model.eval()
    with torch.no_grad():
        if case.evaluate is not None:
            value = case.evaluate(case.model, case.x, case.y)
        else:
            output = forward(case.model, case.x)
            value = case.error(output, case.y) if case.error is not None else _loss(case, output)
    case.model.train()
    return float(value)


def _torch_errors(case: Case) -> tuple[float, float]:
    assert case.optimizer is not None
    mode = {name: module.training for name, module in case.model.named_modules()}
    before = _torch_error(case)
    optimizer = case.optimizer(case.model)
    for name, module in case.model.named_modules():
        module.training = mode[name]
    for _ in range(case.steps):
        optimizer.zero_grad()
        loss = _loss(case, forward(case.model, case.x))
        if loss.requires_grad:
            loss.backward()
            optimizer.step()
    return before, _torch_error(case)


def _keras_error(case: Case) -> float:
    if case.evaluate is not None:
        return float(case.evaluate(case.model, case.x, case.y))
    if case.error is not None:
        return float(case.error(case.model.predict(case.x, verbose=0), case.y))
    return float(case.model.evaluate(case.x, case.y, verbose=0, return_dict=True)["loss"])


def _keras_errors(case: Case) -> tuple[float, float]:
    before = _keras_error(case)
    case.model.fit(
        case.x, case.y, batch_size=len(case.y) if hasattr(case.y, "__len__") else None, epochs=case.steps, verbose=0
    )
    return before, _keras_error(case)


def errors(entry: Entry, seed: int = 0, *, cured: bool = False) -> tuple[float, float]:
    """Error before and after a short training on the case's own data."""
    case = entry.build(seed, cured=cured)
    return _keras_errors(case) if entry.framework == "keras" else _torch_errors(case)


def judge(entry: Entry, seed: int = 0) -> dict[str, Any]:
    """Whether the case is what it claims to be, with the figures."""
    try:
        before, after = errors(entry, seed)
    except (RuntimeError, ValueError):  # some backends refuse to train what others train to no end
        if not entry.sick:
            raise
        before = after = math.nan
    row: dict[str, Any] = {"before": before, "after": after}
    if entry.sick:
        start, mended = errors(entry, seed, cured=True)
        row |= {"cured before": start, "cured after": mended}
        gain = start - mended
        row["holds"] = gain >= SHARE * abs(start) and not after - mended < SHARE * gain
    else:
        row["holds"] = before - after >= SHARE * abs(before)
    return {k: v if isinstance(v, bool) or math.isfinite(v) else str(v) for k, v in row.items()}


def main() -> int:
    """Print a line a case; the exit code says whether all hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--framework", choices=("torch", "keras"))
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    known = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    failed = 0
    for name, entry in catalogue().items():
        wanted = name in arguments.names if arguments.names else arguments.framework in (None, entry.framework)
        if not wanted or (entry.framework == "keras" and importlib.util.find_spec("keras") is None):
            continue
        start = time.perf_counter()
        known[name] = row = judge(entry)
        failed += not row["holds"]
        figures = "  ".join(
            f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items() if k != "holds"
        )
        print(
            f"{'ok  ' if row['holds'] else 'FAIL'} {name:<45} {time.perf_counter() - start:5.1f} s  {figures}",
            flush=True,
        )
        if arguments.write:
            RECORD.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", encoding="utf-8")
    print(f"{failed} of the cases above do not hold")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
