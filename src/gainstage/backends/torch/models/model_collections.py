"""Models by name from torchvision, timm and Hugging Face: architectures only, never a download."""

from __future__ import annotations

import importlib
import inspect
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gainstage.backends.torch.models.described_inputs import described_inputs
from gainstage.backends.torch.models.resizing import resized_settings
from gainstage.data import InputSpec
from gainstage.errors import LoadError, MissingPackageError, UnknownNameError

__all__ = ["Found", "from_huggingface", "from_timm", "from_torchvision", "resized_huggingface"]

Found = tuple[nn.Module, tuple[InputSpec, ...] | None]
"""A model, and its inputs where they are known."""


def _imported(package: str, name: str) -> Any:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as missing:
        raise MissingPackageError(missing.name or package, f"The model '{name}'") from missing
    except Exception as broken:  # compiled parts that do not fit the installed torch fail in many ways
        raise LoadError(
            f"'{package}' is installed but cannot be imported: {type(broken).__name__}: {broken}. Install the version "
            f"that belongs to torch {torch.__version__}."
        ) from broken


def from_torchvision(name: str) -> Found:
    """``torchvision:resnet50``, without weights."""
    models = _imported("torchvision", f"torchvision:{name}").models
    if name not in models.list_models():
        raise UnknownNameError("torchvision model", name, models.list_models())
    build = models.get_model_builder(name)
    # Segmentation and detection models fetch a trained backbone unless told not to.
    wanted = [key for key in ("weights", "weights_backbone") if key in inspect.signature(build).parameters]
    model: nn.Module = build(**dict.fromkeys(wanted))
    return model, (InputSpec((3, 299, 299) if name == "inception_v3" else (3, 224, 224)),)


def from_timm(name: str) -> Found:
    """``timm:resnet50``, without weights."""
    timm = _imported("timm", f"timm:{name}")
    if not timm.is_model(name):
        raise UnknownNameError("timm model", name, timm.list_models())
    model: nn.Module = timm.create_model(name, pretrained=False)
    size = (getattr(model, "default_cfg", None) or {}).get("input_size")
    return model, (InputSpec(tuple(size)),) if size else None


def resized_huggingface(text: str, sizes: Mapping[str, int]) -> str:
    """Return the name of the same configuration at another width or depth."""
    config = _config(text, _imported("transformers", f"hf:{text}")).to_dict()
    return ",".join([text, *(f"{key}={value}" for key, value in resized_settings(config, sizes).items())])


def from_huggingface(text: str) -> Found:
    """``hf:gpt2``, ``hf:llama,num_hidden_layers=2,hidden_size=256`` or ``hf:path/config.json``: configuration only."""
    transformers = _imported("transformers", f"hf:{text}")
    config = _config(text, transformers)
    build = _builder(config, transformers)
    _refuse_if_too_large(build, config, text)
    try:
        model: nn.Module = build(config)
    except (ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise LoadError(
            f"'hf:{text}' cannot be built from its configuration: {type(error).__name__}: {error}"
        ) from error
    return model, next(described_inputs(model), None)


def _config(text: str, transformers: Any) -> Any:
    source, *options = text.split(",")
    settings = _settings(options, text)
    if source.endswith(".json") or Path(source).is_dir():
        settings = {**_read_config(Path(source)), **settings}
        kind = settings.pop("model_type", None)
        if kind is None:
            raise LoadError(f"'{source}' has no 'model_type', so it is no configuration of a model.")
    else:
        kind = source
    known = transformers.models.auto.configuration_auto.CONFIG_MAPPING_NAMES
    if kind not in known:
        if "/" in kind:
            raise LoadError(
                f"'hf:{text}' would have to be downloaded, and gainstage downloads nothing. Name a model type, e.g. "
                "hf:gpt2 or hf:llama,num_hidden_layers=2, or the path of a config.json."
            )
        raise UnknownNameError("model type", kind, known, where=f"'hf:{text}'")
    config = transformers.AutoConfig.for_model(kind)
    unknown = [key for key in settings if key in {o.partition("=")[0] for o in options} and not hasattr(config, key)]
    if unknown:
        raise UnknownNameError("setting", unknown[0], config.to_dict(), where=f"'hf:{text}'")
    try:
        return transformers.AutoConfig.for_model(kind, **settings)
    except (ValueError, TypeError, KeyError) as error:
        raise LoadError(f"'hf:{text}' has a setting that '{kind}' does not take: {error}") from error


def _settings(options: list[str], text: str) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for option in options:
        key, given, value = option.partition("=")
        if not (given and key and value):
            raise LoadError(f"Cannot read '{option}' in 'hf:{text}'; settings are written like num_hidden_layers=2.")
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value
    return settings


def _read_config(path: Path) -> dict[str, Any]:
    path = path / "config.json" if path.is_dir() else path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LoadError(f"The configuration '{path}' cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise LoadError(f"The configuration '{path}' is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise LoadError(f"The configuration '{path}' holds a {type(content).__name__}; an object is needed.")
    return content


def _builder(config: Any, transformers: Any) -> Any:
    """The class the configuration names; else the head that this kind of model is mostly trained with; else no head."""
    for architecture in config.architectures or ():
        if hasattr(transformers, architecture):
            return getattr(transformers, architecture)
    mappings = transformers.models.auto.modeling_auto
    for task in (
        "SEQ_TO_SEQ_CAUSAL_LM", "SPEECH_SEQ_2_SEQ", "MASKED_LM", "CAUSAL_LM", "IMAGE_CLASSIFICATION", "CTC",
        "SEQUENCE_CLASSIFICATION", "SEMANTIC_SEGMENTATION",
    ):  # fmt: skip
        names = getattr(mappings, f"MODEL_FOR_{task}_MAPPING_NAMES", {})
        architecture = names.get(config.model_type)
        if isinstance(architecture, str) and hasattr(transformers, architecture):
            return getattr(transformers, architecture)
    return transformers.AutoModel.from_config


def _refuse_if_too_large(build: Any, config: Any, text: str) -> None:
    """A check holds weights and gradients; default configurations can be larger than the machine."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return
    try:
        with torch.device("meta"):
            weights = sum(p.numel() * p.element_size() for p in build(config).parameters())
    except Exception:  # some models cannot be built without memory; then there is no telling
        return
    if 2 * weights > memory and torch.get_default_device().type != "meta":
        raise LoadError(
            f"'hf:{text}' needs {2 * weights / 2**30:.0f} GiB for its weights and gradients; this machine has "
            f"{memory / 2**30:.0f} GiB. Make it smaller, e.g. hf:{text},num_hidden_layers=2,hidden_size=256."
        )
