"""Credentials and messages for tests that send to a server of this machine."""

from __future__ import annotations

from typing import Any, Protocol

from runner.credential import Encryption, PasswordAuth, Secret, SmtpCredential
from runner.model import Envelope
from runner.net.guard import Guard

USER, PASSWORD = "user", "pass-word-1"
ENVELOPE = Envelope("from@example.com", ("to@example.net",))
MESSAGE = b"Subject: hello\r\n\r\n.a dot\r\nthe end\r\n"

_ENCRYPTION = {"implicit": Encryption.TLS, "starttls": Encryption.STARTTLS, "none": Encryption.NONE}


class Server(Protocol):
    """What a credential points to."""

    tls: str

    @property
    def port(self) -> int: ...

    @property
    def ca_pem(self) -> str: ...


def guard() -> Guard:
    """The real guard, opened for this machine only."""
    return Guard(["127.0.0.0/8", "::1"])


def credential_for(server: Server, **changes: Any) -> SmtpCredential:
    """A credential for ``server``: its own authority, short timeout, the login that ScriptedServer expects."""
    fields: dict[str, Any] = {
        "workspace": "tests",
        "name": "local",
        "fingerprint": "one",
        "host": "localhost",
        "port": server.port,
        "encryption": _ENCRYPTION[server.tls],
        "auth": None if server.tls == "none" else PasswordAuth(USER, Secret(PASSWORD)),
        "ca_pem": server.ca_pem,
        "timeout_seconds": 5.0,
    }
    return SmtpCredential(**(fields | changes))
