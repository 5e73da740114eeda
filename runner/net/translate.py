"""The one place where the errors of httpx and httpcore become ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from runner.errors import ConnectionFailed, FlowpostError, HttpError, TimedOut, TlsError

if TYPE_CHECKING:
    from runner.net.transport import GuardedTransport

HINT = "check the URL; is the server up?"
_TLS_HINT = "the server has to mend its certificate; requests are never sent to one that is not verified"


@contextlib.contextmanager
def translated(what: object, transport: GuardedTransport) -> Iterator[None]:
    """Raise FlowpostErrors only; ``what`` names the request in them, and nothing in them quotes the server.

    HttpError is transient when the connection was lost: then ``transport`` saw the server end it, or a socket
    failed.
    """
    import httpcore
    import httpx

    try:
        yield
    except (ConnectionFailed, TimedOut, TlsError) as exc:
        # Their own hints speak of mail ports and SMTP credentials.
        if exc.hint == exc.default_hint:
            exc.hint = _TLS_HINT if isinstance(exc, TlsError) else HINT
        raise
    except FlowpostError:
        raise
    except (httpx.TimeoutException, httpcore.TimeoutException) as exc:
        raise TimedOut(f"Timed out: {what}", hint=HINT) from exc
    except (
        httpx.InvalidURL,
        httpx.LocalProtocolError,
        httpx.UnsupportedProtocol,
        httpcore.LocalProtocolError,
        httpcore.UnsupportedProtocol,
    ) as exc:
        raise HttpError(f"{what} cannot be put into HTTP") from exc
    except (httpx.ProtocolError, httpx.DecodingError, httpcore.ProtocolError) as exc:
        if transport.ended:
            raise _lost(what) from exc
        raise HttpError(f"the answer to {what} is not HTTP/1.1 as it should be") from exc
    except (httpx.NetworkError, httpx.ProxyError, httpcore.NetworkError, httpcore.ProxyError, OSError) as exc:
        raise _lost(what) from exc
    except (
        httpx.HTTPError,
        httpx.StreamError,
        httpx.CookieConflict,
        httpcore.ConnectionNotAvailable,
    ) as exc:
        raise HttpError(f"{what} went wrong before its answer was read") from exc


def _lost(what: object) -> HttpError:
    return HttpError(f"{what}: the connection was lost before the answer ended", transient=True)
