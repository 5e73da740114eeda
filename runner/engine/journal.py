"""What a run remembers of itself: nothing when one process carries it to its end, everything when it must survive."""

from __future__ import annotations

from typing import Protocol

from runner.model import Node, NodeResult
from runner.nodes.base import Sender


class Journal(Protocol):
    """Asked and told at each turn of a run. ``number`` is an item of the node's list; None, the whole node."""

    def result(self, node: Node, number: int | None = None) -> NodeResult | None:
        """What the node came to in an earlier leg of this run."""
        ...

    def attempts(self, node: Node, number: int | None) -> int:
        """How many attempts an earlier leg has used up."""
        ...

    def sender(self, node: Node, number: int | None, sender: Sender) -> Sender:
        """Who sends this node's message."""
        ...

    async def node_ended(self, node: Node, result: NodeResult) -> None:
        """Remember a node's result before anything builds on it."""
        ...

    async def item_ended(self, node: Node, number: int, result: NodeResult) -> None:
        """Remember an item's result."""
        ...

    async def before_wait(self, node: Node, number: int | None, attempts: int, seconds: float) -> None:
        """Called before a wait; returns for a short one, and raises to leave a long one to a later leg."""
        ...


class Forgetful:
    """Remembers nothing: for a run that one process carries to its end."""

    def result(self, node: Node, number: int | None = None) -> NodeResult | None:
        """Nothing is known."""
        return None

    def attempts(self, node: Node, number: int | None) -> int:
        """None were used."""
        return 0

    def sender(self, node: Node, number: int | None, sender: Sender) -> Sender:
        """The sender as it is."""
        return sender

    async def node_ended(self, node: Node, result: NodeResult) -> None:
        """Forget it."""

    async def item_ended(self, node: Node, number: int, result: NodeResult) -> None:
        """Forget it."""

    async def before_wait(self, node: Node, number: int | None, attempts: int, seconds: float) -> None:
        """Wait in place."""
