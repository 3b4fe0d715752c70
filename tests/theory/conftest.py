"""The table of activations as fixtures, and its names as frameworks know them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gainstage.theory import Activation, activation, activations


@pytest.fixture(params=activations())
def act(request) -> Activation:
    """Every activation of the table: what is registered is tested, with no other entry anywhere."""
    return activation(request.param)


@pytest.fixture(scope="session")
def gold() -> dict[str, dict]:
    folder = Path(__file__).parent.parent / "gold"
    return {name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("gains", "nngp")}
