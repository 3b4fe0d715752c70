"""One name to one model: the user's own code, a collection of models, or a network built on the spot."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from gainstage.backends.python_source import found_in_python, made_from
from gainstage.backends.torch.models.build import mlp, parse_mlp
from gainstage.backends.torch.models.model_collections import Found, from_huggingface, from_timm, from_torchvision
from gainstage.backends.torch.models.random_states import random_state
from gainstage.data import InputSpec

__all__ = ["SOURCES", "LoadedModel", "load"]


def _from_sizes(text: str) -> Found:
    spec = parse_mlp(text)
    model = mlp(spec.sizes, activation=spec.activation, norm=spec.norm, bias=spec.bias)
    return model, (InputSpec(spec.sizes[:1]),)


SOURCES = {
    "torchvision": from_torchvision,
    "timm": from_timm,
    "hf": from_huggingface,
    "mlp": _from_sizes,
}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that was found by name.

    Args:
        name: as it was asked for.
        model: the module, on the CPU, with fresh weights.
        inputs: what it takes, where its source knows; None where the user has to say.
    """

    name: str
    model: nn.Module
    inputs: tuple[InputSpec, ...] | None = None


def load(name: str, *, seed: int | None = None, memoryless: bool = False) -> LoadedModel:
    """Find or build a model by name.

    ======================================  =====================================================================
    ``package.module:attribute``            a module, or a class or function that makes one without arguments
    ``path/file.py:attribute``              the same in a file
    ``torchvision:resnet50``                by name, without weights
    ``timm:resnet50``                       by name, without weights
    ``hf:gpt2``, ``hf:path/config.json``    by type of model or configuration, without weights; settings may follow:
                                            ``hf:llama,num_hidden_layers=2,hidden_size=256``
    ``mlp:784x128x10,act=relu,norm=batch``  built here; options ``act``, ``norm`` (none, batch, layer), ``bias``
    ======================================  =====================================================================

    The first two import, and so run, the user's code. Nothing is ever downloaded. A source has at least two letters:
    ``C:`` is a drive.

    Args:
        name: of the model.
        seed: of all random states while the model is made; they are put back. None leaves them alone.
        memoryless: build it on the meta device, where weights have a shape and no values.

    Raises:
        LoadError: the name cannot be resolved, or its code raises.
        UnknownNameError: there is no such model in its source, or no such attribute.
        MissingPackageError: the source is not installed.

    >>> load("mlp:64x32x10").inputs
    (InputSpec(shape=(64,), kind='values', name='', vocabulary=None),)
    """
    with contextlib.ExitStack() as stack:
        if seed is not None:
            stack.enter_context(random_state(seed))
        if memoryless:
            stack.enter_context(torch.device("meta"))
        model, inputs = _find(name)
    return LoadedModel(name, model, inputs)


def _find(name: str) -> Found:
    source = re.match(r"([A-Za-z]{2,}):(.*)", name)
    if source and source[1] in SOURCES:
        return SOURCES[source[1]](source[2])
    model = made_from(found_in_python(name), name, lambda found: isinstance(found, nn.Module))
    return cast(nn.Module, model), None
