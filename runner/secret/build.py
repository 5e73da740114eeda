"""Checked values become the credential that the rest of flowpost uses; defaults and presets are filled in here."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterator
from typing import Any

from runner.credential import (
    Credential,
    Dkim,
    Encryption,
    HttpCredential,
    ImapCredential,
    OAuth2Auth,
    PasswordAuth,
    Rate,
    Secret,
    SmtpCredential,
    WebhookCredential,
)
from runner.errors import ConfigurationError
from runner.secret.presets import PRESETS, Preset
from runner.secret.sender import check_sender
from runner.secret.sops.scalar import Leaf
from runner.secret.typed import Problem
from runner.units import rate

_FINGERPRINT_KEY = os.urandom(32)
"""Of this process alone: a fingerprint that leaks tells nothing about a password, not even by trying."""

_TOKEN_CHARS = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


def build(values: dict[str, Any], workspace: str, tree: Any) -> tuple[Credential | None, list[Problem]]:
    """The credential of ``values`` (as ``typed.check`` returns them without errors), and findings.

    A finding of severity error means that there is no credential.
    """
    problems: list[Problem] = []
    kind = values.get("type", "smtp")
    credential: Credential | None
    if kind == "http":
        credential = _http(values, workspace, problems)
    elif kind == "webhook":
        credential = _webhook(values, workspace, problems)
    else:
        credential = _mail(values, workspace, tree, problems)
    if any(problem.severity == "error" for problem in problems):
        return None, problems
    return credential, problems


def fingerprint(tree: Any) -> str:
    """A keyed hash of every path, type and value."""
    mac = hmac.new(_FINGERPRINT_KEY, digestmod=hashlib.sha256)
    for part in _flat(tree, ""):
        mac.update(len(part).to_bytes(8, "big"))
        mac.update(part)
    return mac.hexdigest()


def _flat(node: Any, path: str) -> Iterator[bytes]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _flat(value, f"{path}\0{key}")
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _flat(value, f"{path}\0{number}")
    elif isinstance(node, Leaf):
        yield f"{path}\0{node.kind}".encode()
        yield node.text.encode()


def _mail(values: dict[str, Any], workspace: str, tree: Any, problems: list[Problem]) -> Credential | None:
    imap = values.get("type") == "imap"
    preset = PRESETS.get(values.get("provider", ""))
    server, security = values.get("server", {}), values.get("security", {})
    host = server.get("host") or _preset_host(preset, server, imap, problems)
    port = server.get("port") or (993 if imap else preset.port if preset else None)
    if host is None and not problems:
        problems.append(Problem(("server",), '"server.host" is missing: write it, or a provider'))
    if port is None:
        problems.append(Problem(("server",), '"server.port" is missing: write 587 or 465, or a provider'))
    if port == 25:
        problems.append(
            Problem(
                ("server", "port"), "Port 25 is not allowed", "EPORT", hint="use 587 (STARTTLS) or 465 (TLS)"
            )
        )
    default = "tls" if port in ((993,) if imap else (465,)) else "starttls"
    encryption = Encryption(server.get("encryption") or default)
    auth = _login(values["auth"], preset, problems)
    plain = security.get("allow_plaintext_auth", False)
    _warn(encryption, auth, security, plain, problems)
    _check_authority(security, problems)
    if preset is not None and "host" not in server:
        _check_username(auth, preset, problems)
    if host is None or port is None:
        return None
    common: dict[str, Any] = {
        "workspace": workspace,
        "name": values["name"],
        "fingerprint": fingerprint(tree),
        "host": host,
        "port": port,
        "encryption": encryption,
        "auth": auth,
        "label": values.get("label", ""),
        "provider": values.get("provider", ""),
        "verify": security.get("certificates", "verify") == "verify",
        "min_tls": security.get("min_tls", "1.2"),
        "ca_pem": security.get("ca_pem"),
        "allow_plaintext_auth": plain,
    }
    if imap:
        return ImapCredential(**common, mailbox=values.get("mailbox", "INBOX"))
    return _smtp(values, common, preset, problems)


def _smtp(
    values: dict[str, Any], common: dict[str, Any], preset: Preset | None, problems: list[Problem]
) -> Credential:
    advanced, sender, dkim = values.get("advanced", {}), values.get("sender", {}), values.get("dkim")
    rates = advanced.get("rates") or tuple(rate(text) for text in (preset.rates if preset else ()))
    pool = (
        "client_identifier",
        "timeout_seconds",
        "max_connections",
        "max_messages",
        "idle_seconds",
        "chunking",
    )
    problems += check_sender(sender.get("default_from"), sender.get("allowed_from", ()))
    default_from = sender.get("default_from")
    if default_from is None and common["auth"] is not None and "@" in common["auth"].username:
        default_from = common["auth"].username
    return SmtpCredential(
        **common,
        **{key: advanced[key] for key in pool if key in advanced},
        rates=tuple(Rate(count, seconds) for count, seconds in rates),
        default_from=default_from,
        allowed_from=sender.get("allowed_from", ()),
        dkim=None if dkim is None else Dkim(**{**dkim, "private_key": Secret(dkim["private_key"])}),
    )


def _preset_host(
    preset: Preset | None, server: dict[str, Any], imap: bool, problems: list[Problem]
) -> str | None:
    if preset is None:
        return None
    if imap:
        return preset.imap_host
    if "{region}" not in preset.host:
        return preset.host
    region = server.get("region")
    if region is None:
        problems.append(
            Problem(("server",), '"server.region" is missing: provider ses needs it, for example eu-west-1')
        )
        return None
    return preset.host.format(region=region)


def _login(
    auth: dict[str, Any], preset: Preset | None, problems: list[Problem]
) -> PasswordAuth | OAuth2Auth | None:
    if auth["type"] == "none":
        return None
    if auth["type"] == "password":
        return PasswordAuth(auth["username"], Secret(auth["password"]))
    grant = auth.get("grant", "refresh_token")
    needed = "refresh_token" if grant == "refresh_token" else "client_secret"
    if needed not in auth:
        problems.append(Problem(("auth",), f'"auth.{needed}" is missing: grant {grant} needs it'))
    tenant = auth.get("tenant")
    token_url, scope = auth.get("token_url"), auth.get("scope")
    if preset is not None:
        token_url = token_url or (preset.token_url or "").replace("{tenant}", tenant or "common") or None
        scope = scope or preset.scope
        if grant == "client_credentials" and "scope" not in auth and preset.name == "microsoft365":
            scope = "https://outlook.office365.com/.default"
    if token_url is None:
        problems.append(Problem(("auth",), '"auth.token_url" is missing: write it, or a provider'))
    elif not token_url.startswith("https://"):
        problems.append(Problem(("auth", "token_url"), '"auth.token_url" must begin with https://'))
    return OAuth2Auth(
        username=auth["username"],
        grant=grant,
        client_id=auth["client_id"],
        client_secret=Secret(auth["client_secret"]) if "client_secret" in auth else None,
        refresh_token=Secret(auth["refresh_token"]) if "refresh_token" in auth else None,
        tenant=tenant,
        token_url=token_url,
        scope=scope,
    )


def _check_username(auth: PasswordAuth | OAuth2Auth | None, preset: Preset, problems: list[Problem]) -> None:
    if preset.username is not None and isinstance(auth, PasswordAuth) and auth.username != preset.username:
        message = f'"auth.username" is not {preset.username}, the only one that {preset.title} takes'
        problems.append(Problem(("auth", "username"), message, "credential", "warning", preset.hint))


def _check_authority(security: dict[str, Any], problems: list[Problem]) -> None:
    if "ca_pem" not in security or security.get("certificates") == "accept-unverified":
        return
    from runner.net.tls import client_context

    try:
        client_context(ca_pem=security["ca_pem"])
    except ConfigurationError:
        problems.append(
            Problem(
                ("security", "ca_pem"),
                '"security.ca_pem" holds no certificate that can be read',
                hint="paste the authority's certificate whole: -----BEGIN CERTIFICATE----- … -----END CERTIFICATE-----",
            )
        )


def _warn(
    encryption: Encryption, auth: object, security: dict[str, Any], plain: bool, problems: list[Problem]
) -> None:
    if encryption is Encryption.NONE:
        rest = "and the password goes in clear" if plain else "and no password is sent over it"
        problems.append(
            Problem(
                ("server", "encryption"),
                f'"server.encryption" is none: mail can be read and changed on its way{", " + rest if auth else ""}',
                "credential",
                "warning",
                "use starttls or tls",
            )
        )
    if security.get("certificates") == "accept-unverified":
        problems.append(
            Problem(
                ("security", "certificates"),
                '"security.certificates" is accept-unverified: anyone in between can take the password',
                "credential",
                "warning",
                "verify, with security.ca_pem for a private authority",
            )
        )


def _http(values: dict[str, Any], workspace: str, problems: list[Problem]) -> HttpCredential:
    auth = values["auth"]
    header, value = "Authorization", ""
    if auth["type"] == "bearer":
        value = f"Bearer {auth['token']}"
        if not auth["token"].isascii() or " " in auth["token"]:
            problems.append(Problem(("auth", "token"), '"auth.token" is not a bearer token'))
    elif auth["type"] == "basic":
        if ":" in auth["username"]:
            problems.append(Problem(("auth", "username"), '"auth.username" holds a colon (RFC 7617)'))
        pair = f"{auth['username']}:{auth['password']}".encode()
        value = f"Basic {base64.b64encode(pair).decode()}"
    else:
        header, value = auth["header"], auth["value"]
        if not set(header.lower()) <= _TOKEN_CHARS:
            problems.append(Problem(("auth", "header"), '"auth.header" is not a header name'))
        elif header.lower() in ("host", "content-length", "transfer-encoding", "connection"):
            problems.append(
                Problem(("auth", "header"), '"auth.header" is a header that flowpost sets itself')
            )
        if not value.isascii() or value != value.strip():
            problems.append(Problem(("auth", "value"), '"auth.value" is not a header value'))
    return HttpCredential(workspace=workspace, name=values["name"], header=header, value=Secret(value))


def _webhook(values: dict[str, Any], workspace: str, problems: list[Problem]) -> WebhookCredential:
    auth = values["auth"]
    if auth["type"] == "token":
        if len(auth["token"]) < 16:
            problems.append(
                Problem(
                    ("auth", "token"),
                    '"auth.token" is shorter than 16 characters: it can be guessed',
                    code="credential",
                    severity="warning",
                )
            )
        secret = auth["token"]
    else:
        secret = auth["secret"]
        try:
            text = secret.removeprefix("whsec_").rstrip("=")
            raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if not 16 <= len(raw) <= 256:
            problems.append(
                Problem(("auth", "secret"), '"auth.secret" is not whsec_ and base64 of 24 to 64 bytes')
            )
    return WebhookCredential(
        workspace=workspace, name=values["name"], kind=auth["type"], secret=Secret(secret)
    )
