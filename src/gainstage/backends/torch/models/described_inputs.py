"""Inputs that a model describes itself: those of Hugging Face's models, by the modality of their configuration.

``dummy_inputs`` is of no use here: it is ``input_ids`` for most vision models too. A description is a guess until the
model has run on it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from gainstage.backends.torch.models.inputs import Batch, example_batch
from gainstage.data import InputSpec
from gainstage.errors import InputError

__all__ = ["described_batches", "described_inputs", "with_own_labels"]

_TOKENS, _PIXELS, _FRAMES, _SAMPLES = 128, 224, 128, 16_000
"""Sizes where the configuration leaves them open: tokens, pixels a side, spectrogram frames, samples of sound (1 s)."""

_FEW = 16
"""Tokens are enough to see what the weights of a model are for; a recurrent one takes a step for every token."""

_PARTS = ("vision_config", "text_config", "audio_config", "encoder", "decoder")
"""Where a configuration of several modalities keeps those of its parts."""

Specs = tuple[InputSpec, ...]


def described_batches(model: nn.Module, *, examples: int = 2) -> Iterator[Batch]:
    """Make up values for every guess of :func:`described_inputs`, in the model's precision and place; few tokens."""
    floating = (p for p in model.parameters() if p.is_floating_point())
    weight = next(floating, None)
    dtype, device = (torch.float32, "cpu") if weight is None else (weight.dtype, weight.device)
    for specs in described_inputs(model):
        short = [replace(s, shape=(min(s.shape[0], _FEW),)) if s.kind == "ids" else s for s in specs]
        try:
            batch = example_batch(model, short, batch=examples)
        except InputError:
            continue
        named = batch if isinstance(batch, dict) else {}
        yield {
            name: value.to(device, dtype) if value.is_floating_point() else value.to(device)
            for name, value in named.items()
        }


def with_own_labels(model: nn.Module, batch: Batch) -> Batch:
    """A batch of tokens with itself as labels, for a model that turns those into the loss it trains with.

    Language models of Hugging Face take ``labels`` and shift or mask them as they train; others get the batch back.
    """
    tokens = batch.get("input_ids") if isinstance(batch, dict) else None
    config, head = getattr(model, "config", None), getattr(model, "get_output_embeddings", None)
    if tokens is None or not isinstance(getattr(config, "model_type", None), str) or not callable(head):
        return batch
    if head() is None or "labels" not in inspect.signature(model.forward).parameters:
        return batch
    assert isinstance(batch, dict)
    return {**batch, "labels": batch.get("decoder_input_ids", tokens)}


def described_inputs(model: nn.Module) -> Iterator[Specs]:
    """Guesses of what a Hugging Face model takes, the likeliest first; none for any other model.

    Args:
        model: known by its ``config`` with a ``model_type``, and by its ``main_input_name``.
    """
    config, main = getattr(model, "config", None), getattr(model, "main_input_name", None)
    if not isinstance(getattr(config, "model_type", None), str) or not isinstance(main, str):
        return
    decoder = tuple(_tokens(config, "decoder_input_ids")) if getattr(config, "is_encoder_decoder", False) else ()
    match main:
        case "input_ids":
            guesses: list[Specs] = [(spec,) for spec in _tokens(config, main)]
            # Models of pictures and words name the words as their main input and need both.
            guesses += [(*words, picture) for words in guesses for picture in _pictures(config, "pixel_values")]
        case "pixel_values":
            guesses = [(spec,) for spec in _pictures(config, main)]
        case "input_values" | "input_features":
            guesses = [(spec,) for spec in _sounds(config, main)]
        case _:
            guesses = []
    yield from ((*guess, *decoder) for guess in guesses)


def _tokens(config: Any, name: str) -> Iterator[InputSpec]:
    vocabulary = _known(config, "vocab_size", int)
    if vocabulary is None:
        return
    limits = (_known(config, key, int) for key in ("max_position_embeddings", "n_positions", "max_target_positions"))
    # RoBERTa and its kin keep the first two positions for themselves.
    length = min([_TOKENS, *(limit - 2 for limit in limits if limit is not None and limit > 2)])
    yield InputSpec((length,), "ids", name, vocabulary)


def _pictures(config: Any, name: str) -> Iterator[InputSpec]:
    size = _known(config, "image_size", int | list | tuple) or _PIXELS
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    channels = _known(config, "num_channels", int) or 3
    yield InputSpec((channels, height, width), "values", name)
    frames = _known(config, "num_frames", int)
    if frames is not None:
        yield InputSpec((frames, channels, height, width), "values", name)


def _sounds(config: Any, name: str) -> Iterator[InputSpec]:
    """Sound as samples, or as a spectrogram: frames by bands, for Whisper bands by frames."""
    bands = next(
        (b for key in ("num_mel_bins", "input_feat_per_channel", "feature_projection_input_dim")
         if (b := _known(config, key, int)) is not None), None,
    )  # fmt: skip
    positions = _known(config, "max_source_positions", int)
    if bands is not None and positions is not None and name == "input_features":
        yield InputSpec((bands, 2 * positions), "values", name)
    if bands is not None:
        frames = _known(config, "max_length", int) or _FRAMES
        yield InputSpec((frames, bands), "values", name)
    if name == "input_values":
        yield InputSpec((_SAMPLES,), "values", name)


def _known(config: Any, key: str, kind: Any) -> Any:
    """What a configuration says under a key, itself or in one of its parts; None where it says nothing usable."""
    for part in (config, *(getattr(config, name, None) for name in _PARTS)):
        value = getattr(part, key, None)
        if isinstance(value, kind) and not isinstance(value, bool):
            return value
    return None
