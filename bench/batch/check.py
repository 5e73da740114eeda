"""Are the messages alike? Each sender mails the same rows; what arrived is parsed by the stdlib and compared."""

from __future__ import annotations

import base64
import json
import statistics
import tempfile
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path

import jinja2
import material
from contenders import NODEMAILER, UPYO, Contender, Flowpost, Target
from measure import Failed, run
from servers import node_sink

ROWS = 50


def check(*, peers: bool) -> bool:
    """Print what each sender's messages look like on the wire and where they differ from what was meant."""
    contenders: list[Contender] = [NODEMAILER, UPYO]
    if not peers:
        contenders += [Flowpost(), Flowpost("flowpost chunking 8", chunking=8)]
    alike = True
    with tempfile.TemporaryDirectory(prefix="flowpost-bench-") as name:
        folder = Path(name)
        material.write_templates(folder / "templates")
        data = material.write_rows(folder / "rows.csv", ROWS)
        meant = expected(data)
        for contender in contenders:
            keep = folder / "kept"
            keep.unlink(missing_ok=True)
            with node_sink(keep=keep, chunking=True) as server:
                try:
                    run(
                        contender.commands(Target(server.port, ROWS, data, folder / "templates", folder)),
                        ROWS,
                    )
                except Failed as failed:
                    print(f"{contender.name}: {failed}")
                    alike = False
                    continue
            alike &= compare(
                contender.name, [json.loads(line) for line in keep.read_text().splitlines()], meant
            )
    return alike


def expected(data: Path) -> dict[str, dict[str, str]]:
    """What each recipient must get, filled by plain Jinja2."""
    import csv

    marks = {
        "variable_start_string": "<<", "variable_end_string": ">>",
        "block_start_string": "<%", "block_end_string": "%>",
        "keep_trailing_newline": True,
    }  # fmt: skip
    html = jinja2.Environment(autoescape=True, **marks).from_string(material.HTML)  # type: ignore[arg-type]
    plain = jinja2.Environment(autoescape=False, **marks)  # type: ignore[arg-type]
    text, subject = plain.from_string(material.TEXT), plain.from_string(material.SUBJECT)
    meant = {}
    with data.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            context = {"trigger": {"body": row}}
            meant[row["email"]] = {
                "from": f"{material.FROM[0]} <{material.FROM[1]}>",
                "to": f"{row['name']} <{row['email']}>",
                "subject": subject.render(context),
                "text": tidy(text.render(context)),
                "html": tidy(html.render(context)),
            }
    return meant


def compare(name: str, kept: list[dict[str, object]], meant: dict[str, dict[str, str]]) -> bool:
    sizes, differences, seen, codings = [], [], [], ""
    for letter in kept:
        raw = base64.b64decode(str(letter["data"]))
        sizes.append(len(raw))
        message = message_from_bytes(unstuffed(raw) if letter.get("dots") else raw, policy=policy.SMTP)
        assert isinstance(message, EmailMessage)
        recipient = str(letter["to"]).partition("<")[2].partition(">")[0]
        seen.append(recipient)
        found = fields(message)
        codings = ", ".join(
            f"{p.get_content_type()} {p['content-transfer-encoding']}"
            for p in message.walk()
            if not p.is_multipart()
        )
        wanted = meant.get(recipient, {})
        differences += [
            f"{recipient}: {field}: {excerpt(found[field], value)}"
            for field, value in wanted.items()
            if found[field] != value
        ]
    whole = sorted(seen) == sorted(meant)
    print(
        f"{name}: {len(kept)} messages, {statistics.mean(sizes):.0f} octets each ({min(sizes)}..{max(sizes)}); "
        f"{codings}\n  {'each row once' if whole else 'NOT each row once'}, "
        f"{len(differences)} fields differ from what was meant"
    )
    for difference in differences[:3]:
        print("   ", difference)
    return whole and not differences


def fields(message: EmailMessage) -> dict[str, str]:
    def decoded(value: object) -> str:
        return str(make_header(decode_header(" ".join(str(value).split()))))

    raw = {key.lower(): value for key, value in message.raw_items()}
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    return {
        "from": person(decoded(raw["from"])),
        "to": person(decoded(raw["to"])),
        "subject": decoded(raw["subject"]),
        "text": tidy(text.get_content() if text else ""),
        "html": tidy(html.get_content() if html else ""),
    }


def unstuffed(raw: bytes) -> bytes:
    """What DATA carried, without its end and its doubled dots (RFC 5321 section 4.5.2)."""
    return raw.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.")


def excerpt(found: str, value: str) -> str:
    """Both texts, from a little before the first place where they differ."""
    at = next((n for n, (a, b) in enumerate(zip(found, value, strict=False)) if a != b), 0)
    at = max(0, at - 20)
    return f"{found[at : at + 60]!r} is not {value[at : at + 60]!r}"


def person(value: str) -> str:
    name, address = parseaddr(value)
    return f"{name} <{address}>"


def tidy(text: str) -> str:
    """Line ends and the last empty lines are the transport's business, and ``&#39;`` is written in two ways."""
    return text.replace("\r\n", "\n").replace("&#x27;", "&#39;").replace("&#039;", "&#39;").rstrip("\n")
