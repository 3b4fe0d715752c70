"""What a check costs, in plain forward and backward passes of the same model on the same batch."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import torchmodels
from _timing import paired, row
from torch import nn

from gainstage.backends.torch import record


def naive_hooks(model: nn.Module, inputs: dict[str, torch.Tensor]) -> None:
    """What people write by hand: mean, spread and extremes of every leaf module's output, fetched one by one."""
    seen = []

    def hook(_module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            seen.append([output.mean().item(), output.std().item(), output.min().item(), output.max().item()])

    handles = [m.register_forward_hook(hook) for m in model.modules() if not list(m.children())]
    model(**inputs).loss.backward()
    for handle in handles:
        handle.remove()
    model.zero_grad()


def plain(model: nn.Module, inputs: dict[str, torch.Tensor]) -> None:
    model(**inputs).loss.backward()
    model.zero_grad()


def report(name: str, model: nn.Module, inputs: dict[str, torch.Tensor]) -> None:
    """Every way to look at one model, against its plain pass."""

    def once() -> None:
        plain(model, inputs)

    seconds, standard = paired(once, lambda: record(model, inputs))
    _, lean = paired(once, lambda: record(model, inputs, detail="lean"))
    _, naive = paired(once, lambda: naive_hooks(model, inputs))
    row(f"{name}: one plain pass", f"{seconds * 1e3:.1f} ms", "")
    row(f"{name}: check, standard moments", f"{standard:.2f} x", "at most 3 x")
    row(f"{name}: check, lean", f"{lean:.2f} x", "at most 2 x")
    row(f"{name}: hooks that fetch four scalars a module", f"{naive:.2f} x", "for comparison")


def main() -> None:
    report("small ResNet", *torchmodels.resnet())
    report("small transformer", *torchmodels.gpt())


if __name__ == "__main__":
    main()
