"""AUTH (RFC 4954): one mechanism, chosen by what both sides know, tried once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.credential import OAuth2Auth, PasswordAuth
from runner.errors import AuthError
from runner.smtp.scrub import Scrubber

if TYPE_CHECKING:
    from runner.smtp.client import Client

_OVER_TLS = ("PLAIN", "LOGIN", "CRAM-MD5")
# In clear, which a credential must ask for, the password itself is the last thing to show.
_IN_CLEAR = ("CRAM-MD5", "PLAIN", "LOGIN")


async def log_in(
    client: Client,
    auth: PasswordAuth | OAuth2Auth,
    scrubber: Scrubber,
    *,
    secure: bool,
    hint: str | None = None,
) -> None:
    """Log in with the first mechanism that both sides know; ``secure``: under TLS.

    A refused mechanism is not followed by another one, as aiosmtplib's own ``login`` would do: each try counts
    against the account. Raises AuthError (transient for 4xx), Lost, Garbage or TimeoutError.
    """
    if isinstance(auth, OAuth2Auth):
        raise AuthError(
            "Authentication failed: OAuth2 logins are not available in this version",
            hint="use auth.type: password",
        )
    check_text(auth)
    offered = client.extensions.get("AUTH", "").split()
    mechanism = next((name for name in (_OVER_TLS if secure else _IN_CLEAR) if name in offered), None)
    if mechanism is None:
        told = ", ".join(sorted(set(offered))[:8]) or "no login at all"
        raise AuthError(
            f"Authentication failed: the server offers {scrubber.clean(told)}, not PLAIN, LOGIN or CRAM-MD5",
            hint="for a relay without login set auth.type: none; else check host and port",
        )
    reply = await client.login(mechanism, auth.username, auth.password.reveal())
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
