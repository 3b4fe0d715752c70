"""Weights written to files come back as they were."""

from __future__ import annotations

import sys

import pytest
import torch
from safetensors.torch import load_model
from torch import nn

from gainstage.backends.torch.writing.save import save_weights, usable_path
from gainstage.errors import InputError, MissingPackageError


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 3)
        self.norm = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.table.weight


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_every_value_comes_back(tmp_path, suffix):
    model, other = Tied(), Tied()
    file = save_weights(model, tmp_path / f"weights{suffix}")
    if suffix == ".safetensors":
        load_model(other, str(file))
    else:
        other.load_state_dict(torch.load(file, weights_only=True))
    assert other.head.weight is other.table.weight
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)


def test_places_that_cannot_be_written(tmp_path, monkeypatch):
    for bad, message in {
        "weights.bin": "ending in .safetensors",
        "weights": "ending in",
        "absent/weights.pt": "no directory",
    }.items():
        with pytest.raises(InputError, match=message):
            save_weights(nn.Linear(1, 1), tmp_path / bad)
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(InputError, match="itself one"):
        usable_path(tmp_path / "folder.pt")
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(MissingPackageError, match="pip install safetensors"):
        usable_path(tmp_path / "weights.safetensors")
