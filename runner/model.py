"""Frozen values that every floor shares: flow, node, event, run, envelope, outcome. One word, one meaning.

*flow* (a file), *trigger*, *event* (one firing with its body), *node*, *run* (one flow for one event), *attempt*,
*envelope* (who sends to whom, as SMTP sees it), *outcome* (what the server said).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from runner.diagnostic import Position


class Template(Protocol):
    """What ``load`` makes of a text with ``<< >>`` in it; ``runner.template`` implements it."""

    source: str

    def render(self, scope: Mapping[str, object]) -> Any:
        """Render with the names of ``scope``; raises TemplateError with file, line and field."""
        ...


# The two are made for every address of every message: a tuple costs half of what a frozen data class does.
class Fixed(NamedTuple):
    """A part of an address field that the flow's author wrote."""

    text: str


class Given(NamedTuple):
    """A part of an address field that came from a value: it is one address or one name, or a list of addresses.

    ``expand`` is true when the author wrote ``| addresses``: the string may hold several, comma-separated.
    """

    value: object
    expand: bool = False


Pieces = tuple[Fixed | Given, ...]
"""What an address field renders to: the author's text and the values in it, kept apart."""


class BodyAsHtml(str):
    """What ``html_body`` renders to where its own template comes to nothing: ``body``, rendered as HTML."""

    __slots__ = ()


class OnError(StrEnum):
    """What a node's failure does to the run."""

    STOP = "stop"
    CONTINUE = "continue"


class Retry(NamedTuple):
    """How often and when a transient failure is tried again; ``delay`` doubles up to ``max_delay`` (seconds)."""

    attempts: int = 1
    delay: float = 30.0
    max_delay: float = 3600.0


class Node(NamedTuple):
    """One step of a flow. ``params`` is a tree of plain values and templates; ``retry`` None means the type's own."""

    id: str
    type: str
    params: Mapping[str, object]
    when: Template | None = None
    for_each: Template | None = None
    on_error: OnError = OnError.STOP
    retry: Retry | None = None
    timeout: float | None = None
    position: Position = Position()


class Trigger(NamedTuple):
    """What starts a flow: ``webhook``, ``schedule`` or ``files``, with its parameters."""

    type: str
    params: Mapping[str, object]
    position: Position = Position()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A flow file that passed every check of ``load``. ``path`` is relative to the workspace.

    ``sources`` are the files that it was made of, by name: itself and the templates it uses. Loaded again from
    them it is the same flow, whatever the workspace holds by then.
    """

    name: str
    path: str
    digest: str
    nodes: tuple[Node, ...]
    description: str = ""
    triggers: tuple[Trigger, ...] = ()
    body: Mapping[str, object] | None = None
    sources: Mapping[str, bytes] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One firing: what ``trigger.*`` reads. ``time`` carries its zone."""

    type: str
    body: object
    time: datetime
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.time.tzinfo is None:
            raise ValueError("an event's time needs a zone")


class Accepted(NamedTuple):
    """An event that is on disk. ``repeated``: its key was known, and this is the first run's id."""

    run_id: str
    repeated: bool


class Status(StrEnum):
    """How a node or a run ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


class NodeResult(NamedTuple):
    """What a node left for later nodes and for the history. ``error`` is ``FlowpostError.as_dict()``."""

    status: Status
    attempts: int = 0
    output: object = None
    error: Mapping[str, object] | None = None

    def as_dict(self) -> dict[str, object]:
        """The node as ``run --format json`` prints it."""
        return {
            "status": str(self.status),
            "attempts": self.attempts,
            "output": self.output,
            "error": None if self.error is None else dict(self.error),
        }


class Run(NamedTuple):
    """One flow for one event, ended."""

    id: str
    flow: str
    status: Status
    nodes: Mapping[str, NodeResult]

    def as_dict(self) -> dict[str, object]:
        """The run as ``run --format json`` prints it."""
        return {
            "run_id": self.id,
            "flow": self.flow,
            "status": str(self.status),
            "nodes": {name: result.as_dict() for name, result in self.nodes.items()},
        }


class Envelope(NamedTuple):
    """Who sends to whom, as MAIL FROM and RCPT TO carry it: bare addr-specs, domains in ASCII.

    ``smtputf8`` is true when an address has a non-ASCII local part, so that the server must offer SMTPUTF8.
    """

    sender: str
    recipients: tuple[str, ...]
    smtputf8: bool = False


class Rejection(NamedTuple):
    """A recipient that the server refused, with its reply."""

    address: str
    code: int
    enhanced_code: str | None
    message: str

    @property
    def transient(self) -> bool:
        """4xx: may be accepted later."""
        return 400 <= self.code < 500


class Outcome(NamedTuple):
    """What one transaction came to: at least one recipient was accepted and the server took the message."""

    accepted: tuple[str, ...]
    rejected: tuple[Rejection, ...]
    response: str


class Attachment(NamedTuple):
    """A file to send: its octets are at hand. ``cid`` makes it an inline part of the HTML body."""

    filename: str
    content_type: str
    data: bytes
    cid: str | None = None


class Delivery(NamedTuple):
    """The operator's delivery mode: ``live``, ``redirect``, ``allowlist`` or ``capture``."""

    mode: str = "live"
    to: str | None = None
    allow: Sequence[str] = ()


class Settings(NamedTuple):
    """flowpost.yaml, with every default filled in. Folders are relative to the workspace's root, times in seconds.

    ``http_rate``: so many requests in so many seconds for each webhook; None, without end.
    """

    workspace: str = "default"
    flows: str = "flows"
    templates: str = "templates"
    secrets: str = "secrets"
    database: str = "sqlite:///.flowpost/state.db"
    http_host: str = "127.0.0.1"
    http_port: int = 8480
    http_max_body: int = 1024 * 1024
    http_rate: tuple[int, float] | None = None
    history_keep: float = 30 * 86400.0
    network_allow: tuple[str, ...] = ()
    vars: Mapping[str, object] = MappingProxyType({})
    delivery: Delivery = Delivery()
