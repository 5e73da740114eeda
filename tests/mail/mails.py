"""Messages for the tests, and what a reader must find in them."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime, timedelta, timezone
from email.message import EmailMessage
from typing import Any

import rawmail

from runner.mail.address import Address
from runner.mail.compose import Composed, compose
from runner.mail.message import Mail

DATE = datetime(2026, 3, 4, 5, 6, 7, tzinfo=timezone(timedelta(hours=1)))
UTC_DATE = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SENDER = Address("Acme", "news@acme.example")
BOB = Address("Bob", "bob@example.com")


def mail(**fields: Any) -> Mail:
    """A small message with ``fields`` put in."""
    base: dict[str, Any] = {
        "sender": SENDER,
        "to": (BOB,),
        "subject": "hello",
        "text": "hi",
        "message_id": "<m1@acme.example>",
        "date": DATE,
    }
    return Mail(**(base | fields))


def lines(text: str | None) -> str:
    """A body as it must arrive: every line end CRLF."""
    return (text or "").replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")


def whole(text: str) -> str:
    """Text in which every lone surrogate, which has no octets, is U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def stdlib(composed: Composed) -> EmailMessage:
    """The message as the standard library reads it."""
    message = email.message_from_bytes(composed.data, policy=email.policy.SMTPUTF8)
    assert isinstance(message, EmailMessage)
    return message


def written(meant: Mail) -> tuple[Composed, rawmail.Entity]:
    """``meant`` composed, read back by the strict reader, and compared with what was meant in every field."""
    composed = compose(meant)
    found = rawmail.read(composed.data, utf8=composed.envelope.smtputf8)
    expected = [
        "Date",
        "From",
        *(["Reply-To"] if meant.reply_to else []),
        "To",
        *(["Cc"] if meant.cc else []),
    ]
    names = [name for name, _ in found.headers]
    assert names[: len(expected)] == expected
    assert [name for name in names if name.lower() in ("bcc", "sender")] == []
    assert (
        len({name for name in names if not name.startswith("X-")})
        == len([name for name in names if not name.startswith("X-")])
        or meant.headers
    )
    assert addresses(found, "From") == pairs((meant.sender,))
    assert (addresses(found, "To") if meant.to else found.all("To")) == (
        pairs(meant.to) or ["undisclosed-recipients:;"]
    )
    assert addresses(found, "Cc") == pairs(meant.cc)
    assert addresses(found, "Reply-To") == pairs((meant.reply_to,) if meant.reply_to else ())
    assert rawmail.text(found.one("Subject")) == whole(meant.subject)
    custom = found.headers[names.index("MIME-Version") - len(meant.headers) : names.index("MIME-Version")]
    assert [(name, rawmail.text(value)) for name, value in custom] == [
        (name, whole(value)) for name, value in meant.headers
    ]
    _compare_parts(found, meant)
    return composed, found


def addresses(found: rawmail.Entity, name: str) -> list[tuple[str, str]]:
    return [box for value in found.all(name) for box in rawmail.mailboxes(value)]


def pairs(meant: tuple[Address, ...]) -> list[tuple[str, str]]:
    return [(whole(address.display_name), address.wire) for address in meant]


def _compare_parts(found: rawmail.Entity, meant: Mail) -> None:
    leaves = found.leaves()
    bodies = [("text/plain", meant.text)] if meant.text is not None or meant.html is None else []
    bodies += [("text/html", meant.html)] if meant.html is not None else []
    shown = [item for item in meant.attachments if item.cid is not None and meant.html is not None]
    rest = [item for item in meant.attachments if item not in shown]
    assert len(leaves) == len(bodies) + len(meant.attachments)
    for (kind, text), leaf in zip(bodies, leaves, strict=False):
        assert leaf.type == kind
        assert leaf.parameter("Content-Type", "charset") == "utf-8"
        content = leaf.content().decode()
        if len(leaves) == 1:
            content = content.removesuffix("\r\n")
            assert content == whole(lines(text)).removesuffix("\r\n")
        else:
            assert content == whole(lines(text))
    for item, leaf in zip([*shown, *rest], leaves[len(bodies) :], strict=True):
        assert leaf.content() == item.data
        assert leaf.parameter("Content-Disposition", "filename") == whole(item.filename)
        if item.cid is not None:
            assert leaf.one("Content-ID") == f"<{item.cid}>"
