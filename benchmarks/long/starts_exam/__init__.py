"""An exam for starts: small networks of many fields that train well as their authors would make them.

The cases know nothing about gainstage. ``frozen.json`` holds the half of each case and a hash of each file of cases.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from starts_exam.adapters import ADAPTERS
from starts_exam.assembled import ASSEMBLED
from starts_exam.audio import AUDIO
from starts_exam.case import Case
from starts_exam.control import CONTROL
from starts_exam.dense_vision import DENSE_VISION
from starts_exam.diffusion import DIFFUSION
from starts_exam.flows import FLOWS
from starts_exam.generative import GENERATIVE
from starts_exam.graphs import GRAPHS
from starts_exam.language import LANGUAGE
from starts_exam.masked_shared import MASKED_SHARED
from starts_exam.physics import PHYSICS
from starts_exam.recurrent import RECURRENT
from starts_exam.self_supervised import SELF_SUPERVISED
from starts_exam.tabular import TABULAR
from starts_exam.text import TEXT
from starts_exam.vision import VISION
from starts_exam.vision_designed import VISION_DESIGNED

__all__ = ["FROZEN", "Case", "Half", "coin", "half_of", "keras_cases", "source_hashes", "torch_cases"]

Half = Literal["seen", "unseen"]

FROZEN = Path(__file__).with_name("frozen.json")


def torch_cases() -> tuple[Case, ...]:
    """Return the cases in PyTorch."""
    return (
        *LANGUAGE, *TEXT, *VISION, *VISION_DESIGNED, *DENSE_VISION, *GENERATIVE, *DIFFUSION, *FLOWS, *PHYSICS, *GRAPHS,
        *AUDIO, *CONTROL, *SELF_SUPERVISED, *ADAPTERS, *RECURRENT, *TABULAR, *MASKED_SHARED, *ASSEMBLED,
    )  # fmt: skip


def keras_cases() -> tuple[Case, ...]:
    """Return the cases in Keras; imports Keras, which reads KERAS_BACKEND then."""
    from starts_exam.keras_networks import KERAS

    return KERAS


def coin(name: str) -> Half:
    """Toss a coin for a name: the parity of the first byte of its SHA-256."""
    return "seen" if hashlib.sha256(name.encode()).digest()[0] % 2 else "unseen"


def half_of(name: str) -> Half:
    """Return the half of a case as it was frozen."""
    half: Half = json.loads(FROZEN.read_text())["halves"][name]
    return half


def source_hashes() -> dict[str, str]:
    """Return the SHA-256 of every file that defines cases or their data."""
    judge = {"__init__.py", "running.py", "starts.py", "store.py", "verdicts.py", "tables.py", "freeze.py"}
    files = sorted(p for p in Path(__file__).parent.glob("*.py") if p.name not in judge)
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
