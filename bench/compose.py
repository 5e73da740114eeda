"""How long a message takes to write, beside the standard library's ``EmailMessage``.

Run: ``python bench/compose.py``. Times are the best of several rounds, in microseconds of CPU a message; on a busy
machine only the ratio means something.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.headerregistry import Address as StdlibAddress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from runner.mail.address import Address
from runner.mail.compose import compose
from runner.mail.message import Mail
from runner.mail.verify import verify

DATE = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
HTML = (
    "<html><body>"
    + "".join(
        f"<p>Hello Zoë, this is paragraph {i} of what we wanted to tell you today.</p>\n" for i in range(48)
    )
    + "</body></html>\n"
)
TEXT = "".join(f"Hello, this is paragraph {i} of what we wanted to tell you today.\n" for i in range(48))


def ours() -> Mail:
    return Mail(
        sender=Address("Acme News", "news@acme.example"),
        to=(Address("Zoë Example", "zoe@example.com"),),
        subject="Welcome to Acme, Zoë!",
        text=TEXT,
        html=HTML,
        message_id="<0123456789abcdef@acme.example>",
        date=DATE,
    )


def stdlib() -> bytes:
    message = EmailMessage(policy=SMTP)
    message["Date"] = format_datetime(DATE)
    message["From"] = StdlibAddress("Acme News", addr_spec="news@acme.example")
    message["To"] = StdlibAddress("Zoë Example", addr_spec="zoe@example.com")
    message["Subject"] = "Welcome to Acme, Zoë!"
    message["Message-ID"] = "<0123456789abcdef@acme.example>"
    message.set_content(TEXT)
    message.add_alternative(HTML, subtype="html")
    return message.as_bytes()


def microseconds(action: Callable[[], object], times: int, rounds: int = 9) -> float:
    best = float("inf")
    for _ in range(rounds):
        begin = time.process_time()
        for _ in range(times):
            action()
        best = min(best, (time.process_time() - begin) / times)
    return best * 1e6


def main() -> None:
    composed = compose(ours())
    whole = microseconds(lambda: compose(ours()), 400)
    checked = microseconds(lambda: verify(composed.envelope, composed.data, ours()), 400)
    built = microseconds(ours, 400)
    theirs = microseconds(stdlib, 40)
    print(f"message: {len(HTML)} of HTML, {len(TEXT)} of text, {len(composed.data)} octets written")
    print(f"compose        {whole:8.1f} us   of which the last look {checked - built:.1f} us")
    print(f"EmailMessage   {theirs:8.1f} us   ratio {theirs / whole:.1f}")


if __name__ == "__main__":
    main()
