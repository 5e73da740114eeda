"""``flowpost.yaml`` and the environment become ``Settings``; what is not understood stops everything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner import schema, source
from runner.diagnostic import Diagnostic, Invalid, has_errors
from runner.errors import ConfigurationError
from runner.load.workspace import SETTINGS_FILE, read_file
from runner.model import Delivery, Settings
from runner.units import duration, rate, size

_ADDRESS = r"[^\s@,;<>()\[\]\"*]+@[^\s@,;<>()\[\]\"*]+"
# A pattern that can match nothing would refuse every message: no * in the domain, no empty part of it.
_LABEL = r"(?!-)[^\s@,;<>()\[\]\"*.]+"
_PATTERN = rf"(?:\*|[^\s@,;<>()\[\]\"*]+)@{_LABEL}(?:\.{_LABEL})*"

VARIABLES: dict[str, tuple[str, ...]] = {
    "FLOWPOST_WORKSPACE": ("workspace",),
    "FLOWPOST_FLOWS": ("flows",),
    "FLOWPOST_TEMPLATES": ("templates",),
    "FLOWPOST_SECRETS": ("secrets",),
    "FLOWPOST_DATABASE": ("database",),
    "FLOWPOST_HTTP_HOST": ("http", "host"),
    "FLOWPOST_HTTP_PORT": ("http", "port"),
    "FLOWPOST_HTTP_MAX_BODY": ("http", "max_body"),
    "FLOWPOST_HTTP_RATE": ("http", "rate"),
    "FLOWPOST_HISTORY_KEEP": ("history", "keep"),
    "FLOWPOST_NETWORK_ALLOW": ("network", "allow"),
    "FLOWPOST_DELIVERY": ("delivery",),
}
"""Which variable stands for which setting."""

_OTHERS = ("FLOWPOST_AGE_PASSPHRASE", "FLOWPOST_AGE_PASSPHRASE_FILE", "FLOWPOST_DEBUG")
_CLOSE = 0.85


def load_settings(root: Path, environ: Mapping[str, str]) -> Settings:
    """The settings of the workspace at ``root``: its ``flowpost.yaml``, if any, with ``environ`` over it.

    Raises Invalid for mistakes in the file and ConfigurationError for a variable that is not understood: a
    ``FLOWPOST_DELIVERY`` with a slip of the pen must not mail customers.
    """
    file = root / SETTINGS_FILE
    # A link that leads nowhere is a mistake to tell, and no reason to mail by the defaults.
    settings = _from_file(root) if file.is_symlink() or file.exists() else {}
    _override(settings, environ)
    http, history = settings.get("http", {}), settings.get("history", {})
    defaults = Settings()
    for kind in ("flows", "templates", "secrets"):
        folder = settings.get(kind, getattr(defaults, kind))
        if problem := _folder_problem(root, folder):
            raise ConfigurationError(f'the {kind} folder "{folder}" {problem}')
    delivery = settings.get("delivery", {})
    return Settings(
        workspace=settings.get("workspace", defaults.workspace),
        flows=settings.get("flows", defaults.flows).strip("/"),
        templates=settings.get("templates", defaults.templates).strip("/"),
        secrets=settings.get("secrets", defaults.secrets).strip("/"),
        database=settings.get("database", defaults.database),
        http_host=http.get("host", defaults.http_host),
        http_port=int(http.get("port", defaults.http_port)),
        http_max_body=size(http["max_body"]) if "max_body" in http else defaults.http_max_body,
        http_rate=rate(http["rate"]) if "rate" in http else defaults.http_rate,
        history_keep=duration(history["keep"]) if "keep" in history else defaults.history_keep,
        network_allow=tuple(settings.get("network", {}).get("allow", ())),
        vars=settings.get("vars", {}),
        delivery=Delivery(
            mode=delivery.get("mode", "live"), to=delivery.get("to"), allow=tuple(delivery.get("allow", ()))
        ),
    )


def _from_file(root: Path) -> dict[str, Any]:
    document = source.read(read_file(root, SETTINGS_FILE, source.MAX_BYTES), SETTINGS_FILE, allow_empty=True)
    findings = schema.check("workspace", document)
    value = document.value
    if isinstance(value, dict):
        findings += _own_rules(root, document)
    if has_errors(findings):
        raise Invalid(findings)
    return dict(value)


def _own_rules(root: Path, document: source.Document) -> list[Diagnostic]:
    """What a JSON Schema cannot say, for the parts that have the right shape."""
    value = document.value
    found = []
    for kind in ("flows", "templates", "secrets"):
        folder = value.get(kind)
        if isinstance(folder, str) and (problem := _folder_problem(root, folder)):
            found.append(document.finding((kind,), f'the folder "{folder}" {problem}'))
    delivery = value.get("delivery")
    if isinstance(delivery, dict):
        to, allow = delivery.get("to"), delivery.get("allow")
        if isinstance(to, str) and not re.fullmatch(_ADDRESS, to):
            found.append(
                document.finding(
                    ("delivery", "to"), f'"{to}" is not one address like qa@acme.com', "EADDRESS"
                )
            )
        for number, pattern in enumerate(allow if isinstance(allow, list) else ()):
            if isinstance(pattern, str) and not re.fullmatch(_PATTERN, pattern):
                message = f'"{pattern}" is not an address or a pattern like *@acme.com'
                hint = "a * stands for all that is before the @; each domain is listed on its own"
                found.append(
                    document.finding(
                        ("delivery", "allow", number),
                        message,
                        "EADDRESS",
                        hint=hint if "*" in pattern else "",
                    )
                )
    network = value.get("network")
    allow = network.get("allow") if isinstance(network, dict) else None
    for number, entry in enumerate(allow if isinstance(allow, list) else ()):
        if isinstance(entry, str) and (wrong := _no_network(entry)):
            found.append(document.finding(("network", "allow", number), wrong.message, hint=wrong.hint or ""))
    return found


def _no_network(entry: str) -> ConfigurationError | None:
    from runner.net.guard import Guard

    try:
        Guard((entry,))
    except ConfigurationError as error:
        return error
    return None


def _folder_problem(root: Path, folder: str) -> str:
    if "\0" in folder or Path(folder).is_absolute() or ".." in Path(folder).parts:
        return "is not inside the workspace"
    try:
        if not (root / folder).resolve().is_relative_to(root.resolve()):
            return "leads out of the workspace"
    except (OSError, RuntimeError):
        return "leads in a circle"
    return ""


def _override(settings: dict[str, Any], environ: Mapping[str, str]) -> None:
    for name in environ:
        if name.startswith("FLOWPOST_") and name not in VARIABLES and name not in _OTHERS:
            _refuse_misspelt(name, environ[name])
    for name, place in VARIABLES.items():
        if name not in environ:
            continue
        value = _parsed(name, environ[name])
        if len(place) == 1:
            settings[place[0]] = value
        else:
            settings[place[0]] = {**settings.get(place[0], {}), place[1]: value}


def _refuse_misspelt(name: str, text: str) -> None:
    """Raise ConfigurationError for what was probably meant for us; other variables may be anybody's."""
    import difflib

    own = name.removeprefix("FLOWPOST_")
    if own.startswith("DEL"):
        raise ConfigurationError(f"the variable {name} is not known", hint="did you mean FLOWPOST_DELIVERY?")
    if text.startswith("tcp://"):
        return  # Kubernetes, for a service whose name begins like ours
    if own.lower() in schema.load("workspace")["properties"]:
        inner = ", ".join(known for known in VARIABLES if known.startswith(f"{name}_"))
        hint = f"set {own.lower()} in flowpost.yaml" + (f"; variables: {inner}" if inner else "")
        raise ConfigurationError(f"the variable {name} is not known", hint=hint)
    names = [known.removeprefix("FLOWPOST_") for known in (*VARIABLES, *_OTHERS)]
    if near := difflib.get_close_matches(own[:60], names, 1, _CLOSE):
        raise ConfigurationError(
            f"the variable {name} is not known", hint=f"did you mean FLOWPOST_{near[0]}?"
        )


def _parsed(name: str, text: str) -> Any:
    """The value that ``text`` stands for, held to the schema of its setting."""
    if name == "FLOWPOST_DELIVERY":
        return _delivery(text)
    if name == "FLOWPOST_NETWORK_ALLOW":
        return [part.strip() for part in text.split(",") if part.strip()]
    properties = schema.load("workspace")["properties"]
    rules: dict[str, Any] = {"properties": properties}
    for step in VARIABLES[name]:
        rules = rules["properties"][step]
    value: Any = text
    if rules["type"] == "integer" and re.fullmatch("[0-9]{1,9}", text):
        value = int(text)
    if problems := schema.unaudited_checker(rules).problems(value):
        reason = rules.get("patternErrorMessage") or problems[0].message
        hint = (
            "Kubernetes sets it for a service of that name: rename the service"
            if text.startswith("tcp://")
            else None
        )
        shown = "the value" if rules.get("writeOnly") else f'"{text[:60]}"'
        reason = f"is {reason}" if "patternErrorMessage" in rules else reason
        raise ConfigurationError(f"{name}: {shown} {reason}", hint=hint)
    return value


def _delivery(text: str) -> dict[str, Any]:
    mode, _, rest = text.partition(":")
    if text in ("live", "capture"):
        return {"mode": text}
    if mode == "redirect" and re.fullmatch(_ADDRESS, rest):
        return {"mode": mode, "to": rest}
    patterns = [part.strip() for part in rest.split(",")]
    if mode == "allowlist" and all(re.fullmatch(_PATTERN, pattern) for pattern in patterns):
        return {"mode": mode, "allow": patterns}
    raise ConfigurationError(
        f'FLOWPOST_DELIVERY: "{text[:100]}" is not understood, so that nothing is sent',
        hint="live, capture, redirect:qa@acme.com, or allowlist:*@acme.com,ann@example.com",
    )
