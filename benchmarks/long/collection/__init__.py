"""Small members of many families of architectures, in plain PyTorch or from configurations: no weights, no network."""

from collection.case import Architecture, Family
from collection.images import IMAGES
from collection.plain import PLAIN
from collection.sequences import SEQUENCES

__all__ = ["ARCHITECTURES", "Architecture", "Family"]

ARCHITECTURES: tuple[Architecture, ...] = (*PLAIN, *IMAGES, *SEQUENCES)
