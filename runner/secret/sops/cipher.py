"""One value: ``ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`` and back.

The nonce has 32 bytes, not the usual 12; the additional data is the value's path, so that a value that was moved does
not decrypt. The type is *not* authenticated: what trusts it needs a policy of its own.
"""

from __future__ import annotations

import base64
import binascii
import os
import re

from runner.secret.sops.nodes import FormatError
from runner.secret.sops.scalar import Leaf, canonical

_FORM = re.compile(
    r"ENC\[AES256_GCM,data:([A-Za-z0-9+/=]+),iv:([A-Za-z0-9+/=]+),tag:([A-Za-z0-9+/=]+),type:([a-z]+)\]"
)
_KINDS = ("str", "int", "float", "bool", "time", "comment")
_IV = 32
_TAG = 16

KEY_BYTES = 32


def new_key() -> bytes:
    """A fresh data key."""
    return os.urandom(KEY_BYTES)


def looks_encrypted(text: str) -> bool:
    """Whether ``text`` has the form of an encrypted value."""
    return _FORM.fullmatch(text) is not None


def kind_of(text: str) -> str:
    """The type that an encrypted value claims, empty when it is not one."""
    match = _FORM.fullmatch(text)
    return match[4] if match else ""


def path_data(path: tuple[str, ...]) -> str:
    """The additional data of the value at ``path``; list items have their list's path."""
    return ":".join(path) + ":"


def seal(leaf: Leaf, key: bytes, additional: str) -> str:
    """Encrypt one value under a fresh nonce; the empty text stays empty, as SOPS does it."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if leaf.text == "":
        return ""
    iv = os.urandom(_IV)
    sealed = AESGCM(key).encrypt(iv, leaf.text.encode("utf-8"), additional.encode("utf-8"))
    data, tag = (base64.b64encode(part).decode() for part in (sealed[:-_TAG], sealed[-_TAG:]))
    return f"ENC[AES256_GCM,data:{data},iv:{base64.b64encode(iv).decode()},tag:{tag},type:{leaf.kind}]"


def unseal(text: str, key: bytes, additional: str) -> Leaf:
    """Decrypt one value; FormatError when its form, nonce, tag, path or type is wrong."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    match = _FORM.fullmatch(text)
    if match is None:
        raise FormatError("it is not an encrypted value")
    data, iv, tag = (_base64(part) for part in match.group(1, 2, 3))
    if len(iv) != _IV or len(tag) != _TAG:
        raise FormatError("its nonce or tag has the wrong length")
    if match[4] not in _KINDS:
        raise FormatError(f'its type "{match[4]}" is not known')
    try:
        plain = AESGCM(key).decrypt(iv, data + tag, additional.encode("utf-8"))
    except InvalidTag:
        raise FormatError("it was changed, moved here, or encrypted with another key") from None
    try:
        return canonical(match[4], plain.decode("utf-8"))
    except UnicodeDecodeError:
        raise FormatError("it is not UTF-8 text") from None


def _base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise FormatError("its base64 is damaged") from None
    # Two spellings of one value would let a file change without a change: only the canonical one is read.
    if base64.b64encode(data).decode() != text:
        raise FormatError("its base64 is damaged")
    return data
