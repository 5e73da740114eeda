"""Credentials as typed, frozen values: what a decrypted file becomes at its one door.

A ``Secret`` holds a value that cannot be printed, formatted, pickled or turned into JSON; ``reveal()`` is the only
way to it, and is called at the moment of sending.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, NoReturn, SupportsIndex


class Secret:
    """A value that never shows itself."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself, for the wire and for nothing else."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")


class Encryption(StrEnum):
    """How the connection is protected."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class PasswordAuth(NamedTuple):
    """Login with a user name and a password."""

    username: str
    password: Secret


class OAuth2Auth(NamedTuple):
    """Login with XOAUTH2; the access token is fetched at the moment of sending."""

    username: str
    grant: str
    client_id: str
    client_secret: Secret | None = None
    refresh_token: Secret | None = None
    tenant: str | None = None
    token_url: str | None = None
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` messages in ``seconds`` seconds."""

    count: int
    seconds: float


class Dkim(NamedTuple):
    """How messages are signed; ``private_key`` is PEM."""

    domain: str
    selector: str
    algorithm: str
    private_key: Secret


class SmtpCredential(NamedTuple):
    """An SMTP server and how to log in to it.

    ``workspace`` and ``fingerprint`` (a keyed hash of the whole secret content) separate pooled connections:
    a rotated password never meets an old connection. ``verify`` False stands for ``accept-unverified``.
    Times are seconds.
    """

    workspace: str
    name: str
    fingerprint: str
    host: str
    port: int
    encryption: Encryption
    auth: PasswordAuth | OAuth2Auth | None = None
    label: str = ""
    provider: str = ""
    verify: bool = True
    min_tls: str = "1.2"
    ca_pem: str | None = None
    allow_plaintext_auth: bool = False
    client_identifier: str | None = None
    timeout_seconds: float = 30.0
    max_connections: int = 5
    max_messages: int = 100
    idle_seconds: float = 30.0
    chunking: int = 0
    rates: tuple[Rate, ...] = ()
    default_from: str | None = None
    allowed_from: tuple[str, ...] = ()
    dkim: Dkim | None = None


class HttpCredential(NamedTuple):
    """What an http node adds to a request: one header, already in its final form."""

    workspace: str
    name: str
    header: str
    value: Secret


class WebhookCredential(NamedTuple):
    """What a caller of a webhook must prove: ``kind`` is ``token`` (bearer) or ``signature`` (Standard Webhooks).

    A signature's ``secret`` is the text as written, ``whsec_`` and base64.
    """

    workspace: str
    name: str
    kind: str
    secret: Secret


class ImapCredential(NamedTuple):
    """A mailbox that bounces come back to; fields as in ``SmtpCredential``."""

    workspace: str
    name: str
    fingerprint: str
    host: str
    port: int
    encryption: Encryption
    auth: PasswordAuth | OAuth2Auth | None = None
    label: str = ""
    provider: str = ""
    verify: bool = True
    min_tls: str = "1.2"
    ca_pem: str | None = None
    allow_plaintext_auth: bool = False
    timeout_seconds: float = 30.0
    mailbox: str = "INBOX"


Credential = SmtpCredential | HttpCredential | WebhookCredential | ImapCredential
