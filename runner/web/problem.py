"""Problem documents (RFC 9457): what every error of the endpoints looks like."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An answer that is an error. ``detail`` and ``errors`` never hold a value that came with the request."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Iterable[Mapping[str, object]] = (),
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = [dict(error) for error in errors]
        self.headers = dict(headers or {})
        self.more = dict(more or {})

    def document(self) -> dict[str, object]:
        """The members of the document; ``errors`` is there when there are some."""
        document: dict[str, object] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }
        if self.errors:
            document["errors"] = self.errors
        return document

    def response(self) -> Response:
        """The document as an answer."""
        from starlette.responses import Response

        return Response(
            json.dumps(self.document()),
            self.status,
            {"cache-control": "no-store", **self.headers},
            media_type=MEDIA_TYPE,
        )


def unavailable(detail: str, seconds: int = 5) -> Problem:
    """503: come again in ``seconds``."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"retry-after": str(seconds)})
