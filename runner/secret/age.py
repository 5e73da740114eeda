"""age, by way of pyrage: keys, recipients, and files with bounds on what they may cost.

pyrage's exceptions end here. None of the messages holds a key.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from typing import Any

from runner.errors import SecretError

MAX_BYTES = 1 << 20
MAX_STANZAS = 1000
MAX_SCRYPT_LOG_N = 22
"""As age itself allows: 4 GiB and some seconds. age writes 2**18; rage, and we, what takes a second, which is 2**20 or
2**21 on a quick machine.
"""

_ARMOR = b"-----BEGIN AGE ENCRYPTED FILE-----"
_MAGIC = b"age-encryption.org/v1\n"


class NoMatch(SecretError):
    """None of the identities belongs to one of the file's recipients."""


def generate() -> tuple[str, str]:
    """A fresh X25519 pair: ``(identity, recipient)`` as ``AGE-SECRET-KEY-1…`` and ``age1…``."""
    from pyrage import x25519

    identity = x25519.Identity.generate()
    return str(identity), str(identity.to_public())


def recipient_of(identity: str) -> str | None:
    """The recipient of an X25519 identity; None for another kind; SecretError when it is damaged."""
    parsed = parse_identity(identity)
    return str(parsed.to_public()) if hasattr(parsed, "to_public") else None


def parse_identity(text: str) -> Any:
    """An identity from ``AGE-SECRET-KEY-1…`` or the text of an SSH private key; SecretError without the text."""
    from pyrage import IdentityError, ssh, x25519

    text = text.strip()
    try:
        if text.startswith("AGE-SECRET-KEY-1"):
            return x25519.Identity.from_str(text)
        if text.startswith("-----BEGIN") and "PRIVATE KEY" in text[:80]:
            return ssh.Identity.from_buffer((text + "\n").encode("utf-8"))
    except IdentityError as error:
        raise SecretError(_why_unusable(text, str(error))) from None
    except BaseException as error:  # noqa: BLE001  (a panic in the parser must not end the service)
        _reraise_unless_panic(error)
        raise SecretError("the identity is damaged") from None
    if text.startswith(("AGE-PLUGIN-", "AGE-SECRET-KEY-PQ-")):
        raise SecretError("identities of plugins and hybrid keys are not supported")
    raise SecretError("it is neither an age identity nor an SSH private key")


def _why_unusable(text: str, told: str) -> str:
    if "must be decrypted" in told:
        return "the SSH key is protected by a passphrase, which is not supported"
    if text.startswith("-----BEGIN EC PRIVATE KEY-----") or 'Type("ecdsa' in told:
        return "SSH keys of type ecdsa are not supported, only ed25519 and rsa"
    if found := re.search(r'unsupported key: Type\("([a-z0-9@.-]{1,64})"\)', told):
        return f"SSH keys of type {found[1]} are not supported, only ed25519 and rsa"
    return "the identity is damaged"


def parse_recipient(text: str) -> Any:
    """A recipient from ``age1…`` or ``ssh-ed25519 …``/``ssh-rsa …``; SecretError that quotes it (it is public)."""
    from pyrage import RecipientError, ssh, x25519

    text = text.strip()
    if holds_key(text):
        raise SecretError(
            "a private key stands where a recipient must be",
            hint="take it as known to everyone who saw it: make a new one with flowpost secrets keygen",
        )
    try:
        if text.startswith("ssh-"):
            return ssh.Recipient.from_str(text)
        if text.startswith("age1"):
            return x25519.Recipient.from_str(text)
    except RecipientError:
        pass
    except BaseException as error:  # noqa: BLE001
        _reraise_unless_panic(error)
    raise SecretError(
        f'"{text[:120]}" is not a recipient',
        hint="a recipient begins with age1, ssh-ed25519 or ssh-rsa; plugins and hybrid keys are not supported",
    )


def holds_key(text: str) -> bool:
    """Whether ``text`` is a private key that somebody put in the wrong place: it must not be quoted."""
    return "AGE-SECRET-KEY" in text.upper() or "PRIVATE KEY" in text or "AGE-PLUGIN-" in text.upper()


def encrypt(plain: bytes, recipients: Iterable[str], *, armored: bool = True) -> bytes:
    """``plain`` for every recipient; SecretError when there is none or one is not valid."""
    import pyrage

    parsed = [parse_recipient(recipient) for recipient in recipients]
    if not parsed:
        raise SecretError("there is no recipient to encrypt for")
    try:
        return bytes(pyrage.encrypt(plain, parsed, armored=armored))
    except pyrage.EncryptError as error:
        raise SecretError(f"age could not encrypt: {error}") from None


def encrypt_with_passphrase(plain: bytes, passphrase: str, *, armored: bool = True) -> bytes:
    """``plain`` under a passphrase (scrypt; about a second of CPU)."""
    from pyrage import passphrase as by_passphrase

    return bytes(by_passphrase.encrypt(plain, passphrase, armored=armored))


def decrypt(data: bytes, identities: Sequence[str], *, passphrase: str | None = None) -> bytes:
    """The content of an age file, armored or binary.

    ``NoMatch`` when no identity fits, SecretError when the file is damaged, too large, or asks for too much work.
    With a scrypt stanza this takes a second of CPU: call it from a thread.
    """
    import pyrage

    kinds = _stanza_kinds(data)
    try:
        if "scrypt" in kinds:
            if passphrase is None:
                raise NoMatch(
                    "the file is protected by a passphrase, and none is at hand",
                    hint="set FLOWPOST_AGE_PASSPHRASE_FILE",
                )
            return _by_passphrase(data, passphrase)
        parsed = [parse_identity(identity) for identity in identities]
        return bytes(pyrage.decrypt(data, parsed))
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            raise NoMatch("none of the identities is one of its recipients") from None
        raise SecretError("the age file is damaged") from None
    except SecretError:
        raise
    except BaseException as error:  # noqa: BLE001
        _reraise_unless_panic(error)
        raise SecretError("the age file is damaged") from None


_CHILD = """\
import sys
from pyrage import DecryptError, passphrase
text = sys.stdin.buffer.read()
length = int.from_bytes(text[:4], "big")
try:
    plain = passphrase.decrypt(text[4 + length:], text[4:4 + length].decode())
except BaseException:
    sys.exit(3)
sys.stdout.buffer.write(plain)
"""


def _by_passphrase(data: bytes, passphrase: str) -> bytes:
    """Decrypt in a process of its own: the binding keeps the interpreter's lock while scrypt works, so that a thread
    would stop the event loop for a second or more. The passphrase goes through a pipe, never into arguments.
    """
    import os
    import subprocess
    import sys

    from pyrage import passphrase as by_passphrase

    word = passphrase.encode("utf-8", "surrogateescape")
    done = subprocess.run(  # noqa: S603  (this interpreter, isolated)
        [sys.executable, "-I", "-c", _CHILD],
        input=len(word).to_bytes(4, "big") + word + data,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ},
        check=False,
    )
    if done.returncode == 3:
        raise SecretError("the passphrase is wrong, or the age file is damaged")
    if done.returncode < 0:
        # Its memory is what scrypt's work is made of; here the same would end the service.
        raise SecretError(
            "scrypt was killed: the age file asks for more memory than there is",
            hint="encrypt it anew with less work, as age itself does (2**18: 256 MiB)",
        )
    # Where this interpreter cannot be started alone (an embedded one), slow is better than not at all.
    return done.stdout if done.returncode == 0 else bytes(by_passphrase.decrypt(data, passphrase))


def check(data: bytes) -> None:
    """SecretError when ``data`` has not the form of an age file, as far as that can be seen without a key."""
    _stanza_kinds(data)


def is_age(data: bytes) -> bool:
    """Whether ``data`` begins as an age file does."""
    return data.lstrip()[: len(_ARMOR)] == _ARMOR or data.startswith(_MAGIC)


def _stanza_kinds(data: bytes) -> set[str]:
    """The kinds of recipient stanzas in the header, read under bounds before age sees the file."""
    if len(data) > MAX_BYTES:
        raise SecretError(f"the age file has {len(data)} bytes, at most {MAX_BYTES} are read")
    if not data.startswith(_MAGIC):
        data = _unarmor(data)
    kinds: set[str] = set()
    count = 0
    for line in data.split(b"\n", 40_000)[1:]:
        if line.startswith(b"---"):
            return kinds
        if line.startswith(b"-> "):
            count += 1
            words = line.decode("ascii", "replace").split(" ")
            kinds.add(words[1])
            if words[1] == "scrypt":
                _check_work(words)
        if count > MAX_STANZAS:
            break
    raise SecretError("the age file is damaged: its header does not end")


def _check_work(words: list[str]) -> None:
    if len(words) != 4 or not re.fullmatch(r"[1-9][0-9]?", words[3]):
        raise SecretError("the age file is damaged: its scrypt stanza is malformed")
    if int(words[3]) > MAX_SCRYPT_LOG_N:
        raise SecretError(
            f"the age file asks for scrypt work of 2**{words[3]}, at most 2**{MAX_SCRYPT_LOG_N} is done"
        )


def _unarmor(data: bytes) -> bytes:
    lines = data.strip().splitlines()
    if not lines or lines[0] != _ARMOR or lines[-1] != b"-----END AGE ENCRYPTED FILE-----":
        raise SecretError("it is not an age file, or its armor is damaged")
    try:
        plain = base64.b64decode(b"".join(lines[1:-1]), validate=True)
    except binascii.Error:
        raise SecretError("the age file's armor is damaged") from None
    if not plain.startswith(_MAGIC):
        raise SecretError("the age file's armor is damaged")
    return plain


def _reraise_unless_panic(error: BaseException) -> None:
    """Let everything through that is not the binding's own panic (a BaseException, not an Exception)."""
    if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
        raise error
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error
