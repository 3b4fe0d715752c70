"""What a model is: operations, their weights, and the questions one can ask of the graph they form."""

from gainstage.graph.kernel import KernelShape
from gainstage.graph.operation import Operation, Role
from gainstage.graph.signal import Layout, Node, Parameter, SignalGraph, Slot, Stage, Use

__all__ = ["KernelShape", "Layout", "Node", "Operation", "Parameter", "Role", "SignalGraph", "Slot", "Stage", "Use"]
