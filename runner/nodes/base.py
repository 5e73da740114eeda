"""The contract of a node type, and what a node may use while it runs.

A node type is one module here and one schema of the same name in ``schemas/nodes``; there is nothing to
register. The module ends with ``NODE = TheClass``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, Self

from runner.credential import Credential, HttpCredential, SmtpCredential
from runner.errors import FlowpostError
from runner.model import Envelope, Outcome, Retry, Settings, Template

if TYPE_CHECKING:
    from runner.net.http import HttpClient


class Credentials(Protocol):
    """Looks a credential up at the moment of use; raises SecretError or PortError."""

    async def smtp(self, name: str) -> SmtpCredential:
        """The SMTP credential of that name."""
        ...

    async def http(self, name: str) -> HttpCredential:
        """The http credential of that name."""
        ...


class Sender(Protocol):
    """Hands one message to a credential's server; raises a DeliveryError when nobody accepted it."""

    async def send(self, credential: SmtpCredential, envelope: Envelope, data: bytes) -> Outcome:
        """Send ``data`` (CRLF, not dot-stuffed) to the envelope's recipients."""
        ...


class Message(NamedTuple):
    """A message that a node composed: what ``preview`` and ``--dry-run`` show."""

    node: str
    credential: str
    envelope: Envelope
    data: bytes
    text: str | None
    html: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What one attempt of one node may use and know.

    ``key`` names the run, node and item: message ids derive from it. ``progress`` lives through the attempts
    of one node, so that recipients who were served are not served again. With ``rehearsal`` nothing is sent.
    """

    key: tuple[str, ...]
    node: str
    started: datetime
    root: Path
    settings: Settings
    credentials: Credentials
    http: HttpClient
    sender: Sender
    attempt: int = 1
    attempts: int = 1
    rehearsal: bool = False
    progress: dict[str, object] = field(default_factory=dict)
    on_message: Callable[[Message], None] = lambda message: None

    @property
    def last_attempt(self) -> bool:
        """No attempt follows this one."""
        return self.attempt >= self.attempts


class Problem(NamedTuple):
    """A mistake that shows without running: its place in the parameters, and the error it is."""

    pointer: tuple[str | int, ...]
    error: FlowpostError


class References(NamedTuple):
    """What a node asks for, each with its place: credentials as (type, name, place), files, and URLs or hosts
    that the outbound guard will judge.
    """

    credentials: tuple[tuple[str, str, tuple[str | int, ...]], ...] = ()
    files: tuple[tuple[str, tuple[str | int, ...]], ...] = ()
    urls: tuple[tuple[str, tuple[str | int, ...]], ...] = ()


class NotRehearsed(Exception):
    """The node would change the world, so a rehearsal skips it."""


class NodeType(Protocol):
    """Six members; a simple type inherits the defaults and writes ``parse`` and ``run``."""

    RETRY: ClassVar[Retry] = Retry()
    """How often a transient failure is tried again when the flow does not say."""

    @classmethod
    def parse(cls, params: Mapping[str, object]) -> Self:
        """Make the node from rendered parameters; raises a FlowpostError for what cannot be meant."""
        ...

    async def run(self, ctx: Context) -> object:
        """Do the work once and return the output; raises a FlowpostError.

        With ``ctx.rehearsal`` nothing that changes the world may happen; what cannot be done without raises
        ``NotRehearsed``.
        """
        ...

    @classmethod
    def check(cls, params: Mapping[str, object]) -> Iterable[Problem]:
        """Find the mistakes of the parameters that are written out, before any run."""
        return ()

    @classmethod
    def check_credential(cls, params: Mapping[str, object], credential: Credential) -> Iterable[Problem]:
        """Find the mistakes that show when the node's credential, of the right type, is at hand."""
        return ()

    @classmethod
    def references(cls, params: Mapping[str, object]) -> References:
        """Name the credentials and files that the parameters ask for."""
        return References()


def is_literal(value: object) -> bool:
    """Whether a parameter is written out, without a template anywhere inside."""
    if isinstance(value, Mapping):
        return all(is_literal(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(is_literal(item) for item in value)
    return not is_template(value)


def is_template(value: object) -> bool:
    """Whether ``load`` made a template of the parameter."""
    return hasattr(value, "render") and hasattr(value, "source")


def render(value: object, scope: Mapping[str, object]) -> object:
    """Render every template in a tree of parameters; raises TemplateError."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {key: render(item, scope) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [render(item, scope) for item in value]
    if is_template(value):
        template: Template = value  # type: ignore[assignment]
        return template.render(scope)
    return value


def credential_reference(
    params: Mapping[str, object], kind: str
) -> Iterator[tuple[str, str, tuple[str | int, ...]]]:
    """The ``credential`` parameter, when it is there."""
    name = params.get("credential")
    if isinstance(name, str):
        yield kind, name, ("credential",)
