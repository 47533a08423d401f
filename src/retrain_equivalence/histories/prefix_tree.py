"""The prefix tree: which stage trainings a set of histories needs, each of them once.

Two histories that start alike share nodes because their prefixes are equal, not because someone wrote a cache. A
retrain oracle is a history too, so at the study's own seeds it is always a node that exists already.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from retrain_equivalence.histories.history import History


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """Stage trainings with and without sharing, per replicate."""

    shared: int
    """Nodes of the tree: what is trained."""
    naive: int
    """Sum of the lengths of all histories and of their distinct oracles: what training each alone would take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixTree:
    """The distinct prefixes of some histories, parents before children."""

    histories: tuple[History, ...]
    nodes: tuple[History, ...]

    @classmethod
    def of(cls, histories: Iterable[History]) -> PrefixTree:
        """Build the tree over `histories`; their oracles are added by the caller as histories of their own.

        Nodes are told apart by value: two prefixes with equal stages, data and training are one node.
        """
        given = tuple(histories)
        nodes: list[History] = []
        seen: set[str] = set()
        for history in given:
            for prefix in history.prefixes():
                identity = repr(prefix)
                if identity not in seen:
                    seen.add(identity)
                    nodes.append(prefix)
        return cls(histories=given, nodes=tuple(sorted(nodes, key=lambda node: len(node.stages))))

    def saving(self) -> Saving:
        """Count stage trainings with and without sharing."""
        return Saving(shared=len(self.nodes), naive=sum(len(history.stages) for history in self.histories))
