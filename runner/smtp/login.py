"""AUTH (RFC 4954): PLAIN, LOGIN and CRAM-MD5, one mechanism once."""

from __future__ import annotations

import base64
import binascii
import hmac

from runner.credential import OAuth2Auth, PasswordAuth
from runner.errors import AuthError
from runner.smtp.reply import Garbage, Reply
from runner.smtp.scrub import Scrubber
from runner.smtp.wire import Wire

_OVER_TLS = ("PLAIN", "LOGIN", "CRAM-MD5")
# In clear, which a credential must ask for, the password itself is the last thing to show.
_IN_CLEAR = ("CRAM-MD5", "PLAIN", "LOGIN")


async def log_in(
    wire: Wire,
    auth: PasswordAuth | OAuth2Auth,
    offered: frozenset[str],
    scrubber: Scrubber,
    deadline: float,
    hint: str | None = None,
) -> None:
    """Log in with the first mechanism that both sides know.

    A refused mechanism is not followed by another one: each try counts against the account. Raises
    AuthError (transient for 4xx), Lost or TimeoutError.
    """
    if isinstance(auth, OAuth2Auth):
        raise AuthError(
            "Authentication failed: OAuth2 logins are not available in this version",
            hint="use auth.type: password",
        )
    check_text(auth)
    order = _OVER_TLS if wire.secure else _IN_CLEAR
    mechanism = next((name for name in order if name in offered), None)
    if mechanism is None:
        told = ", ".join(sorted(offered)[:8]) or "no login at all"
        raise AuthError(
            f"Authentication failed: the server offers {scrubber.clean(told)}, not PLAIN, LOGIN or CRAM-MD5",
            hint="for a relay without login set auth.type: none; else check host and port",
        )
    reply = await _EXCHANGES[mechanism](wire, auth, deadline)
    if reply.code == 235:
        return
    enhanced, _ = scrubber.parts(reply)
    raise AuthError(
        f"Authentication failed: {scrubber.reply(reply)}",
        hint=hint,
        transient=reply.transient,
        smtp_code=reply.code,
        enhanced_code=enhanced,
    )


def check_text(auth: PasswordAuth) -> None:
    """Refuse what would change the exchange's structure; raises AuthError."""
    if any(letter in text for text in (auth.username, auth.password.reveal()) for letter in "\0\r\n"):
        raise AuthError(
            "Authentication failed: user name or password holds a line end or NUL",
            hint="set the password again, without a line end behind it",
        )


async def _plain(wire: Wire, auth: PasswordAuth, deadline: float) -> Reply:
    blob = _encode(f"\0{auth.username}\0{auth.password.reveal()}")
    return await wire.command(b"AUTH PLAIN " + blob, deadline)


async def _login(wire: Wire, auth: PasswordAuth, deadline: float) -> Reply:
    reply = await wire.command(b"AUTH LOGIN", deadline)
    for text in (auth.username, auth.password.reveal()):
        if reply.code != 334:
            return reply
        reply = await wire.command(_encode(text), deadline)
    return reply


async def _cram_md5(wire: Wire, auth: PasswordAuth, deadline: float) -> Reply:
    reply = await wire.command(b"AUTH CRAM-MD5", deadline)
    if reply.code != 334:
        return reply
    try:
        challenge = base64.b64decode(reply.lines[0], validate=True)
    except binascii.Error as exc:
        raise Garbage("the login challenge is not base64") from exc
    # RFC 2195 fixes MD5; it protects the password on the way only as far as MD5 does.
    digest = hmac.new(auth.password.reveal().encode(), challenge, "md5").hexdigest()
    return await wire.command(_encode(f"{auth.username} {digest}"), deadline)


def _encode(text: str) -> bytes:
    return base64.b64encode(text.encode())


_EXCHANGES = {"PLAIN": _plain, "LOGIN": _login, "CRAM-MD5": _cram_md5}
