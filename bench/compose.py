"""How long a message takes to write: by ``compose``, by a prepared node from a row's scope, by the node itself, and
by the standard library's ``EmailMessage``.

Run: ``python bench/compose.py``. Times are the best of many turns that the roads take one after another, in
microseconds a message; on a busy machine only the ratios mean something.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.headerregistry import Address as StdlibAddress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from runner.credential import Encryption, SmtpCredential
from runner.engine.scope import base_scope
from runner.load import load_flow
from runner.mail.address import Address
from runner.mail.compose import compose
from runner.mail.message import Mail
from runner.mail.verify import verify
from runner.model import Event, Settings
from runner.nodes.base import render
from runner.nodes.prepared import PreparedSmtp
from runner.nodes.smtp import Smtp, addressed, sender_of

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


PARAGRAPHS = "".join(
    f"<p>This is paragraph {i} of what we wanted to tell you today, the same for everybody.</p>\n"
    for i in range(42)
)
FLOW = {
    "nodes": [
        {
            "id": "mail",
            "smtp": {
                "credential": "ops",
                "from": "Acme News <news@acme.example>",
                "to": "<<trigger.body.name>> <<<trigger.body.email>>>",
                "subject": "Welcome to <<vars.brand>>, <<trigger.body.name>>!",
                "body_format": "html",
                "body": f"Hi <<trigger.body.name>>!\n\n{TEXT}\nYour plan is <<trigger.body.plan>>.\n",
                "html_body": f"<html><body>\n<h1>Hi <<trigger.body.name>>!</h1>\n{PARAGRAPHS}"
                '<p><a href="https://acme.example/a/<<trigger.body.id>>">Your account</a>: '
                "<<trigger.body.plan>></p>\n</body></html>\n",
            },
        }
    ]
}
NAMES = ("Ann Example", "Bob O'Neil", "Zoë Müller")
ROWS = 3


def rows(root: Path) -> tuple[Callable[[], None], Callable[[], None], Callable[[], None]]:
    """A few rows, a third of the names not ASCII: their scopes, filled by a prepared node, and by the node itself."""
    (root / "flows").mkdir()
    path = root / "flows" / "news.yaml"
    path.write_text(json.dumps(FLOW))
    settings = Settings(vars={"brand": "Acme"})
    flow = load_flow(root, path, settings)
    node = flow.nodes[0]
    credential = SmtpCredential(
        workspace="acme",
        name="ops",
        fingerprint="f",
        host="mail.example",
        port=587,
        encryption=Encryption.STARTTLS,
        default_from="ops@acme.example",
    )
    prepared = PreparedSmtp.of(node, settings, root)
    assert prepared is not None

    def scope(number: int) -> dict[str, object]:
        name = NAMES[number % len(NAMES)]
        body = {"name": name, "email": f"u{number}@example.com", "plan": "gold", "id": 4000 + number}
        return base_scope(flow, Event(type="batch", body=body, time=DATE), f"b/{number}", settings.vars)

    scopes = [scope(number) for number in range(ROWS)]

    def made() -> None:
        for number in range(ROWS):
            scope(number)

    def filled() -> None:
        for number, names in enumerate(scopes):
            prepared.fill(names, credential, ("acme", f"b/{number}", "mail"), DATE)

    def composed() -> None:
        for number, names in enumerate(scopes):
            params = render(node.params, names)
            assert isinstance(params, dict)
            draft = Smtp.parse(params).draft
            sender = sender_of(draft.sender, credential)
            key = ("acme", f"b/{number}", "mail")
            compose(addressed(draft, sender, settings.delivery, key, DATE))

    return made, filled, composed


def best(roads: dict[str, tuple[Callable[[], object], int]], turns: int = 600) -> dict[str, float]:
    """Microseconds a message of each road, which makes so many messages a turn; the roads take turns."""
    found = dict.fromkeys(roads, float("inf"))
    for _ in range(turns):
        for name, (road, messages) in roads.items():
            begin = time.perf_counter()
            road()
            found[name] = min(found[name], (time.perf_counter() - begin) / messages * 1e6)
    return found


def main() -> None:
    meant = ours()
    composed = compose(meant)
    with TemporaryDirectory() as folder:
        made, filled, general = rows(Path(folder))
        found = best(
            {
                "compose": (lambda: compose(meant), 1),
                "the last look of it": (lambda: verify(composed.envelope, composed.data, meant), 1),
                "EmailMessage": (stdlib, 1),
                "row: its scope": (made, ROWS),
                "row: prepared": (filled, ROWS),
                "row: the node itself": (general, ROWS),
            }
        )
    print(f"message: {len(HTML)} of HTML, {len(TEXT)} of text, {len(composed.data)} octets written")
    for name, microseconds in found.items():
        print(f"{name:22}{microseconds:9.1f} us")
    print(f"EmailMessage / compose        {found['EmailMessage'] / found['compose']:6.1f}")
    print(f"the node itself / prepared    {found['row: the node itself'] / found['row: prepared']:6.1f}")


if __name__ == "__main__":
    main()
