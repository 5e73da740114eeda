"""One run, node by node, in the calling process. Durable runs wrap the same steps."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from runner.current import about
from runner.engine.journal import Forgetful, Journal
from runner.engine.retry import next_delay
from runner.engine.scope import base_scope, with_node
from runner.errors import FlowpostError, TemplateError, TimedOut
from runner.ledger.postponed import Postponed
from runner.model import Event, Flow, Node, NodeResult, OnError, Retry, Run, Status
from runner.nodes import node_type
from runner.nodes.base import Context, NodeType, NotRehearsed, render

MAX_ITEMS = 10_000
"""A ``for_each`` list longer than this is refused: a longer one is a batch."""


class Listener(Protocol):
    """Told what happens while a run goes on; every method may return at once."""

    def node_ended(self, node: Node, result: NodeResult) -> None:
        """A node succeeded, failed or was skipped."""
        ...

    def waiting(self, node: Node, error: FlowpostError, attempt: int, attempts: int, seconds: float) -> None:
        """An attempt failed for now; the next one comes in ``seconds``."""
        ...


class Silent:
    """A listener that does nothing."""

    def node_ended(self, node: Node, result: NodeResult) -> None:
        """Ignore it."""

    def waiting(self, node: Node, error: FlowpostError, attempt: int, attempts: int, seconds: float) -> None:
        """Ignore it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How a run is carried out: what nodes may use, who listens, how waiting is done, what is remembered."""

    context: Context
    journal: Journal = field(default_factory=Forgetful)
    listener: Listener = field(default_factory=Silent)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random
    only: str | None = None

    async def run(self, flow: Flow, event: Event, run_id: str) -> Run:
        """Run ``flow`` for ``event`` to its end. Never raises for what a node did: that is in the result.

        With ``only``, that smtp node runs whatever its ``when`` says, and no other smtp node does.
        """
        with about(run=run_id, flow=flow.name):
            return await self._run(flow, event, run_id)

    async def _run(self, flow: Flow, event: Event, run_id: str) -> Run:
        scope = base_scope(flow, event, run_id, self.context.settings.vars)
        results: dict[str, NodeResult] = {}
        status = Status.SUCCEEDED
        for node in flow.nodes:
            if status is Status.FAILED or self._left_out(node):
                result = NodeResult(status=Status.SKIPPED)
            elif (known := self.journal.result(node)) is not None:
                result = known
            else:
                with about(node=node.id):
                    result = await self._node(node, scope, run_id)
                    await self.journal.node_ended(node, result)
            results[node.id] = result
            scope = with_node(scope, node.id, result)
            with about(node=node.id):
                self.listener.node_ended(node, result)
            if result.status is Status.FAILED and node.on_error is OnError.STOP:
                status = Status.FAILED
        return Run(id=run_id, flow=flow.name, status=status, nodes=results)

    def _left_out(self, node: Node) -> bool:
        return self.only is not None and node.type == "smtp" and node.id != self.only

    async def _node(self, node: Node, scope: Mapping[str, object], run_id: str) -> NodeResult:
        try:
            if node.id != self.only and node.when is not None and not node.when.render(scope):
                return NodeResult(status=Status.SKIPPED)
            if node.for_each is None:
                return await self._item(node, None, scope, (run_id, node.id))
            items = _items(node, node.for_each.render(scope))
        except FlowpostError as error:
            return NodeResult(status=Status.FAILED, attempts=0, error=error.as_dict())
        done = []
        for number, item in enumerate(items):
            result = self.journal.result(node, number)
            if result is None:
                key = (run_id, node.id, str(number))
                result = await self._item(node, number, {**scope, "item": item}, key)
                await self.journal.item_ended(node, number, result)
            done.append(result)
        return _gather(done)

    async def _item(
        self, node: Node, number: int | None, scope: Mapping[str, object], key: tuple[str, ...]
    ) -> NodeResult:
        kind = node_type(node.type)
        retry = node.retry or kind.RETRY
        progress: dict[str, object] = {}
        attempt = self.journal.attempts(node, number)
        sender = self.journal.sender(node, number, self.context.sender)
        while True:
            attempt += 1
            context = replace(
                self.context,
                key=(self.context.settings.workspace, *key),
                node=node.id,
                attempt=attempt,
                attempts=retry.attempts,
                progress=progress,
                sender=sender,
            )
            try:
                output = await self._attempt(kind, node, scope, context)
                return NodeResult(status=Status.SUCCEEDED, attempts=attempt, output=output)
            except NotRehearsed:
                return NodeResult(status=Status.SKIPPED)
            except Postponed as later:
                # Nothing was tried, so it does not count.
                attempt -= 1
                await self.journal.before_wait(node, number, attempt, later.seconds)
                await self.sleep(later.seconds)
            except FlowpostError as error:
                result = await self._after_failure(node, number, retry, attempt, error)
                if result is not None:
                    return result

    async def _after_failure(
        self, node: Node, number: int | None, retry: Retry, attempt: int, error: FlowpostError
    ) -> NodeResult | None:
        delay = next_delay(retry, attempt, self.chance()) if error.transient else None
        if delay is None or self.context.rehearsal:
            return NodeResult(status=Status.FAILED, attempts=attempt, error=error.as_dict())
        self.listener.waiting(node, error, attempt, retry.attempts, delay)
        await self.journal.before_wait(node, number, attempt, delay)
        await self.sleep(delay)
        return None

    async def _attempt(
        self, kind: type[NodeType], node: Node, scope: Mapping[str, object], context: Context
    ) -> object:
        params = render(node.params, scope)
        assert isinstance(params, Mapping)
        action = kind.parse(params)
        try:
            async with asyncio.timeout(node.timeout):
                return await action.run(context)
        except TimeoutError:
            # Where nothing but a mail server was waited for, the error's own hint fits.
            hint = None if node.type == "smtp" else "give it more time with timeout, or see what it waits for"
            message = f'Timed out: node "{node.id}" took longer than {node.timeout:g} s'
            raise TimedOut(message, hint=hint) from None


def _items(node: Node, value: object) -> list[object]:
    if isinstance(value, Mapping | str | bytes) or not hasattr(value, "__iter__"):
        from runner.schema.words import kind_of

        raise TemplateError(
            f'for_each of node "{node.id}" needs a list and got {kind_of(value)}',
            hint="give a list, for example << trigger.body.rows >>",
        )
    items: list[object] = []
    for item in value:
        if len(items) == MAX_ITEMS:
            raise TemplateError(
                f'for_each of node "{node.id}" has more than {MAX_ITEMS:,} items', hint="use flowpost batch"
            )
        items.append(item)
    return items


def _gather(done: list[NodeResult]) -> NodeResult:
    """A list's results as one: failed when any item failed, with the first such item's error, which says its number."""
    failed = [(number, each.error) for number, each in enumerate(done, 1) if each.status is Status.FAILED]
    error = None
    if failed:
        number, first = failed[0]
        more = f" ({len(failed) - 1} more failed)" if len(failed) > 1 else ""
        told = {} if first is None else first
        error = {**told, "message": f"item {number} of {len(done)}: {told.get('message', '')}{more}"}
    return NodeResult(
        status=Status.FAILED if failed else Status.SUCCEEDED,
        attempts=max((result.attempts for result in done), default=0),
        output=[result.output for result in done],
        error=error,
    )
