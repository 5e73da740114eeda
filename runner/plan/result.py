"""A plan as a value: everything that is told of it, as text, JSON or Markdown. Its size does not grow with the rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from runner.credential import Rate
from runner.engine.rehearse import Unforeseen
from runner.ledger.estimate import estimate
from runner.model import Delivery
from runner.plan.compare import Change
from runner.plan.face import Face

MAX_TOLD = 1_000
"""Bad rows that are told one by one."""
MAX_REASONS = 20


@dataclass(frozen=True, slots=True)
class Place:
    """A row: its number from 1, and the line of the file that it begins at (None: the body was given by hand)."""

    row: int
    line: int | None = None

    def __str__(self) -> str:
        return "the body" if self.line is None else f"row {self.row:,} (line {self.line:,})"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be sent, and why."""

    place: Place
    code: str
    message: str
    hint: str | None = None


@dataclass(slots=True)
class BadRows:
    """Bad rows: all are counted, the first ones are kept."""

    count: int = 0
    first: list[BadRow] = field(default_factory=list)

    def add(self, place: Place, code: str, message: str, hint: str | None = None) -> None:
        """Count one, and keep it while there is room."""
        self.count += 1
        if len(self.first) < MAX_TOLD:
            self.first.append(BadRow(place, code, message, hint))

    def by_reason(self) -> Iterator[tuple[BadRow, list[int]]]:
        """Each reason among those that are kept, with the numbers of its rows: first come, first told."""
        found: dict[str, tuple[BadRow, list[int]]] = {}
        for bad in self.first:
            found.setdefault(bad.message, (bad, []))[1].append(bad.place.row)
        yield from found.values()


@dataclass(frozen=True, slots=True)
class First:
    """The first message of a node: whom it is for, where it goes, and what it looks like."""

    place: Place
    face: Face
    recipients: tuple[str, ...]
    goes_to: tuple[str, ...]


@dataclass(slots=True)
class NodePlan:
    """What one smtp node sends. ``unforeseen`` counts messages that cannot be known before they are sent."""

    node: str
    credential: str | None
    messages: int = 0
    recipients: int = 0
    first: First | None = None
    unforeseen: int = 0
    perhaps: int = 0
    because: Unforeseen | None = None


@dataclass(slots=True)
class CredentialPlan:
    """What goes through one credential.

    ``recipients`` are without those of the ``unforeseen`` messages. ``rates`` None means that they are not known;
    ``note`` says why, or ``wrong`` when that must be mended.
    """

    name: str
    messages: int = 0
    recipients: int = 0
    unforeseen: int = 0
    rates: tuple[Rate, ...] | None = ()
    note: str | None = None
    wrong: str | None = None

    @property
    def seconds(self) -> float | None:
        """How long its messages take at its rates; None when nobody knows."""
        return None if self.rates is None else estimate(self.messages, self.rates)


@dataclass(slots=True)
class Changed:
    """One change and how many messages have it; the first of them is the example."""

    node: str
    place: Place
    recipients: tuple[str, ...]
    change: Change
    count: int = 1


@dataclass(slots=True)
class Against:
    """What has changed since a revision.

    ``note`` says why nothing could be compared. ``more_kinds`` and ``more_messages`` are changes that are counted
    and not shown. ``broken`` are rows that could be sent then and cannot now, ``mended`` the other way round.
    """

    revision: str
    commit: str
    note: str | None = None
    new_flow: bool = False
    compared: int = 0
    unchanged: int = 0
    changed: int = 0
    added: int = 0
    removed: int = 0
    broken: int = 0
    mended: int = 0
    changes: list[Changed] = field(default_factory=list)
    more_kinds: int = 0
    more_messages: int = 0
    first_added: Place | None = None
    first_broken: Place | None = None
    first_removed: tuple[Place, str] | None = None


@dataclass(slots=True, kw_only=True)
class Plan:
    """The whole answer of ``flowpost plan``."""

    flow: str
    path: str
    data: str | None
    delivery: Delivery
    rows: int = 0
    silent: int = 0
    bad: BadRows = field(default_factory=BadRows)
    refused: BadRows = field(default_factory=BadRows)
    repeated: list[tuple[Place, Place]] = field(default_factory=list)
    repeats: int = 0
    nodes: dict[str, NodePlan] = field(default_factory=dict)
    credentials: dict[str, CredentialPlan] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    against: Against | None = None

    @property
    def messages(self) -> int:
        """Messages that leave, or would if nothing was captured; those that only may be sent are not in it."""
        return sum(node.messages + node.unforeseen for node in self.nodes.values())

    @property
    def recipients(self) -> int:
        """Whom they are for, as far as that is known."""
        return sum(node.recipients for node in self.nodes.values())

    @property
    def ok(self) -> bool:
        """Whether every row could be sent as it is."""
        wrong = any(credential.wrong for credential in self.credentials.values())
        return not (self.bad.count or self.refused.count or self.repeats or wrong)
