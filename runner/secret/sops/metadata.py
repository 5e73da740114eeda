"""The ``sops:`` mapping of a file: who can decrypt, what is encrypted, and the sealed MAC."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from runner.secret.sops import pattern
from runner.secret.sops.nodes import FormatError, Mapping, Node, Scalar, Sequence

_FOREIGN = {
    "pgp": "PGP keys",
    "kms": "AWS KMS keys",
    "gcp_kms": "Google Cloud KMS keys",
    "azure_kv": "Azure Key Vault keys",
    "hc_vault": "HashiCorp Vault keys",
    "hckms": "Huawei Cloud KMS keys",
    "key_groups": "key groups",
}
_RULES = ("unencrypted_suffix", "encrypted_suffix", "unencrypted_regex", "encrypted_regex")
_COMMENT_RULES = ("unencrypted_comment_regex", "encrypted_comment_regex")
_PLAIN = ("lastmodified", "mac", "version", "mac_only_encrypted", "shamir_threshold", "age")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[-+][0-9]{2}:[0-9]{2})", re.ASCII
)

DEFAULT_SUFFIX = "_unencrypted"
MAX_RECIPIENTS = 100


class Stanza(NamedTuple):
    """One recipient and the data key encrypted to it (an armored age file)."""

    recipient: str
    enc: str


@dataclass(frozen=True, slots=True)
class Rule:
    """Which keys are encrypted: ``kind`` is one of SOPS's four, ``text`` its suffix or pattern."""

    kind: str = "unencrypted_suffix"
    text: str = DEFAULT_SUFFIX

    matcher: Any = field(default=None, init=False, compare=False)

    def __post_init__(self) -> None:
        if self.kind.endswith("regex"):
            object.__setattr__(self, "matcher", pattern.compile(self.kind, self.text))

    def encrypts(self, path: tuple[str, ...]) -> bool:
        """Whether the value at ``path`` is to be encrypted."""
        if self.matcher is None:
            hit = any(part.endswith(self.text) for part in path)
        else:
            hit = any(self.matcher.search(part) for part in path)
        return hit != self.kind.startswith("unencrypted")


@dataclass(frozen=True, slots=True, repr=False)
class Metadata:
    """A file's metadata; ``mac_node`` and ``time_node`` are where an edit writes."""

    stanzas: tuple[Stanza, ...]
    last_modified: str
    mac: str
    rule: Rule
    mac_only_encrypted: bool
    version: str
    node: Mapping
    mac_node: Scalar
    time_node: Scalar

    @property
    def recipients(self) -> tuple[str, ...]:
        """The recipients that the file names; they are not authenticated."""
        return tuple(stanza.recipient for stanza in self.stanzas)


def read(root: Mapping) -> Metadata:
    """The metadata of a composed file; FormatError when it is missing, incomplete, or needs what is not supported."""
    node = root.get("sops")
    if node is None:
        raise FormatError(
            "the file is not encrypted: it has no sops section",
            line=1,
            column=1,
            hint="encrypt it with flowpost secrets new or sops encrypt, and change what it held: it lay in clear",
        )
    if not isinstance(node, Mapping):
        raise FormatError("the sops section is not a mapping", line=node.line, column=node.column)
    for key, value in node.pairs:
        _known(key, value)
    mac, time = _scalar(node, "mac"), _scalar(node, "lastmodified")
    if not _TIME.fullmatch(time.text):
        raise FormatError(
            "lastmodified is not a time like 2026-01-31T12:00:00Z", line=time.line, column=time.column
        )
    found = ((name, node.get(name)) for name in _RULES)
    rules = [Rule(name, value.text) for name, value in found if isinstance(value, Scalar) and value.text]
    if len(rules) > 1:
        raise FormatError(
            f"more than one of {', '.join(_RULES)} in the sops section", line=node.line, column=1
        )
    only = node.get("mac_only_encrypted")
    version = node.get("version")
    return Metadata(
        stanzas=_stanzas(node),
        last_modified=time.text,
        mac=mac.text,
        rule=rules[0] if rules else Rule(),
        mac_only_encrypted=isinstance(only, Scalar) and only.text.lower() == "true",
        version=version.text if isinstance(version, Scalar) else "",
        node=node,
        mac_node=mac,
        time_node=time,
    )


def _known(key: Scalar, value: Node) -> None:
    empty = isinstance(value, Scalar) and value.plain and value.text in ("", "null", "~")
    empty = empty or (isinstance(value, Sequence) and not value.items)
    if key.text in _FOREIGN:
        if not empty:
            raise FormatError(
                f'{_FOREIGN[key.text]} ("{key.text}") are not supported, only age recipients are',
                line=key.line,
                column=key.column,
                hint="make a file for age recipients alone: sops updatekeys, after .sops.yaml names only those",
            )
    elif key.text in _COMMENT_RULES:
        if not empty:
            raise FormatError(f'"{key.text}" is not supported', line=key.line, column=key.column)
    elif key.text == "shamir_threshold":
        if not (empty or (isinstance(value, Scalar) and value.text in ("0", "1"))):
            raise FormatError(
                "key groups (shamir_threshold) are not supported", line=key.line, column=key.column
            )
    elif key.text not in _PLAIN and key.text not in _RULES:
        raise FormatError(
            f'"{key.text}" in the sops section is not known',
            line=key.line,
            column=key.column,
            hint="the file may come from a newer sops than 3.13",
        )
    elif key.text != "age" and not isinstance(value, Scalar):
        raise FormatError(
            f'"{key.text}" in the sops section is not one value', line=key.line, column=key.column
        )


def _scalar(node: Mapping, name: str) -> Scalar:
    value = node.get(name)
    if not isinstance(value, Scalar) or not value.text:
        raise FormatError(f"the sops section has no {name}", line=node.line, column=node.column)
    return value


def _stanzas(node: Mapping) -> tuple[Stanza, ...]:
    age = node.get("age")
    if not isinstance(age, Sequence) or not age.items:
        raise FormatError("the sops section names no age recipient", line=node.line, column=node.column)
    if len(age.items) > MAX_RECIPIENTS:
        raise FormatError(f"more than {MAX_RECIPIENTS} recipients", line=age.line, column=age.column)
    stanzas = []
    for item in age.items:
        recipient = item.get("recipient") if isinstance(item, Mapping) else None
        enc = item.get("enc") if isinstance(item, Mapping) else None
        if not isinstance(recipient, Scalar) or not isinstance(enc, Scalar):
            raise FormatError("an age entry needs recipient and enc", line=item.line, column=item.column)
        if "AGE-SECRET-KEY" in recipient.text.upper() or "PRIVATE KEY" in recipient.text:
            raise FormatError(
                "a private key stands where a recipient must be", line=item.line, column=item.column
            )
        stanzas.append(Stanza(recipient.text.strip(), enc.text))
    return tuple(stanzas)
