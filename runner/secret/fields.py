"""The fields of a credential file, once: names, types and descriptions.

The JSON Schema in ``schemas/credential.schema.json`` is generated from these tables (``fieldschema.py``), and the door
in ``typed.py`` reads them; nothing else lists a credential's keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from runner.secret.presets import PRESETS

NAME = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"


class Field(NamedTuple):
    """One key: ``kind`` is text, secret, pem, host, name, integer, number, boolean, texts or rates."""

    about: str
    kind: str = "text"
    required: bool = False
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None


class Section(NamedTuple):
    """A mapping of fields; with ``variants`` the field ``type`` says which fields belong to it."""

    about: str
    fields: dict[str, Field]
    variants: dict[str, dict[str, Field]] | None = None
    required: bool = False


class Shape(NamedTuple):
    """A type of credential."""

    about: str
    fields: dict[str, Field]
    sections: dict[str, Section]


_IDENTITY = {
    "name": Field(
        about="The name that flows use; equal to the file's name without its ending.",
        kind="name",
        required=True,
    ),
    "label": Field(about="What people read, for example: Marketing — SendGrid."),
    "type": Field(about="What it is for; smtp when left away.", choices=("smtp", "http", "webhook", "imap")),
}
_PROVIDER = Field(
    about="A preset that fills host, port and encryption; fields that are written win.",
    choices=tuple(PRESETS),
)
_SERVER = Section(
    about="Where the mail server listens and how the connection is protected.",
    fields={
        "host": Field(about="The server's host name; a provider may give it.", kind="host"),
        "port": Field(
            about="587 (STARTTLS) or 465 (TLS); others work, 25 is refused.",
            kind="integer",
            low=1,
            high=65535,
        ),
        "encryption": Field(
            about="starttls (upgrade required), tls (from the start) or none (discouraged); "
            "tls on 465, else starttls, when left away.",
            choices=("starttls", "tls", "none"),
        ),
        "region": Field(about="The region of Amazon SES, for example eu-west-1.", kind="host"),
    },
)
_PASSWORD = {
    "username": Field(about="The login; for SendGrid the word apikey.", required=True),
    "password": Field(about="The password or app password.", kind="secret", required=True),
}
_OAUTH2 = {
    "username": Field(about="The mailbox that is used.", required=True),
    "grant": Field(
        about="refresh_token (the default) or client_credentials.",
        choices=("refresh_token", "client_credentials"),
    ),
    "tenant": Field(about="The Microsoft Entra tenant."),
    "client_id": Field(about="The application's id.", required=True),
    "client_secret": Field(about="The application's secret.", kind="secret"),
    "refresh_token": Field(about="The refresh token of the mailbox.", kind="secret"),
    "token_url": Field(about="Where access tokens are fetched; a provider may give it (https only)."),
    "scope": Field(about="The scopes asked for, separated by spaces; a provider may give them."),
}
_MAIL_AUTH = Section(
    about="How to log in: with a password, with OAuth 2, or not at all (a relay).",
    fields={},
    variants={"password": _PASSWORD, "oauth2": _OAUTH2, "none": {}},
    required=True,
)
_SECURITY = Section(
    about="What is accepted from the server; left away, everything is verified.",
    fields={
        "certificates": Field(
            about="verify (the default), or accept-unverified for self-signed and mismatched certificates.",
            choices=("verify", "accept-unverified"),
        ),
        "min_tls": Field(
            about='The oldest TLS version: "1.2" (the default) or "1.3".', choices=("1.2", "1.3")
        ),
        "ca_pem": Field(about="Certificates of a private authority, in PEM.", kind="pem"),
        "allow_plaintext_auth": Field(
            about="true lets the password go over a connection with encryption: none.", kind="boolean"
        ),
    },
)
_TIMEOUT = Field(
    about="Seconds that one step of a session may take; 30 when left away.", kind="number", low=1, high=600
)
_ADVANCED = Section(
    about="The connection pool and its pace.",
    fields={
        "client_identifier": Field(
            about="The name given in EHLO; this machine's when left away.", kind="host"
        ),
        "timeout_seconds": _TIMEOUT,
        "max_connections": Field(
            about="Connections kept open at most; 5 when left away.", kind="integer", low=1, high=100
        ),
        "max_messages": Field(
            about="Messages sent over one connection; 100 when left away.",
            kind="integer",
            low=1,
            high=100_000,
        ),
        "idle_seconds": Field(
            about="Seconds after which an idle connection is closed; 30 when left away.",
            kind="number",
            low=0,
            high=3600,
        ),
        "chunking": Field(
            about="Messages in flight per connection by BDAT; 0 (off) when left away, since a lost connection "
            "leaves that many unknown.",
            kind="integer",
            low=0,
            high=64,
        ),
        "rates": Field(
            about="Budgets such as [14/s, 50000/day], shared by all flows and machines.", kind="rates"
        ),
    },
)
_SENDER = Section(
    about="Who the mail is from.",
    fields={
        "default_from": Field(
            about="The sender when a flow names none; the username when that is an address."
        ),
        "allowed_from": Field(about="Addresses or *@domain that a flow may use as sender.", kind="texts"),
    },
)
_DKIM = Section(
    about="Signs every message; all four or none.",
    fields={
        "domain": Field(about="The signing domain (d=).", kind="host", required=True),
        "selector": Field(about="The selector (s=).", kind="host", required=True),
        "algorithm": Field(
            about="The algorithm of the key.", choices=("rsa-sha256", "ed25519-sha256"), required=True
        ),
        "private_key": Field(about="The private key, in PEM.", kind="pem", required=True),
    },
)

SHAPES: dict[str, Shape] = {
    "smtp": Shape(
        about="An SMTP server.",
        fields={**_IDENTITY, "provider": _PROVIDER},
        sections={
            "server": _SERVER,
            "auth": _MAIL_AUTH,
            "security": _SECURITY,
            "advanced": _ADVANCED,
            "sender": _SENDER,
            "dkim": _DKIM,
        },
    ),
    "http": Shape(
        about="What an http node adds to a request.",
        fields=dict(_IDENTITY),
        sections={
            "auth": Section(
                about="How the request proves itself.",
                fields={},
                variants={
                    "bearer": {"token": Field(about="The bearer token.", kind="secret", required=True)},
                    "basic": {
                        "username": Field(about="The user name; it has no colon.", required=True),
                        "password": Field(about="The password.", kind="secret", required=True),
                    },
                    "header": {
                        "header": Field(about="The header's name, for example X-Api-Key.", required=True),
                        "value": Field(about="The header's value.", kind="secret", required=True),
                    },
                },
                required=True,
            )
        },
    ),
    "webhook": Shape(
        about="What a caller of a webhook must prove.",
        fields=dict(_IDENTITY),
        sections={
            "auth": Section(
                about="A bearer token, or signatures after Standard Webhooks.",
                fields={},
                variants={
                    "token": {
                        "token": Field(
                            about="The bearer token, 16 characters or more.", kind="secret", required=True
                        )
                    },
                    "signature": {
                        "secret": Field(
                            about="The signing secret, whsec_ and base64.", kind="secret", required=True
                        )
                    },
                },
                required=True,
            )
        },
    ),
    "imap": Shape(
        about="A mailbox that bounces come back to.",
        fields={
            **_IDENTITY,
            "provider": _PROVIDER,
            "mailbox": Field(about="The folder that is read; INBOX when left away."),
        },
        sections={"server": _SERVER, "auth": _MAIL_AUTH, "security": _SECURITY},
    ),
}


def is_secret(key: str) -> bool:
    """Whether a field of that name holds a secret; unknown names do."""
    kinds = {field.kind for name, field in _all_fields() if name == key}
    return not kinds or bool(kinds & {"secret"}) or key == "private_key"


def _all_fields() -> Iterator[tuple[str, Field]]:
    for shape in SHAPES.values():
        yield from shape.fields.items()
        for section in shape.sections.values():
            yield from section.fields.items()
            for name, fields in (section.variants or {}).items():
                yield "type", Field(about=name)
                yield from fields.items()
