"""The application: routes, and one form for every error."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from runner.diagnostic import Diagnostic
from runner.model import Flow, Settings
from runner.triggers.base import Acceptor, Waiter
from runner.triggers.webhook import Credentials, Hooks
from runner.web.hooks import HookEndpoint
from runner.web.limit import Rate
from runner.web.openapi import document
from runner.web.problem import Problem, unavailable

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import Response

_LOG = logging.getLogger("flowpost.web")
MAX_FINDINGS = 100


class LiveFlows(Protocol):
    """The catalog, as far as it is seen from here."""

    def flows(self) -> Mapping[str, Flow]:
        """The live flows by name; the same object as long as nothing changed."""
        ...

    @property
    def findings(self) -> Sequence[Diagnostic]:
        """What the last load found."""
        ...

    @property
    def stale(self) -> Collection[str]:
        """Flows that are served in their last good version."""
        ...


class State(Protocol):
    """The service, as far as it is seen from here."""

    @property
    def draining(self) -> bool:
        """Whether it is stopping: no new events."""
        ...

    async def faults(self) -> Sequence[str]:
        """Why it is not ready: one sentence each, without secrets; empty when it is."""
        ...

    async def reload(self) -> None:
        """Load flows, templates, settings and credentials anew; the catalog then tells what was found."""
        ...


def build_app(
    *,
    catalog: LiveFlows,
    accept: Acceptor,
    wait: Waiter,
    credentials: Credentials,
    settings: Settings,
    state: State,
    registry: CollectorRegistry,
    clock: Callable[[], float] = time.time,
    rate: Callable[[], Rate | None] = lambda: None,
) -> Starlette:
    """The ASGI application; it has no lifespan of its own. ``rate`` is that of hooks that have none of their own."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.routing import Route

    hooks = HookEndpoint(
        hooks=Hooks(catalog.flows),
        accept=accept,
        wait=wait,
        credentials=credentials,
        max_body=settings.http_max_body,
        draining=lambda: state.draining,
        clock=clock,
        rate=rate,
    )
    pages = Operations(catalog, state, registry)

    def route(path: str, endpoint: Callable[[Request], Awaitable[Response]], method: str) -> Route:
        async def answer(request: Request) -> Response:
            return await endpoint(request)

        return Route(path, answer, methods=[method])

    app = Starlette(
        routes=[
            route("/hooks/{path:path}", hooks, "POST"),
            route("/healthz", pages.health, "GET"),
            route("/readyz", pages.ready, "GET"),
            route("/metrics", pages.metrics, "GET"),
            route("/-/reload", pages.reload, "POST"),
            route("/openapi.json", pages.openapi, "GET"),
        ],
        exception_handlers={Problem: _problem, HTTPException: _http, Exception: _bug},  # type: ignore[dict-item]
    )
    app.router.redirect_slashes = False
    return app


class Operations:
    """What operators and their machines ask."""

    def __init__(self, catalog: LiveFlows, state: State, registry: CollectorRegistry) -> None:
        self._catalog = catalog
        self._state = state
        self._registry = registry
        self._next_reload: asyncio.Task[None] | None = None
        self._loading = asyncio.Lock()

    async def health(self, request: Request) -> Response:
        """The process runs and its loop turns: nothing else is asked, or a database that is down kills it."""
        return _json({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Whether new events are taken. A broken flow is shown and takes nothing down: its last good version runs."""
        faults = ["the service is stopping"] if self._state.draining else list(await self._state.faults())
        if faults:
            problem = unavailable("; ".join(faults))
            problem.more = {"ready": False, **self._loaded()}
            raise problem
        return _json({"ready": True, **self._loaded()})

    async def metrics(self, request: Request) -> Response:
        """The registry in the form that the scraper asks for."""
        from prometheus_client.exposition import choose_encoder
        from starlette.responses import Response

        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        data = await asyncio.to_thread(encode, self._registry)
        return Response(data, headers={"content-type": content_type, "cache-control": "no-store"})

    async def reload(self, request: Request) -> Response:
        """Load anew, and tell how it went: 200, or 422 when something keeps its last good version."""
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Problem(HTTPStatus.FORBIDDEN, "a page of another site may not ask for this")
        if self._state.draining:
            raise unavailable("the service is stopping")
        # However many ask while one reload runs, one more serves them all.
        if self._next_reload is None:
            self._next_reload = asyncio.create_task(self._reload())
        await asyncio.shield(self._next_reload)
        loaded = self._loaded()
        if any(finding.severity == "error" for finding in self._catalog.findings):
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "some files have mistakes; what they had before stays live",
                more=loaded,
            )
        return _json({"reloaded": True, **loaded})

    async def openapi(self, request: Request) -> Response:
        """The description of these endpoints. Paths of hooks are not in it: some are as good as passwords."""
        return _json(document())

    async def _reload(self) -> None:
        async with self._loading:
            self._next_reload = None
            await self._state.reload()

    def _loaded(self) -> dict[str, object]:
        findings = self._catalog.findings
        return {
            "flows": len(self._catalog.flows()),
            "stale": sorted(self._catalog.stale)[:MAX_FINDINGS],
            "findings": [
                {
                    "path": finding.path,
                    "line": finding.line,
                    "column": finding.column,
                    "severity": finding.severity,
                    "code": finding.code,
                    "message": finding.message,
                    "hint": finding.hint,
                }
                for finding in findings[:MAX_FINDINGS]
            ],
        }


def _json(value: object) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(value, headers={"cache-control": "no-store"})


async def _problem(request: Request, error: Problem) -> Response:
    return error.response()


async def _http(request: Request, error: HTTPException) -> Response:
    details = {404: "there is nothing at this path", 405: "this path does not know the method"}
    detail = details.get(error.status_code, "the request is not understood")
    return Problem(error.status_code, detail, headers=error.headers).response()


async def _bug(request: Request, error: Exception) -> Response:
    return Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR, "the service has made a mistake; its log says more"
    ).response()
