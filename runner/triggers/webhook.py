"""``webhook``: which flow a path starts, and what an authenticated request becomes. HTTP itself is ``runner.web``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import parse_qsl

from runner.credential import Credential, WebhookCredential
from runner.errors import SecretError
from runner.model import Event, Flow
from runner.triggers.base import BadBody, Flows
from runner.triggers.signature import ID, Headers
from runner.units import rate

MAX_KEY = 255
MAX_QUERY_FIELDS = 100
IDEMPOTENCY_KEY = "idempotency-key"

_KEY = re.compile(rf"[\x21-\x7e]{{1,{MAX_KEY}}}", re.ASCII)
_SECRET_HEADER = re.compile(
    r"authoriz|authentic|-auth|signature|token|secret|passw|cookie|credential|api-?key|-key$"
)


class Credentials(Protocol):
    """Where credentials come from: ``runner.secret.store.CredentialStore``."""

    async def fetch(self, name: str, type: str | None = None) -> Credential:  # noqa: A002
        """The credential of that name and type; raises SecretError."""
        ...


@dataclass(frozen=True, slots=True)
class Hook:
    """A path below ``/hooks/``: whose it is, and the credential that callers must know (None: ``auth: none``).

    ``rate``: so many requests in so many seconds; None, what the settings say.
    """

    path: str
    flow: Flow
    auth: str | None
    rate: tuple[int, float] | None = None


class Hooks:
    """The hooks of the live flows; built anew when the flows are other ones."""

    def __init__(self, flows: Flows) -> None:
        self._flows = flows
        self._of: Mapping[str, Flow] | None = None
        self._table: dict[str, Hook] = {}

    def table(self) -> Mapping[str, Hook]:
        """Every hook by its path."""
        flows = self._flows()
        if flows is not self._of:
            self._table = {hook.path: hook for flow in flows.values() for hook in hooks_of(flow)}
            self._of = flows
        return self._table

    def find(self, path: str) -> Hook | None:
        """The hook of that path, exactly as written in the flow."""
        return self.table().get(path)


def hooks_of(flow: Flow) -> list[Hook]:
    """The hooks that a flow's triggers name."""
    found = []
    for trigger in flow.triggers:
        if trigger.type == "webhook":
            auth, limit = str(trigger.params["auth"]), trigger.params.get("rate")
            found.append(
                Hook(
                    str(trigger.params["path"]),
                    flow,
                    None if auth == "none" else auth,
                    None if limit is None else rate(str(limit)),
                )
            )
    return found


async def credential_of(hook: Hook, store: Credentials) -> WebhookCredential | None:
    """What callers of this hook must know; None for ``auth: none``. SecretError when it cannot be had."""
    if hook.auth is None:
        return None
    credential = await store.fetch(hook.auth, "webhook")
    if not isinstance(credential, WebhookCredential):
        raise SecretError(f'credential "{hook.auth}" is not of type webhook')
    return credential


def idempotency_key(hook: Hook, credential: WebhookCredential | None, headers: Headers) -> str | None:
    """What makes a repeat known, scoped to flow and path; None when the caller gave nothing. Raises BadBody.

    Behind signatures it is the signed ``webhook-id`` and nothing else: with a header of their own choice whoever
    recorded a request could play it again as a new one.
    """
    names = [ID] if credential is not None and credential.kind == "signature" else [IDEMPOTENCY_KEY, ID]
    for name in names:
        values = headers.get(name, ())
        if not values:
            continue
        key = values[0].strip()
        if len(key) > 2 and key[0] == key[-1] == '"':
            key = key[1:-1]
        if len(values) > 1 or not _KEY.fullmatch(key):
            raise BadBody(f"the header {name} is not one key of 1 to {MAX_KEY} visible ASCII characters")
        return f"webhook:{hook.flow.name}:{hook.path}:{key}"
    return None


def make_event(body: object, headers: Headers, query: bytes, now: float) -> Event:
    """The event of a request, without what proves the caller; BadBody for a query that is none."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_QUERY_FIELDS,
            separator="&",
        )
    except ValueError:
        raise BadBody(f"the query is not UTF-8 of at most {MAX_QUERY_FIELDS} fields") from None
    return Event(
        type="webhook",
        body=body,
        time=datetime.fromtimestamp(now, UTC),
        headers=public(headers),
        query=dict(pairs),
    )


def public(headers: Headers) -> dict[str, str]:
    """The headers that a run may see and the database may keep."""
    return {
        name: ", ".join(values)
        for name, values in headers.items()
        if name == IDEMPOTENCY_KEY or not _SECRET_HEADER.search(name)
    }
