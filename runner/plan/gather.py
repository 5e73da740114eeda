"""Row after row is rehearsed, counted and compared; what is kept does not grow with them."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING

from runner.errors import FlowpostError, UsageError
from runner.model import Event
from runner.plan.compare import Difference, compare
from runner.plan.face import face
from runner.plan.result import Changed, CredentialPlan, First, NodePlan, Place, Plan
from runner.plan.whereto import Router

if TYPE_CHECKING:
    from runner.engine.rehearse import Rehearsal, Rehearsed, Unforeseen
    from runner.nodes.base import Message
    from runner.plan.wallet import Wallet
    from runner.rows.row import Row

MAX_KINDS = 10_000
"""Different changes that are told apart."""
MAX_REPEATED = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """One event to plan: a row of a file, or a body given by hand. ``error`` says why it cannot be used."""

    place: Place
    event: Event
    error: FlowpostError | None = None


@dataclass(slots=True)
class Gatherer:
    """Fills ``plan``. ``before`` is the flow of the revision to compare with; ``limit`` changes are kept."""

    plan: Plan
    now: Rehearsal
    wallet: Wallet
    before: Rehearsal | None = None
    key: str | None = None
    limit: int = 5
    progress: Callable[[int], None] = lambda rows: None
    _kinds: dict[bytes, int] = field(default_factory=dict)
    _router: Router = field(init=False)
    _keys: array[int] = field(default_factory=lambda: array("Q"))
    _rows: array[int] = field(default_factory=lambda: array("Q"))
    _lines: array[int] = field(default_factory=lambda: array("Q"))

    def __post_init__(self) -> None:
        self._router = Router(self.plan.delivery)

    async def gather(self, entries: Iterable[Entry]) -> Plan:
        """Plan every entry."""
        for entry in entries:
            self.plan.rows += 1
            await self._entry(entry)
            if self.plan.rows % 500 == 0:
                self.progress(self.plan.rows)
                # So that Ctrl-C is heard: nothing else in here ever waits.
                await asyncio.sleep(0)
        self._find_repeated()
        await self._price()
        return self.plan

    async def _entry(self, entry: Entry) -> None:
        if entry.error is not None:
            self._bad(entry.place, entry.error)
            return
        run_id = f"plan-{entry.place.row}"
        found = await self.now.rehearse(entry.event, run_id)
        error = self._note_key(entry) or found.error
        if found.problems:
            told = "; ".join(f"{problem.pointer or '/'}: {problem.message}" for problem in found.problems)
            self.plan.bad.add(entry.place, "schema", told)
        elif error is not None:
            self._bad(entry.place, error)
        else:
            self._count(entry.place, found)
        if self.before is not None and self.plan.against is not None:
            await self._compare(entry, run_id, found)

    def _bad(self, place: Place, error: FlowpostError) -> None:
        self.plan.bad.add(place, error.code, error.message, error.hint)

    def _count(self, place: Place, found: Rehearsed) -> None:
        if not found.messages and not any(each.type == "smtp" for each in found.unforeseen):
            self.plan.silent += 1
        for message in found.messages:
            where = self._router.route(message.envelope.recipients)
            if where.refused:
                self.plan.refused.add(
                    place,
                    "EBLOCKED",
                    f'node "{message.node}": not in delivery.allow: {", ".join(where.refused)}',
                )
                continue
            node = self._node(message.node, message.credential)
            node.messages += 1
            node.recipients += len(message.envelope.recipients)
            if node.first is None:
                node.first = First(place, face(message), message.envelope.recipients, where.goes_to)
            credential = self._credential(message.credential)
            credential.messages += 1
            credential.recipients += len(message.envelope.recipients)
        for each in found.unforeseen:
            if each.type == "smtp":
                self._count_unforeseen(each)
        for failure in found.failures:
            text = f'{place}: node "{failure.node}" fails and the flow goes on: {failure.error["message"]}'
            if len(self.plan.notes) < 20:
                self.plan.notes.append(text)

    def _count_unforeseen(self, each: Unforeseen) -> None:
        node = self._node(each.node, each.credential)
        node.because = node.because or each
        if not each.certain:
            node.perhaps += 1
            return
        node.unforeseen += 1
        if each.credential is not None:
            credential = self._credential(each.credential)
            credential.messages += 1
            credential.unforeseen += 1

    def _node(self, name: str, credential: str | None) -> NodePlan:
        return self.plan.nodes.setdefault(name, NodePlan(name, credential))

    def _credential(self, name: str) -> CredentialPlan:
        return self.plan.credentials.setdefault(name, CredentialPlan(name))

    async def _price(self) -> None:
        """Rates of the credentials; why they are not known, where one cannot be opened."""
        wallet = self.wallet
        for name, found in self.plan.credentials.items():
            # One that only unforeseen messages use was not asked for yet.
            await wallet.smtp(name)
            if name in wallet.known:
                found.rates = wallet.known[name].rates
                continue
            found.rates = None
            if name in wallet.wrong:
                found.wrong = wallet.wrong[name].message
            else:
                found.note = wallet.closed[name].message

    def _note_key(self, entry: Entry) -> FlowpostError | None:
        """Remember the row's key; the error of a row that has none."""
        if self.key is None:
            return None
        body = entry.event.body
        if not isinstance(body, Mapping) or body.get(self.key) in (None, ""):
            return UsageError(f'"{self.key}" is missing or empty, and --key says that it tells rows apart')
        digest = blake2b(str(body[self.key]).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        self._keys.append(int.from_bytes(digest, "big"))
        self._rows.append(entry.place.row)
        self._lines.append(entry.place.line or 0)
        return None

    def _find_repeated(self) -> None:
        ordered = sorted(self._keys)
        twice = {one for one, other in pairwise(ordered) if one == other}
        first: dict[int, Place] = {}
        if not twice:
            return
        for key, row, line in zip(self._keys, self._rows, self._lines, strict=True):
            if key not in twice:
                continue
            place = Place(row, line or None)
            if first.setdefault(key, place) is place:
                continue
            self.plan.repeats += 1
            if len(self.plan.repeated) < MAX_REPEATED:
                self.plan.repeated.append((first[key], place))

    async def _compare(self, entry: Entry, run_id: str, found: Rehearsed) -> None:
        assert self.before is not None
        against = self.plan.against
        assert against is not None
        before = await self.before.rehearse(entry.event, run_id)
        if before.error is not None or found.error is not None:
            if found.error is None:
                against.mended += 1
            elif before.error is None:
                against.broken += 1
                against.first_broken = against.first_broken or entry.place
            return
        for old, new in _paired(before.messages, found.messages):
            against.compared += 1
            if old is None and new is not None:
                against.added += 1
                against.first_added = against.first_added or entry.place
            elif old is not None and new is None:
                against.removed += 1
                against.first_removed = against.first_removed or (entry.place, old.node)
            elif old is not None and new is not None:
                difference = compare(old, new, entry.event.body)
                if difference is None:
                    against.unchanged += 1
                else:
                    against.changed += 1
                    self._note_change(difference, entry.place, new)

    def _note_change(self, difference: Difference, place: Place, message: Message) -> None:
        against = self.plan.against
        assert against is not None
        kind = blake2b(difference.kind + message.node.encode(), digest_size=16).digest()
        number = self._kinds.get(kind)
        if number is not None and number < len(against.changes):
            against.changes[number].count += 1
            return
        if number is None and len(against.changes) < self.limit:
            self._kinds[kind] = len(against.changes)
            against.changes.append(
                Changed(message.node, place, message.envelope.recipients, difference.change())
            )
            return
        against.more_messages += 1
        if number is None and len(self._kinds) < MAX_KINDS:
            self._kinds[kind] = MAX_KINDS
            against.more_kinds += 1


def events(rows: Iterable[Row], moment: datetime) -> Iterator[Entry]:
    """The rows of a file as entries."""
    for row in rows:
        place = Place(row.number, row.line)
        yield Entry(place, Event(type="batch", body=row.body, time=moment), row.error)


def _paired(
    before: tuple[Message, ...], after: tuple[Message, ...]
) -> Iterator[tuple[Message | None, Message | None]]:
    """Messages of the same node, in order; a node that was renamed meets its old self when both stand alone."""
    old: dict[str, list[Message]] = {}
    for message in before:
        old.setdefault(message.node, []).append(message)
    new: list[Message] = []
    for message in after:
        same = old.get(message.node)
        if same:
            yield same.pop(0), message
        else:
            new.append(message)
    gone = [message for same in old.values() for message in same]
    if len(gone) == len(new) == 1:
        yield gone[0], new[0]
        return
    for message in new:
        yield None, message
    for message in gone:
        yield message, None
