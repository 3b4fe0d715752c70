"""Drawing weights: the reference streams against PyTorch's own generators, on the weights of a ResNet-50."""

from __future__ import annotations

import torch
from _timing import paired, row
from torch import nn

from gainstage.graph import KernelShape
from gainstage.schemes import get
from gainstage.streams import Stream


def main() -> None:
    kernel = KernelShape(2048, 2048, 1)
    tensor = torch.empty(2048, 2048)
    peers = {
        "he_normal": lambda: nn.init.kaiming_normal_(tensor),
        "he_uniform": lambda: nn.init.kaiming_uniform_(tensor),
        "he_truncated_normal": lambda: nn.init.trunc_normal_(tensor),
        "orthogonal": lambda: nn.init.orthogonal_(tensor),
    }
    for name, peer in peers.items():
        scheme = get(name)
        seconds, ratio = paired(peer, lambda s=scheme: s.draw(kernel, 1.0, Stream(0, "weight")), runs=5)
        row(f"{name}, 2048 x 2048: torch.nn.init {seconds * 1e3:.0f} ms, ours", f"{ratio:.2f} x", "for comparison")


if __name__ == "__main__":
    main()
