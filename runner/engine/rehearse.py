"""What a flow would send for one event, by the one road there is, with nothing opened and nothing sent.

No http node makes a request here. It counts as answered, and what it would answer is not known: a node that
needs that answer is *unforeseen*, which is no failure. An attachment from a URL is stood in for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from runner.engine.execute import Execution
from runner.engine.offline import Later, Offline, Once, StandIns
from runner.engine.scope import base_scope
from runner.errors import FlowpostError, UsageError
from runner.model import Event, Flow, Node, NodeResult, OnError, Status
from runner.nodes.base import Context, Message, NodeType, NotRehearsed
from runner.nodes.prepared import PreparedSmtp
from runner.schema.problems import Problem


class Unforeseen(NamedTuple):
    """A node that cannot be known before it runs: it needs what the node ``needs`` answers.

    ``credential`` is that of an smtp node, where it is written out. ``certain`` is false when even its ``when``
    or ``for_each`` needs the answer, so that nobody knows whether, or how often, it runs.
    """

    node: str
    type: str
    needs: str
    credential: str | None = None
    certain: bool = True

    def __str__(self) -> str:
        whether = "" if self.certain else " whether it runs"
        return f'node "{self.node}":{whether} cannot be known before it runs: it needs the answer of "{self.needs}"'


class NodeFailure(NamedTuple):
    """A node that fails; ``error`` is ``FlowpostError.as_dict()``, ``stops`` what ``on_error`` makes of it."""

    node: str
    error: Mapping[str, object]
    stops: bool

    def exception(self) -> FlowpostError:
        """The error again, of its own class, with the node's id in front."""
        kind = next(
            (kind for kind in _kinds(FlowpostError) if kind.code == self.error["code"]), FlowpostError
        )
        hint = self.error["hint"]
        return kind(
            f'node "{self.node}": {self.error["message"]}',
            hint=None if hint is None else str(hint),
            transient=bool(self.error["transient"]),
        )


class Rehearsed(NamedTuple):
    """What one event comes to.

    ``problems`` are what the body schema says against the event's body; when there are any, nothing was rendered.
    """

    messages: tuple[Message, ...] = ()
    unforeseen: tuple[Unforeseen, ...] = ()
    failures: tuple[NodeFailure, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def error(self) -> FlowpostError | None:
        """Why the run would fail: the body, or the node that stops it. None when it would not."""
        if self.problems:
            told = "; ".join(f"{problem.pointer or '/'}: {problem.message}" for problem in self.problems)
            return UsageError(f"the body does not match the body schema: {told}")
        return next((failure.exception() for failure in self.failures if failure.stops), None)


class Rehearsal:
    """Rehearses one flow for any number of events.

    ``context`` says which settings (delivery mode, vars), credentials and date hold; a credential is looked up
    once. ``coerce`` is applied to each body first: cells of a CSV become what the body schema asks for.
    """

    def __init__(
        self, flow: Flow, context: Context, coerce: Callable[[object], object] | None = None
    ) -> None:
        from runner.schema import unaudited_checker

        self.flow = flow
        self._coerce = coerce
        self._checker = None if flow.body is None else unaudited_checker(flow.body)
        self._context = replace(
            context, rehearsal=True, credentials=Once(context.credentials), http=Offline()
        )
        self._prepared = _prepare(flow, self._context)

    async def messages(self, event: Event, run_id: str) -> list[Message]:
        """The messages that the flow would send for ``event``, without those that are unforeseen.

        Raises UsageError for a body that the schema refuses, else the FlowpostError of the node that stops the
        run, with the node's id.
        """
        found = await self.rehearse(event, run_id)
        if found.error is not None:
            raise found.error
        return list(found.messages)

    async def rehearse(self, event: Event, run_id: str) -> Rehearsed:
        """Everything that can be known of the run ``run_id`` of ``event``. Raises nothing for an event's sake."""
        if self._coerce is not None:
            event = replace(event, body=self._coerce(event.body))
        if self._checker is not None and not self._checker.valid(event.body):
            problems = tuple(self._checker.problems(event.body))
            if problems:
                return Rehearsed(problems=problems)
        if self._prepared is not None:
            return await self._fill(self._prepared, event, run_id)
        messages: list[Message] = []
        execution = _Execution(context=replace(self._context, on_message=messages.append))
        run = await execution.run(self.flow, event, run_id)
        stopping = {node.id for node in self.flow.nodes if node.on_error is OnError.STOP}
        failures = tuple(
            NodeFailure(name, result.error, name in stopping)
            for name, result in run.nodes.items()
            if result.status is Status.FAILED and result.error is not None
        )
        return Rehearsed(tuple(messages), tuple(execution.unforeseen), failures)

    async def _fill(self, prepared: PreparedSmtp, event: Event, run_id: str) -> Rehearsed:
        """The same for a flow of one smtp node, several times as fast."""
        [node] = self.flow.nodes
        context = self._context
        scope = base_scope(self.flow, event, run_id, context.settings.vars)
        try:
            if node.when is not None and not node.when.render(scope):
                return Rehearsed()
            credential = await context.credentials.smtp(prepared.credential)
            key = (context.settings.workspace, run_id, node.id)
            filled = prepared.fill(scope, credential, key, context.started)
        except FlowpostError as error:
            return Rehearsed(failures=(NodeFailure(node.id, error.as_dict(), node.on_error is OnError.STOP),))
        message = Message(
            node=node.id,
            credential=prepared.credential,
            envelope=filled.envelope,
            data=filled.data,
            text=filled.text,
            html=filled.html,
        )
        return Rehearsed((message,))


def _prepare(flow: Flow, context: Context) -> PreparedSmtp | None:
    """The flow's only node, prepared, where it is one smtp node that waits for nothing; else None."""
    node = flow.nodes[0]
    if len(flow.nodes) > 1 or node.for_each is not None or node.timeout is not None:
        return None
    if not isinstance(node.params.get("credential"), str):
        return None
    return PreparedSmtp.of(node, context.settings, context.root)


@dataclass(frozen=True, kw_only=True)
class _Execution(Execution):
    """An execution whose http nodes leave ``Later`` as their output."""

    touched: list[str] = field(default_factory=list)
    unforeseen: list[Unforeseen] = field(default_factory=list)

    async def _attempt(
        self, kind: type[NodeType], node: Node, scope: Mapping[str, object], context: Context
    ) -> object:
        if node.type == "smtp":
            context = replace(context, http=StandIns())
        try:
            return await super()._attempt(kind, node, scope, context)
        except NotRehearsed:
            return Later(node.id, self.touched)

    async def _node(self, node: Node, scope: Mapping[str, object], run_id: str) -> NodeResult:
        self.touched.clear()
        result = await super()._node(node, scope, run_id)
        if result.status is not Status.FAILED or not self.touched:
            return result
        credential = node.params.get("credential")
        self.unforeseen.append(
            Unforeseen(
                node=node.id,
                type=node.type,
                needs=self.touched[0],
                credential=credential if isinstance(credential, str) else None,
                # Without an attempt it was `when` or `for_each` that could not be evaluated.
                certain=result.attempts > 0,
            )
        )
        return NodeResult(status=Status.SUCCEEDED, output=Later(self.touched[0], self.touched))


def _kinds(kind: type[FlowpostError]) -> Iterator[type[FlowpostError]]:
    yield kind
    for inner in kind.__subclasses__():
        yield from _kinds(inner)
