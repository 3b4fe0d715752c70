"""Choice of the links of a graph that a plan mirrors, with reasons.

The graph says whose units may be paired, the activation whether training can part them, and the length of the chain
whether it pays.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from gainstage.graph import Mirror, Pairing, Role, SignalGraph, once_per_graph
from gainstage.planning.pair_links import Link, pair_links
from gainstage.theory import Activation, mirror_fault, plain_loss

__all__ = [
    "UNMIRRORED",
    "Mirroring",
    "chain_depths",
    "every_link",
    "is_one_plain_run",
    "mirror_links",
    "paying_links",
    "predicted_gains",
]


@dataclass(frozen=True)
class Mirroring:
    """The links that a plan mirrors.

    Args:
        links: by the node that makes the units.
        why: of each of them, in words.
        faults: why other weights are not mirrored, by path.
    """

    links: Mapping[int, Link] = field(default_factory=dict)
    why: Mapping[int, str] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def functions(self) -> Mapping[int, Activation]:
        """The activation before every node that reads pairs."""
        return {r: link.function for link in self.links.values() for r in link.readers if link.function is not None}

    @cached_property
    def _read(self) -> Mapping[int, Pairing]:
        return {index: pairing for link in self.links.values() for index, pairing in link.readers.items()}

    def mirror(self, index: int) -> Mirror | None:
        """The pairs of the weight of a node; None where it has none."""
        outputs = self.links[index].outputs if index in self.links else None
        inputs = self._read.get(index)
        return Mirror(outputs, inputs) if outputs is not None or inputs is not None else None


UNMIRRORED = Mirroring()
"""No pairs."""


def every_link(graph: SignalGraph, settable: Container[str]) -> Mirroring:
    """All links that hold, whether they pay or not."""
    links = mirror_links(graph, settable)
    return Mirroring({i: link for i, link in links.items() if not link.fault}, faults=_told(links))


def paying_links(graph: SignalGraph, settable: Container[str]) -> Mirroring:
    """The links of plain runs that lose five sixths or more without mirrored pairs."""
    links = mirror_links(graph, settable)
    depths = chain_depths(links)
    why: dict[int, str] = {}
    for index, link in links.items():
        if not link.fault and link.function is not None:
            why[index] = plain_loss(link.function, depths[index], batch_norm=link.normalised == "batch_norm")
    return Mirroring({i: links[i] for i, told in why.items() if told}, why)


def is_one_plain_run(graph: SignalGraph) -> bool:
    """Report whether mirrored pairs reach every weight of a model, so that nothing else is left to judge."""
    links = _free_links(graph).links
    reached = {index for start, link in links.items() for index in (start, *link.readers)}
    return all(reached.issuperset(p.nodes) for p in graph.parameters if p.role.is_kernel or p.role is Role.EMBEDDING)


def predicted_gains(graph: SignalGraph) -> tuple[str, ...]:
    """Return what theory predicts that plain runs of a model lose without mirrored pairs, in words; each loss once.

    A start without pairs loses it however its weights are scaled, so that a check of the first step cannot rule it out.
    """
    return tuple(dict.fromkeys(f"mirrored pairs pay here ({why})" for why in _free_links(graph).why.values() if why))


@once_per_graph("graph")
def _free_links(graph: SignalGraph) -> Mirroring:
    """The paying links where every trainable parameter may be set."""
    return paying_links(graph, frozenset(p.path for p in graph.parameters if p.trainable))


def _told(links: Mapping[int, Link]) -> Mapping[str, str]:
    """Return the reasons why weights are not mirrored, by path."""
    return {link.path: link.fault for link in links.values() if link.fault}


def mirror_links(graph: SignalGraph, settable: Container[str]) -> Mapping[int, Link]:
    """The links of all hidden weights, by the node that makes the units; those that do not hold say why.

    Args:
        graph: the model.
        settable: paths of the parameters that the recipe decides.
    """
    return _judged(pair_links(graph, settable))


def _judged(links: Mapping[int, Link]) -> Mapping[int, Link]:
    """Links whose activation cannot serve in a chain of that length say so."""
    depths = chain_depths(links)
    judged = {}
    for index, link in links.items():
        if not link.fault and link.function is not None:
            depth = 1 if link.normalised else depths[index]
            link = replace(link, fault=mirror_fault(link.function, depth))
        judged[index] = link
    return judged


def chain_depths(links: Mapping[int, Link]) -> Mapping[int, int]:
    """Return, for each link, the length of the run of faultless links around it with the same normalisation."""
    free = {i: link for i, link in links.items() if not link.fault}
    behind: dict[int, int] = {}
    following = {
        i: [r for r in link.readers if r in free and free[r].normalised == link.normalised] for i, link in free.items()
    }
    for index in sorted(free, reverse=True):
        behind[index] = 1 + max((behind[reader] for reader in following[index]), default=0)
    depth = dict(behind)
    for index in sorted(free):
        for reader in following[index]:
            depth[reader] = max(depth[reader], depth[index])
    return {index: depth.get(index, 1) for index in links}
