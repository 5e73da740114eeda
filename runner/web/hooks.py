"""``POST /hooks/<path>``: from a request to an event on disk, and only then to 202."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from runner.credential import WebhookCredential
from runner.errors import Conflict, FlowpostError, SecretError, Unavailable
from runner.model import Event, Run
from runner.triggers.base import Acceptor, BadBody, Bodies, Waiter
from runner.triggers.signature import Unauthorized, check_head, verify
from runner.triggers.webhook import Credentials, Hook, Hooks, credential_of, idempotency_key, make_event
from runner.web.limit import Limiter, Rate
from runner.web.preference import wait_seconds
from runner.web.problem import Problem, unavailable
from runner.web.request import STOPPING, check_length, headers_of, parse_body, read_body

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_LOG = logging.getLogger("flowpost.web")
_INLINE = 16 * 1024  # a larger body is parsed in a thread, so that it does not hold up the others
_SLICE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HookEndpoint:
    """What the endpoint needs. ``draining`` answers whether the service is going down; ``clock`` is Unix time; ``rate``
    is that of hooks that have none of their own.
    """

    hooks: Hooks
    accept: Acceptor
    wait: Waiter
    credentials: Credentials
    max_body: int
    draining: Callable[[], bool]
    clock: Callable[[], float]
    rate: Callable[[], Rate | None] = lambda: None
    limiter: Limiter = field(default_factory=Limiter)
    bodies: Bodies = field(default_factory=Bodies)

    async def __call__(self, request: Request) -> Response:
        """Answer one request; raises Problem."""
        from starlette.requests import ClientDisconnect
        from starlette.responses import Response

        if self.draining():
            raise unavailable(STOPPING)
        hook = self.hooks.find(request.path_params["path"])
        if hook is None:
            raise Problem(HTTPStatus.NOT_FOUND, "there is no webhook at this path")
        headers = headers_of(request)
        try:
            event, key = await self._read(request, hook, headers)
        except Unauthorized:
            raise _unauthorized() from None
        except BadBody as error:
            raise _bad(error) from None
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        return await self._keep(hook, event, key, wait_seconds(headers.get("prefer", ())))

    async def _read(
        self, request: Request, hook: Hook, headers: dict[str, list[str]]
    ) -> tuple[Event, str | None]:
        credential = await self._credential(hook)
        now = self.clock()
        if credential is not None:
            check_head(credential, headers, now)
        rate = hook.rate or self.rate()
        if rate is not None and (seconds := self.limiter.wait(hook.path, rate)):
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "this webhook takes no more requests for now",
                headers={"retry-after": str(seconds)},
            )
        check_length(headers, self.max_body)
        data = await read_body(request, self.max_body, self.draining)
        if credential is not None:
            try:
                verify(credential, headers, data, now)
            except SecretError as error:
                raise self._no_credential(hook, error) from None
        key = idempotency_key(hook, credential, headers)
        if len(data) <= _INLINE:
            body = self._body(hook, data, headers)
        else:
            body = await asyncio.to_thread(self._body, hook, data, headers)
        return make_event(body, headers, request.scope["query_string"], now), key

    def _body(self, hook: Hook, data: bytes, headers: dict[str, list[str]]) -> object:
        body = parse_body(data, headers)
        self.bodies.check(hook.flow, body)
        return body

    async def _credential(self, hook: Hook) -> WebhookCredential | None:
        try:
            return await credential_of(hook, self.credentials)
        except FlowpostError as error:
            raise self._no_credential(hook, error) from None

    def _no_credential(self, hook: Hook, error: FlowpostError) -> Problem:
        _LOG.error('webhook "%s" refuses everybody: %s', hook.path, error.message)
        return unavailable("the service cannot check who calls this webhook", 30)

    async def _keep(self, hook: Hook, event: Event, key: str | None, seconds: int) -> Response:
        from starlette.responses import JSONResponse

        try:
            accepted = await self.accept(hook.flow, event, key)
        except Conflict:
            raise Problem(
                HTTPStatus.CONFLICT, "this idempotency key came before with another payload"
            ) from None
        except Unavailable as error:
            _LOG.warning('webhook "%s": the event is not taken: %s', hook.path, error.message)
            raise unavailable("the event cannot be kept now; send it again") from None
        headers = {"cache-control": "no-store"}
        if seconds:
            headers["preference-applied"] = f"wait={seconds}"
            run = await self._ended(accepted.run_id, seconds)
            if run is not None:
                return JSONResponse(plain(run.as_dict()), HTTPStatus.OK, headers)
        return JSONResponse({"run_id": accepted.run_id}, HTTPStatus.ACCEPTED, headers)

    async def _ended(self, run_id: str, seconds: float) -> Run | None:
        """The run when it ends in time. The event is kept, so that nothing that fails here is the caller's error."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        try:
            while (left := until - loop.time()) > 0 and not self.draining():
                run = await self.wait(run_id, min(left, _SLICE))
                if run is not None:
                    return run
        except FlowpostError as error:
            _LOG.warning("run %s is accepted, but cannot be waited for: %s", run_id, error.message)
        return None


def _unauthorized() -> Problem:
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "the request does not prove who sends it",
        headers={"www-authenticate": 'Bearer realm="flowpost"'},
    )


def _bad(error: BadBody) -> Problem:
    errors = [{"pointer": problem.pointer, "detail": problem.message} for problem in error.problems]
    return Problem(
        HTTPStatus.BAD_REQUEST, error.detail, errors=errors or [{"pointer": "", "detail": error.detail}]
    )


def plain(value: object) -> object:
    """A value as JSON can carry it: octets as base64, times as ISO 8601, no number that JSON lacks."""
    match value:
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
        case bytes():
            return {"base64": base64.b64encode(value).decode("ascii")}
        case datetime() | date():
            return value.isoformat()
        case None | str() | int():
            return value
        case float():
            return value if json.dumps(value)[-1].isdigit() else None
    return str(value)
