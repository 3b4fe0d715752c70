"""One name to one model, whichever framework it is of; no framework is imported that the model does not need."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gainstage.backends.model_names import refuse_unknown, resized_mlp
from gainstage.backends.presence import require_keras, require_torch
from gainstage.backends.protocol import Framework, framework_of
from gainstage.backends.python_source import found_in_python, made_from, require_source, words_of
from gainstage.data import InputSpec
from gainstage.errors import InputError

__all__ = ["Loaded", "building", "framework_named", "load"]

_TORCH_SOURCES = frozenset({"torchvision", "timm", "hf", "mlp"})
_PACKAGES: dict[Framework, tuple[str, ...]] = {"torch": ("torch",), "keras": ("keras", "tensorflow")}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that was found by name.

    Args:
        name: as it was asked for.
        framework: whose it is.
        model: with fresh weights.
        inputs: what it takes, where its source or the model itself knows; None where the user has to say.
    """

    name: str
    framework: Framework
    model: Any
    inputs: tuple[InputSpec, ...] | None = None


def framework_named(name: str) -> Framework | None:
    """The framework that a name alone tells; None where the user's own code has to be imported first.

    >>> framework_named("keras:VGG16"), framework_named("hf:gpt2"), framework_named("nets.py:build")
    ('keras', 'torch', None)
    """
    if name.endswith(".keras"):
        return "keras"
    source = re.match(r"([A-Za-z]{2,}):", name)
    if source is None:
        return None
    return "keras" if source[1] == "keras" else "torch" if source[1] in _TORCH_SOURCES else None


def load(
    name: str, *, seed: int | None = None, memoryless: bool = False, sizes: Mapping[str, int] | None = None
) -> Loaded:
    """Find or build a model by name: one of a collection, or of the user's own code.

    Args:
        name: as ``backends.torch.load`` and ``backends.keras.load`` describe them, or ``package.module:attribute`` or
            ``path/file.py:attribute`` with a model of either framework; these import, and so run, the user's code.
        seed: of all random states while the model is made; None leaves them alone.
        memoryless: build a PyTorch model on the meta device, where weights have a shape and no values.
        sizes: another ``width`` or ``depth`` than the name says: of an ``mlp:`` or ``hf:`` model, or as arguments of
            the user's function.

    Raises:
        InputError: a model of this source has no other sizes.
        LoadError: the name cannot be resolved, or its code raises.
        UnknownNameError: there is no such model in its source, or no such attribute.
        MissingPackageError: the source is not installed.
        InputError: a model of Keras 2.
    """
    if sizes and framework_named(name) is not None:
        name = _resized(name, sizes)
    match framework_named(name):
        case "keras":
            require_keras(f"The model '{name}'")
            from gainstage.backends.keras.models.applications import load as of_keras

            model = of_keras(name, seed=seed).model
            return Loaded(name, "keras", model, _inputs("keras", model))
        case "torch":
            refuse_unknown(name, memoryless=memoryless)
            require_torch(f"The model '{name}'")
            from gainstage.backends.torch.models.load import load as of_torch

            found = of_torch(name, seed=seed, memoryless=memoryless)
            return Loaded(name, "torch", found.model, found.inputs)
    require_source(name)
    with _seeded(_mentioned(name), seed):
        found_there = found_in_python(name)
    with _seeded(_imported(), seed), building(memoryless=memoryless and bool(sizes)):
        made: Any = made_from(found_there, name, lambda thing: framework_of(thing) is not None, sizes)
    framework = framework_of(made) or "torch"
    return Loaded(name, framework, made, _inputs(framework, made))


def _resized(name: str, sizes: Mapping[str, int]) -> str:
    """Return the name of the same model at another width or depth."""
    source, _, rest = name.partition(":")
    if source == "mlp":
        return f"mlp:{resized_mlp(rest, sizes)}"
    if source == "hf":
        require_torch(f"The model '{name}'")
        from gainstage.backends.torch.models.model_collections import resized_huggingface

        return f"hf:{resized_huggingface(rest, sizes)}"
    raise InputError(
        f"The width and depth of '{name}' cannot be changed by its name. Name a function of yours that takes width= or "
        "depth= and returns the model: package.module:function."
    )


def _inputs(framework: Framework, model: Any) -> tuple[InputSpec, ...] | None:
    if framework == "torch":
        return None
    from gainstage.backends.keras.models.inputs import known_inputs

    return known_inputs(model)


def _mentioned(name: str) -> Collection[Framework]:
    """The frameworks that the user's file imports, to be seeded before it makes a model; else PyTorch."""
    words = words_of(name)
    found = [
        framework
        for framework, packages in _PACKAGES.items()
        if any(re.search(rf"^\s*(import|from)\s+{package}\b", words, re.MULTILINE) for package in packages)
    ]
    return [f for f in found or ["torch"] if importlib.util.find_spec(f) is not None]


def _imported() -> Collection[Framework]:
    return [f for f in _PACKAGES if f in sys.modules]


@contextlib.contextmanager
def building(*, memoryless: bool = False, seed: int | None = None) -> Iterator[None]:
    """Build models inside from a seed, or without memory where a framework that was imported has a device for it.

    Args:
        memoryless: put what PyTorch makes inside on the meta device.
        seed: of all random states.
    """
    with _seeded(_imported(), seed):
        if not memoryless or "torch" not in sys.modules:
            yield
            return
        with sys.modules["torch"].device("meta"):
            yield


@contextlib.contextmanager
def _seeded(frameworks: Collection[Framework], seed: int | None) -> Iterator[None]:
    """Import frameworks and start their random states from a seed; PyTorch's are put back."""
    with contextlib.ExitStack() as stack:
        if seed is not None and "torch" in frameworks:
            from gainstage.backends.torch.models.random_states import random_state

            stack.enter_context(random_state(seed))
        if "keras" in frameworks:
            require_keras("The model")
        if seed is not None and "keras" in frameworks:
            from gainstage.backends.keras.models.applications import seed_all

            seed_all(seed)
        yield
