"""Schemes draw weights: pure functions of (KernelShape, gain, stream), in one table.

``gain`` multiplies a scheme's standard deviation over weights: ``normal`` has gain/√fan_in, ``he_normal`` has
gain·√(2/fan_in). With gain 1, the first keeps E[x²] through linear layers and the second through ReLU layers.
"""

from gainstage.schemes import centred, defaults, structured, variance  # noqa: F401  (importing them fills the table)
from gainstage.schemes.mirrored import mirrored
from gainstage.schemes.table import Scheme, get, names, register

__all__ = ["Scheme", "get", "mirrored", "names", "register"]
