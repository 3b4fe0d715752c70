"""How weights are drawn: pure functions of (KernelShape, gain, stream), in one table.

``gain`` multiplies a scheme's own spread, which is a standard deviation over weights: ``normal`` has gain/√fan_in,
``he_normal`` gain·√(2/fan_in). At a gain of one the first keeps E[x²] through linear layers, the second through ReLUs.
"""

from gainstage.schemes import centred, defaults, structured, variance  # noqa: F401  (importing them fills the table)
from gainstage.schemes.mirrored import mirrored
from gainstage.schemes.table import Scheme, get, names, register

__all__ = ["Scheme", "get", "mirrored", "names", "register"]
