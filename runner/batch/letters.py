"""A row's body, checked, and the message that a flow of one smtp node makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.credential import SmtpCredential
from runner.engine.scope import base_scope, with_body
from runner.errors import FlowpostError, UsageError
from runner.model import Event, Flow, Retry, Settings
from runner.nodes import node_type
from runner.nodes.blank import Draft
from runner.nodes.prepared import PreparedSmtp
from runner.rows import RowFile, coercer
from runner.schema import unaudited_checker

if TYPE_CHECKING:
    from runner.batch.keys import First
    from runner.rows import Row

EVENT = "batch"
"""What ``trigger.type`` is in a batch."""


class Bodies:
    """Makes ``trigger.body`` of a row: cells become what the flow's body schema says, and are checked against it."""

    def __init__(self, flow: Flow, file: RowFile, key: str | None) -> None:
        self.key = key
        self.excluded: Mapping[int, First] = {}
        """Rows that are left out, whatever they hold: their key stands in an earlier one."""
        self._coerce: Callable[[dict[str, str]], dict[str, Any]] | None = None
        self._checker = None
        if flow.body is not None:
            self._checker = unaudited_checker(flow.body)
            if file.format == "csv":
                self._coerce = coercer(flow.body)

    def of(self, row: Row, *, check: bool = True) -> dict[str, Any]:
        """The body; raises the row's own error, or UsageError for what does not match the schema."""
        if row.error is not None:
            raise row.error
        if row.number in self.excluded:
            raise self.excluded[row.number].error
        if check:
            self.key_of(row)
        body: dict[str, Any] = row.body if self._coerce is None else self._coerce(row.body)
        if check and self._checker is not None and not self._checker.valid(body):
            found = "; ".join(
                f"{problem.pointer or '/'}: {problem.message}" for problem in self._checker.problems(body)
            )
            if found:
                raise UsageError(f"the row does not match the flow's body schema: {found}")
        return body

    def key_of(self, row: Row) -> str | None:
        """What ``--key`` makes of the row; UsageError when it has no such value."""
        if self.key is None:
            return None
        value = row.body.get(self.key)
        if value is None or value == "" or isinstance(value, dict | list):
            raise UsageError(f'the row has no value for the key "{self.key}"')
        return str(value)


class Letters:
    """Fills one flow's one message for row after row."""

    def __init__(
        self, flow: Flow, prepared: PreparedSmtp, settings: Settings, batch_id: str, time: datetime
    ) -> None:
        self.node = flow.nodes[0]
        self.prepared = prepared
        self._settings = settings
        self._batch_id = batch_id
        self._time = time
        self._blank = base_scope(flow, Event(type=EVENT, body=None, time=time), batch_id, settings.vars)

    @classmethod
    def of(cls, flow: Flow, settings: Settings, root: Path, batch_id: str, time: datetime) -> Letters | None:
        """None for a flow that is more than one message a row: it takes the general road."""
        if len(flow.nodes) != 1:
            return None
        node = flow.nodes[0]
        if node.type != "smtp" or node.for_each is not None or node.timeout is not None:
            return None
        prepared = PreparedSmtp.of(node, settings, root)
        return None if prepared is None else cls(flow, prepared, settings, batch_id, time)

    @property
    def credential(self) -> str:
        """The name of the credential that every row uses."""
        return self.prepared.credential

    @property
    def retry(self) -> Retry:
        """How often a row is tried that failed for now."""
        return self.node.retry or node_type(self.node.type).RETRY

    def fill(self, number: int, body: Mapping[str, Any], credential: SmtpCredential) -> Draft | None:
        """The row's message; None when the node's ``when`` says no. Raises the node's own errors."""
        scope = with_body(self._blank, body, row_id(self._batch_id, number))
        if self.node.when is not None and not self.node.when.render(scope):
            return None
        return self.prepared.outgoing(scope, credential, self._key(number), self._time)

    def message_id(
        self, number: int, body: Callable[[], Mapping[str, Any]], credential: SmtpCredential
    ) -> str | None:
        """The id of the row's message in every attempt; None when it has none, or cannot be written any more."""
        try:
            known = self.prepared.message_id(credential, self._key(number))
            if known is not None:
                return known
            draft = self.fill(number, body(), credential)
        except FlowpostError:
            return None
        return None if draft is None else draft.message_id

    def _key(self, number: int) -> tuple[str, str, str]:
        return self._settings.workspace, row_id(self._batch_id, number), self.node.id


def row_id(batch_id: str, number: int) -> str:
    """The run of a row: ids of messages derive from it, so that a row has the same in every attempt."""
    return f"{batch_id}/{number}"
