"""Who called: a bearer token (RFC 6750), or signatures after Standard Webhooks. Pure: headers, body, time.

Every refusal is the same ``Unauthorized``: which of key, time and signature was wrong is nobody's business.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence

from runner.credential import WebhookCredential
from runner.errors import SecretError

TOLERANCE = 300
"""Seconds that a signature's time may lie before or after now."""

MAX_SIGNATURES = 20

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"

_TIME = re.compile(r"[0-9]{1,12}", re.ASCII)
_ID = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
# "a.1700000000" and a body of "5" sign as "a" at 1700000000 and a body of "5" would after one more: such an id
# could be cut elsewhere, and a replay pass for another message.
_AMBIGUOUS = re.compile(r".*\.[0-9]{9,12}", re.ASCII)

Headers = Mapping[str, Sequence[str]]
"""Values by lower-case name, as they came."""


class Unauthorized(Exception):
    """The caller has not proved what the credential asks for."""


def check_head(credential: WebhookCredential, headers: Headers, now: float) -> None:
    """Refuse what can be refused before the body is read; raises Unauthorized. ``now`` is Unix time."""
    if credential.kind == "token":
        _check_token(credential, headers)
    else:
        _signed_head(headers, now)


def verify(credential: WebhookCredential, headers: Headers, body: bytes, now: float) -> None:
    """Check a whole request; raises Unauthorized, and SecretError when the credential's secret is no key."""
    if credential.kind == "token":
        _check_token(credential, headers)
        return
    key = signing_key(credential.secret.reveal())
    ident, timestamp = _signed_head(headers, now)
    message = f"{ident}.{timestamp}.".encode() + body
    wanted = base64.b64encode(hmac.digest(key, message, hashlib.sha256))
    given = " ".join(headers.get(SIGNATURE, ())).split(" ")
    if len(given) > MAX_SIGNATURES:
        raise Unauthorized
    found = False
    for signature in given:
        version, _, value = signature.partition(",")
        same = hmac.compare_digest(value.encode("utf-8", "replace"), wanted)
        found |= version == "v1" and same
    if not found:
        raise Unauthorized


def signing_key(secret: str) -> bytes:
    """The key of ``whsec_`` and base64, with or without padding; raises SecretError when it is none."""
    text = secret.removeprefix("whsec_")
    text += "=" * (-len(text) % 4)
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise SecretError("the signing secret of a webhook is not whsec_ and base64")
    return key


def sign(secret: str, ident: str, timestamp: int, body: bytes) -> str:
    """A ``webhook-signature``: what a sender puts there."""
    message = f"{ident}.{timestamp}.".encode() + body
    digest = hmac.digest(signing_key(secret), message, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def _check_token(credential: WebhookCredential, headers: Headers) -> None:
    given = headers.get("authorization", ())
    scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
    same = hmac.compare_digest(
        token.strip(" ").encode("latin-1", "replace"), credential.secret.reveal().encode()
    )
    if not same or scheme.lower() != "bearer":
        raise Unauthorized


def _signed_head(headers: Headers, now: float) -> tuple[str, str]:
    """Id and time, each there once and in form, the time near; raises Unauthorized."""
    if not headers.get(SIGNATURE):
        raise Unauthorized
    ident, timestamp = headers.get(ID, ()), headers.get(TIMESTAMP, ())
    if len(ident) != 1 or len(timestamp) != 1:
        raise Unauthorized
    if not _ID.fullmatch(ident[0]) or _AMBIGUOUS.fullmatch(ident[0]) or not _TIME.fullmatch(timestamp[0]):
        raise Unauthorized
    if abs(now - int(timestamp[0])) > TOLERANCE:
        raise Unauthorized
    return ident[0], timestamp[0]
