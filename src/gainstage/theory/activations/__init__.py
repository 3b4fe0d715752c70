"""Every elementwise activation of PyTorch and Keras 3, and those a user brings."""

# Each of these enters its activations in the table.
from gainstage.theory.activations import gated, rectifiers, shrinks, sigmoids
from gainstage.theory.activations.record import Activation, Array, Elementwise
from gainstage.theory.activations.registry import activation, activations, register

__all__ = ["Activation", "Array", "Elementwise", "activation", "activations", "register"]

del gated, rectifiers, shrinks, sigmoids
