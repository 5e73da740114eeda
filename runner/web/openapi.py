"""What the endpoints promise, as an OpenAPI 3.1 document."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from runner.triggers.webhook import MAX_KEY, Hook
from runner.web.problem import MEDIA_TYPE

_PROBLEMS = {
    "400": "Not JSON or a form, or against the flow's body schema: errors has the places.",
    "401": "The request does not prove who sends it.",
    "403": "A page of another site asked.",
    "404": "No webhook has this path.",
    "405": "Only the methods in Allow.",
    "408": "The body did not arrive in time.",
    "409": "The idempotency key came before with another payload.",
    "413": "The body is larger than http.max_body.",
    "415": "Neither JSON nor a form.",
    "422": "Some files have mistakes; what they had before stays live.",
    "429": "Too many requests: see Retry-After.",
    "431": "The headers are too large.",
    "500": "A mistake of the service.",
    "503": "Stopping, or the database cannot be reached: see Retry-After.",
}
_RETRY = {"retry-after": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
_TEXT = {"type": "string"}
_KEY = {"type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[!-~]+$"}
_NUMBER = {"type": "integer", "minimum": 1}
_LOADED = {
    "flows": {"type": "integer", "minimum": 0, "description": "How many flows are live."},
    "stale": {"type": "array", "items": _TEXT, "description": "Flows that run in their last good version."},
    "findings": {"type": "array", "items": {"$ref": "#/components/schemas/Finding"}},
}


def document(hooks: Iterable[Hook] = ()) -> dict[str, Any]:
    """The document; with ``hooks`` each of them has a path of its own, with its flow's body schema.

    The one that is served has none: a path without ``auth`` may be known to its callers alone.
    """
    paths: dict[str, Any] = {"/hooks/{path}": {"post": _hook()}}
    paths |= {f"/hooks/{hook.path}": {"post": _hook(hook)} for hook in hooks}
    return {**_base(), "paths": {**paths, **_operations()}}


@cache
def _base() -> dict[str, Any]:
    try:
        number = version("flowpost")
    except PackageNotFoundError:
        number = "0"
    text_fields = ("path", "severity", "code", "message", "hint")
    return {
        "openapi": "3.1.0",
        "info": {"title": "flowpost", "version": number, "description": "Webhooks and operations."},
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "signature": {"type": "apiKey", "in": "header", "name": "webhook-signature"},
            },
            "schemas": {
                "Problem": {
                    "description": "RFC 9457.",
                    "type": "object",
                    "required": ["type", "title", "status", "detail"],
                    "properties": {
                        "type": _TEXT,
                        "title": _TEXT,
                        "status": {"type": "integer"},
                        "detail": _TEXT,
                        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Mistake"}},
                    },
                },
                "Mistake": {
                    "type": "object",
                    "required": ["pointer", "detail"],
                    "properties": {
                        "pointer": {"type": "string", "description": "RFC 6901, into the body."},
                        "detail": _TEXT,
                    },
                },
                "Finding": {
                    "type": "object",
                    "required": ["line", "column", *text_fields],
                    "properties": {
                        **dict.fromkeys(text_fields, _TEXT),
                        "line": _NUMBER,
                        "column": _NUMBER,
                    },
                },
                "Accepted": {
                    "type": "object",
                    "required": ["run_id"],
                    "properties": {"run_id": {"type": "string", "minLength": 1}},
                },
                "Run": {
                    "type": "object",
                    "required": ["run_id", "flow", "status", "nodes"],
                    "properties": {
                        "run_id": _TEXT,
                        "flow": _TEXT,
                        "status": {"enum": ["succeeded", "failed"]},
                        "nodes": {"type": "object"},
                    },
                },
            },
        },
    }


def _hook(hook: Hook | None = None) -> dict[str, Any]:
    schema: Any = {} if hook is None or hook.flow.body is None else hook.flow.body
    parameters = [
        _header("Idempotency-Key", "A repeat returns the first run.", _KEY),
        _header(
            "Prefer", "wait=N answers with the run's result if it ends in N seconds (at most 60).", _TEXT
        ),
    ]
    security: list[dict[str, list[str]]] = [{}, {"bearer": []}, {"signature": []}]
    if hook is None:
        path = {"name": "path", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        parameters.insert(0, path)
    else:
        security = [{"bearer": []}, {"signature": []}] if hook.auth else []
    applied = {
        "preference-applied": {"description": "The seconds that were waited at most.", "schema": _TEXT}
    }
    contents = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
    kinds = contents if hook is None or hook.flow.body is None else contents[:1]
    form = {"type": "object"}
    return {
        "operationId": "hook" if hook is None else f"hook {hook.path}",
        "summary": "Start a flow",
        "parameters": parameters,
        "security": security,
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": schema if kind == contents[0] else form} for kind in kinds},
        },
        "responses": {
            "200": {**_answer("The run has ended.", "Run"), "headers": applied},
            "202": _answer("The event is on disk.", "Accepted"),
            **_problems("400", "401", "404", "405", "408", "409", "413", "415", "429", "431", "500", "503"),
        },
    }


def _header(name: str, description: str, schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": schema}


@cache
def _operations() -> dict[str, Any]:
    health = {"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}}
    return {
        "/healthz": {"get": _page("health", "Is the process alive?", "application/json", health)},
        "/readyz": {
            "get": _page("ready", "Are events taken?", "application/json", _loaded("ready"), "503"),
        },
        "/metrics": {"get": _page("metrics", "For Prometheus", "text/plain", _TEXT)},
        "/-/reload": {
            "post": _page(
                "reload", "Load all files anew", "application/json", _loaded("reloaded"), "403", "422", "503"
            )
        },
        "/openapi.json": {"get": _page("openapi", "This document", "application/json", {"type": "object"})},
    }


def _page(name: str, summary: str, kind: str, schema: Any, *problems: str) -> dict[str, Any]:
    answer = {"description": summary, "content": {kind: {"schema": schema}}}
    return {
        "operationId": name,
        "summary": summary,
        "security": [],
        "responses": {"200": answer, **_problems("405", "500", *problems)},
    }


def _loaded(flag: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [flag, "flows", "stale", "findings"],
        "properties": {flag: {"const": True}, **_LOADED},
    }


def _answer(description: str, name: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _problems(*codes: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        code: {
            "description": _PROBLEMS[code],
            "content": {MEDIA_TYPE: {"schema": schema}},
            **({"headers": _RETRY} if code in ("429", "503") else {}),
        }
        for code in codes
    }
