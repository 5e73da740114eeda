"""The questions of ``secrets new``: identity, server, auth, security, advanced; for other types only what they have."""

from __future__ import annotations

import base64
import os
import re
import secrets
from typing import Any, Protocol

from runner.errors import SecretError, UsageError
from runner.secret.change import find_field, typed_leaf
from runner.secret.fields import NAME, SHAPES
from runner.secret.presets import PRESETS, Preset


class Ask(Protocol):
    """Puts one question; returns the answer, ``default`` for an empty one."""

    def __call__(
        self, label: str, *, default: str = "", hidden: bool = False, multiline: bool = False
    ) -> str:
        """Ask for ``label``; a hidden answer is not shown while it is typed."""


class Say(Protocol):
    """Tells something to the person."""

    def __call__(self, text: str) -> None:
        """Show one line."""


def questions(name: str, kind: str, provider: str | None, ask: Ask, say: Say) -> dict[str, Any]:
    """The tree of a new credential; UsageError for a wrong name, type or provider, SecretError for a wrong answer."""
    _check(name, kind, provider)
    dialog = _Dialog(kind, ask, say, PRESETS.get(provider or ""))
    tree: dict[str, Any] = {"name": name}
    say("identity")
    dialog.text(tree, ("label",))
    if kind != "smtp":
        tree["type"] = kind
    if provider is not None:
        tree["provider"] = provider
    if kind in ("smtp", "imap"):
        dialog.server(tree)
    dialog.auth(tree)
    if kind in ("smtp", "imap"):
        dialog.security(tree)
    if kind == "smtp":
        dialog.advanced(tree)
    return {key: value for key, value in tree.items() if value != {}}


def completed(name: str, tree: dict[str, Any], kind: str | None, provider: str | None) -> dict[str, Any]:
    """A whole credential with the type and the provider that were asked for; UsageError when it has others."""
    for key, wanted in (("type", kind), ("provider", provider)):
        if wanted is not None and key in tree and tree[key] != wanted:
            raise UsageError(
                f'--{key} {wanted}, but the credential that was read has another "{key}"',
                hint=f"leave --{key} away, or take it out of what is read",
            )
    written = tree.get("type")
    _check(name, kind or (written if isinstance(written, str) and written in SHAPES else "smtp"), provider)
    asked = {"type": None if kind == "smtp" else kind, "provider": provider}
    return tree | {key: value for key, value in asked.items() if value is not None}


def _check(name: str, kind: str, provider: str | None) -> None:
    if not re.fullmatch(NAME, name) or len(name) > 63:
        raise UsageError(f'"{name[:80]}" is not a name of a credential', hint="names are like crm-hook")
    if kind not in SHAPES:
        raise UsageError(f'"{kind}" is not a type', hint=f"types: {', '.join(SHAPES)}")
    if provider is not None and (provider not in PRESETS or kind not in ("smtp", "imap")):
        raise UsageError(f'"{provider}" is not a provider of {kind}', hint=f"providers: {', '.join(PRESETS)}")


class _Dialog:
    """One run through the questions."""

    def __init__(self, kind: str, ask: Ask, say: Say, preset: Preset | None) -> None:
        self.kind = kind
        self.ask = ask
        self.say = say
        self.preset = preset

    def text(
        self, tree: dict[str, Any], path: tuple[str, ...], *, default: str = "", required: bool = False
    ) -> str:
        """Ask for the field at ``path``; an empty answer leaves an optional field away."""
        where = ".".join(path)
        field = find_field(self.kind, path)
        assert field is not None
        choices = f" ({', '.join(field.choices)})" if field.choices else ""
        hidden = field.kind == "secret"
        answer = self.ask(f"{where}{choices}", default=default, hidden=hidden, multiline=field.kind == "pem")
        if not answer:
            if required:
                raise SecretError(f'no value was given for "{where}"')
            return ""
        if field.choices and answer not in field.choices:
            raise SecretError(f'"{where}" is not one of {", ".join(field.choices)}')
        leaf = typed_leaf(field, answer, where)
        section = tree.setdefault(path[0], {}) if len(path) == 2 else tree
        section[path[-1]] = leaf.value()
        return answer

    def server(self, tree: dict[str, Any]) -> None:
        """Where the mail server is; a preset needs no answers."""
        self.say("server")
        if self.preset is not None:
            self.say(f"  {self.preset.title}: {self.preset.hint or self.preset.host}")
            if "{region}" in self.preset.host:
                self.text(tree, ("server", "region"), required=True)
            return
        self.text(tree, ("server", "host"), required=True)
        port = self.text(
            tree, ("server", "port"), default="993" if self.kind == "imap" else "587", required=True
        )
        implied = "tls" if port in ("465", "993") else "starttls"
        if self.text(tree, ("server", "encryption"), default=implied) == implied:
            del tree["server"]["encryption"]

    def auth(self, tree: dict[str, Any]) -> None:
        """How to log in."""
        self.say("auth")
        variants = SHAPES[self.kind].sections["auth"].variants or {}
        chosen = self.text(tree, ("auth", "type"), default=next(iter(variants)), required=True)
        for key, field in variants[chosen].items():
            if self.kind == "webhook":
                tree["auth"][key] = self.ask(f"auth.{key} (empty makes one)", hidden=True) or _made(chosen)
                continue
            default = self.preset.username or "" if self.preset is not None and key == "username" else ""
            self.text(tree, ("auth", key), default=default, required=field.required)
        if self.kind == "smtp" and "@" not in tree["auth"].get("username", "@"):
            self.text(tree, ("sender", "default_from"))

    def security(self, tree: dict[str, Any]) -> None:
        """What is accepted; the defaults are the safe ones and are not written."""
        self.say("security")
        if self.text(tree, ("security", "certificates"), default="verify") == "verify":
            del tree["security"]["certificates"]

    def advanced(self, tree: dict[str, Any]) -> None:
        """Budgets; the rest is for ``secrets edit``."""
        self.say("advanced")
        default = ", ".join(self.preset.rates) if self.preset is not None else ""
        answer = self.ask("advanced.rates (like 14/s, 50000/day)", default=default)
        rates = [part.strip() for part in answer.split(",") if part.strip()]
        if rates and answer != default:
            tree["advanced"] = {"rates": rates}


def _made(kind: str) -> str:
    if kind == "signature":
        return "whsec_" + base64.b64encode(os.urandom(32)).decode()
    return secrets.token_urlsafe(32)
