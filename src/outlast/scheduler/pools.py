"""Compute targets as the queue sees them: pools of nodes, of which each run on them takes some.

A node is a share of this machine. Pure bookkeeping, as `slots` is: a run on a target holds both its
nodes here and their shares there. The whole machine, "", is no pool: nothing is counted on it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from outlast.run.spec import Resources
from outlast.scheduler.slots import Totals
from outlast.units import count, size


class Nodes(NamedTuple):
    """A target's nodes, for a run that wants some of them."""

    target: str
    wanted: int
    busy: int
    most: int  # at once; 0 = it is stopped, -1 = there is no such target any more
    holders: tuple[str, ...] = ()  # runs on it

    @property
    def is_lacking(self) -> bool:
        """Are there fewer free than are wanted?"""
        return self.busy + self.wanted > self.most


class Pools:
    """How many nodes each target has, and which runs hold them."""

    def __init__(self) -> None:
        self._most: dict[str, int] = {}
        self._held: dict[str, tuple[str, int]] = {}  # run -> target, nodes

    def set(self, target: str, most: int) -> None:
        """From now on the target has so many; runs that hold more keep them."""
        self._most[target] = most

    def drop(self, target: str) -> None:
        """There is no such target any more."""
        self._most.pop(target, None)

    def take(self, run_id: str, target: str, nodes: int) -> None:
        """The run holds these from now on, whether or not that many are free."""
        if target:
            self._held[run_id] = (target, nodes)

    def release(self, run_id: str) -> None:
        """Give back what the run holds."""
        self._held.pop(run_id, None)

    def nodes(self, target: str, wanted: int) -> Nodes | None:
        """How the target stands for a run that wants so many; None for the whole machine."""
        if not target:
            return None
        held = {run: number for run, (where, number) in self._held.items() if where == target}
        most = self._most.get(target, -1)
        return Nodes(target, wanted, sum(held.values()), most, tuple(held))

    def is_lacking(self, target: str, wanted: int) -> bool:
        """Must a run that wants so many of them wait?"""
        nodes = self.nodes(target, wanted)
        return nodes is not None and nodes.is_lacking


class Cut(NamedTuple):
    """What one node has here, and in words how that differs from what was asked for."""

    node: Resources
    notes: tuple[str, ...] = ()


def cut(asked: Resources, nodes: int, totals: Totals) -> Cut:
    """The share of this machine that a node of the target gets; 0 asks for an equal part.

    CPUs and memory are cut so that all nodes fit at once. A GPU isn't divided: where there are
    fewer than the nodes have together, fewer runs are at work at once.
    """
    cpus = math.floor(totals.cpus / nodes * 1e4) / 1e4
    memory_bytes = totals.memory_bytes // nodes
    gpus = len(totals.gpus)
    notes = []
    if asked.cpus > cpus:
        notes.append(
            f"{count(nodes, 'node')} with {asked.cpus:g} CPUs each are more than the "
            f"{totals.cpus:g} of this machine: a node is a share of {cpus:g}"
        )
    if asked.memory_bytes > memory_bytes:
        notes.append(
            f"{count(nodes, 'node')} with {size(asked.memory_bytes)} of memory each are more than "
            f"the {size(totals.memory_bytes)} of this machine: a node is a share of "
            f"{size(memory_bytes)}"
        )
    if asked.gpus > gpus:
        has = f"has {count(gpus, 'GPU')}" if gpus else "has no GPU"
        notes.append(f"a node should have {count(asked.gpus, 'GPU')}; this machine {has}")
    elif asked.gpus * nodes > gpus:
        notes.append(
            f"{count(nodes, 'node')} with {count(asked.gpus, 'GPU')} each are more than the {gpus} "
            "of this machine: runs wait for one another's GPUs"
        )
    node = Resources(
        min(asked.cpus or cpus, cpus),
        min(asked.memory_bytes or memory_bytes, memory_bytes),
        min(asked.gpus, gpus),
    )
    return Cut(node, tuple(notes))


def wanted(node: Resources, nodes: int, totals: Totals) -> Resources:
    """What so many nodes hold of the machine together."""
    return Resources(
        node.cpus * nodes, node.memory_bytes * nodes, min(node.gpus * nodes, len(totals.gpus))
    )
