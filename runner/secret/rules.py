"""``.sops.yaml``: who shall be able to decrypt. The only source of recipients; a credential file is not one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from runner.errors import SecretError
from runner.secret import age, files
from runner.secret.sops import nodes
from runner.secret.sops.nodes import FormatError, Mapping, Node, Scalar, Sequence
from runner.secret.sops.pattern import compile as compile_pattern

FILE = ".sops.yaml"
HINT = "flowpost secrets init makes a key and this file"
_FOREIGN = (
    "pgp",
    "kms",
    "gcp_kms",
    "azure_keyvault",
    "hc_vault_transit_uri",
    "hckms",
    "key_groups",
    "shamir_threshold",
)
_RULE_KEYS = ("path_regex", "age", "encrypted_regex", "unencrypted_suffix")


@dataclass(frozen=True, slots=True)
class CreationRule:
    """The rule that applies to a file: its recipients, and where they stand."""

    config: Path
    recipients: tuple[str, ...]
    line: int


def find(root: Path) -> Path | None:
    """The .sops.yaml of the workspace ``root``, or of a folder above it in the same repository."""
    folders = [root, *root.parents]
    repository = next((number for number, folder in enumerate(folders) if (folder / ".git").exists()), 0)
    return next((path for folder in folders[: repository + 1] if (path := folder / FILE).exists()), None)


def for_file(root: Path, path: Path) -> CreationRule:
    """The first rule of .sops.yaml that matches ``path``; SecretError when none does or it is not usable.

    PGP, KMS and key groups are refused by name.
    """
    config = find(root.resolve())
    if config is None:
        raise SecretError(
            f"{root / FILE} is not there: it says who can decrypt",
            hint=HINT,
        )
    try:
        text = nodes.read_text(files.read(config))
        relative = path.resolve().relative_to(config.parent).as_posix()
        return _rule(config, nodes.compose(text, aliases=True), relative)
    except FormatError as error:
        raise SecretError(f"{config}:{error.line}: {error.message}", hint=error.hint) from None
    except SecretError as error:
        raise SecretError(f"{config}: {error.message}", hint=error.hint) from None
    except (OSError, ValueError):
        raise SecretError(f"{config} cannot be used for {path}") from None


def _rule(path: Path, root: Mapping, relative: str) -> CreationRule:
    rules = root.get("creation_rules")
    if not isinstance(rules, Sequence) or not rules.items:
        raise FormatError("there are no creation_rules", line=1)
    for rule in rules.items:
        if not isinstance(rule, Mapping):
            raise FormatError("a creation rule is not a mapping", line=rule.line)
        pattern = rule.get("path_regex")
        if isinstance(pattern, Scalar) and pattern.text and not _matches(pattern.text, relative):
            continue
        return _recipients(path, rule)
    raise FormatError(f"no creation rule matches {relative}", line=rules.line)


def _matches(pattern: str, relative: str) -> bool:
    return compile_pattern("path_regex", pattern).search(relative) is not None


def _recipients(path: Path, rule: Mapping) -> CreationRule:
    for key, value in rule.pairs:
        if key.text in _FOREIGN and not (isinstance(value, Scalar) and value.text in ("", "null")):
            raise FormatError(f'"{key.text}" is not supported, only age recipients are', line=key.line)
        if key.text == "mac_only_encrypted" and isinstance(value, Scalar) and value.text == "true":
            raise FormatError("mac_only_encrypted is not allowed for credentials", line=key.line)
    entry = rule.get("age")
    if entry is None:
        raise FormatError("the creation rule names no age recipient", line=rule.line)
    texts = [part.strip() for text in _texts(entry) for part in text.split(",")]
    recipients = tuple(dict.fromkeys(text for text in texts if text))
    if not recipients:
        raise FormatError("the creation rule names no age recipient", line=entry.line)
    for recipient in recipients:
        try:
            age.parse_recipient(recipient)
        except SecretError as error:
            raise FormatError(error.message, line=entry.line, hint=error.hint) from None
    return CreationRule(path, recipients, entry.line)


def _texts(entry: Node) -> list[str]:
    if isinstance(entry, Scalar):
        return [entry.text]
    if isinstance(entry, Sequence) and all(isinstance(item, Scalar) for item in entry.items):
        return [item.text for item in entry.items if isinstance(item, Scalar)]
    raise FormatError("age must be a text or a list of texts", line=entry.line)


def new_config(recipients: tuple[str, ...], folder: str) -> bytes:
    """A fresh .sops.yaml for the files of ``folder``."""
    lines = [
        "# Who can decrypt the credentials. Changes here take effect with: flowpost secrets rotate",
        "creation_rules:",
        f"  - path_regex: ^{re.escape(folder)}/[^/]+\\.yaml$",
        "    age: >-",
        ",\n".join(f"      {recipient}" for recipient in recipients),
    ]
    return ("\n".join(lines) + "\n").encode()
