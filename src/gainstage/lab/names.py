"""Names of models that a page may ask for: members of collections, and never code or a path."""

from __future__ import annotations

import re
from pathlib import Path

from gainstage.errors import InputError

__all__ = ["require_listed"]

_LISTED = re.compile(r"(hf|timm|torchvision|keras):[A-Za-z][A-Za-z0-9_-]{0,63}(,[a-z_]{1,40}=[0-9]{1,6}){0,8}")


def require_listed(name: str) -> None:
    """Refuse what is not the name of a model in a collection.

    Args:
        name: ``hf:gpt2``, ``hf:gpt2,n_layer=2``, ``timm:resnet18``, ``torchvision:resnet18`` or ``keras:MobileNetV2``.

    Raises:
        InputError: the name has another form, or a file or folder of that name exists, which the loader would read.

    >>> require_listed("hf:gpt2,n_layer=2")
    """
    if not _LISTED.fullmatch(name):
        raise InputError(
            f"The lab takes hf:NAME, timm:NAME, torchvision:NAME or keras:NAME from a page; received {name[:60]!r}. "
            "Start the lab with a model of your own: gainstage lab package.module:attribute."
        )
    kind = name.partition(":")[2].partition(",")[0]
    if Path(kind).exists():
        raise InputError(
            f"A file or folder named '{kind}' lies in the lab's working directory, so that name is refused."
        )
