"""The same configuration at another width or depth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gainstage.errors import InputError

__all__ = ["resized_settings"]

_NAMES = {
    "width": ("hidden_size", "d_model", "n_embd", "dim", "emb_dim"),
    "depth": ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "encoder_layers"),
}
_IN_PROPORTION = ("intermediate_size", "n_inner", "ffn_dim", "d_ff", "encoder_ffn_dim", "decoder_ffn_dim", "hidden_dim",
                  "embedding_size", "word_embed_proj_dim", "moe_intermediate_size")  # fmt: skip
_HEADS = ("num_attention_heads", "n_head", "num_heads", "n_heads", "num_key_value_heads", "encoder_attention_heads",
          "decoder_attention_heads")  # fmt: skip


def resized_settings(config: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, int]:
    """Return the settings that give a configuration another width or depth.

    Feed-forward widths change in proportion, and so does the number of heads, whose width stays.

    Args:
        config: all settings of the configuration.
        sizes: ``width``, ``depth``, or both.

    Raises:
        InputError: the configuration has no setting for a size.

    >>> config = {"hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32, "num_hidden_layers": 32}
    >>> resized_settings(config, {"width": 256, "depth": 4})
    {'hidden_size': 256, 'intermediate_size': 688, 'num_attention_heads': 2, 'num_hidden_layers': 4}
    """
    found: dict[str, int] = {}
    for axis, size in sizes.items():
        name = next((n for n in _NAMES[axis] if _is_count(config.get(n))), None)
        if name is None:
            raise InputError(f"The configuration has no setting for its {axis}; looked for {', '.join(_NAMES[axis])}.")
        if axis == "width":
            ratio = size / config[name]
            found |= {n: max(round(config[n] * ratio), 1) for n in _IN_PROPORTION if _is_count(config.get(n))}
            for n in _HEADS:
                if _is_count(config.get(n)):
                    found[n] = math.gcd(max(round(config[n] * ratio), 1), size)
        found[name] = size
        if axis == "depth" and _is_count(config.get("decoder_layers")) and name == "encoder_layers":
            found["decoder_layers"] = size
    return dict(sorted(found.items()))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
