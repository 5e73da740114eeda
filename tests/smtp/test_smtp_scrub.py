"""A server that echoes the login line does not get it into an error; nor does it get control characters
there.
"""

from __future__ import annotations

import base64
import urllib.parse

import pytest

from runner.credential import PasswordAuth, Secret
from runner.smtp.reply import Reply
from runner.smtp.scrub import MAX_TEXT, Scrubber

PASSWORD = "s3cr3t pä$$/word+1"
SCRUBBER = Scrubber(PasswordAuth("user@example.com", Secret(PASSWORD)))


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


PLAIN = b64(f"\0user@example.com\0{PASSWORD}")


@pytest.mark.parametrize(
    "echo",
    [
        PASSWORD,
        PASSWORD.upper(),
        b64(PASSWORD),
        b64(PASSWORD).rstrip("="),
        PLAIN,
        f"AUTH PLAIN {PLAIN}",
        f"\0user@example.com\0{PASSWORD}",
        b64(f"user@example.com:{PASSWORD}"),
        urllib.parse.quote(PASSWORD),
        PASSWORD.encode().hex(),
        f"line\x07{PASSWORD}\x1b[2J",
    ],
)
def test_no_form_of_the_password_survives(echo: str) -> None:
    text = SCRUBBER.clean(f"bad command: {echo} (try again)")

    forms = [
        PASSWORD,
        b64(PASSWORD).rstrip("="),
        PLAIN.rstrip("="),
        urllib.parse.quote(PASSWORD),
        PASSWORD.encode().hex(),
    ]
    assert not [form for form in forms if form.lower() in text.lower()]
    assert "***" in text


def test_a_password_that_is_broken_over_two_lines_is_seen() -> None:
    secret = b64(PASSWORD)
    reply = Reply(535, (f"5.7.8 you said {secret[:9]}".encode(), f"5.7.8 {secret[9:]}".encode()))

    text = SCRUBBER.reply(reply)

    assert secret[:9] not in text
    assert secret[9:] not in text


def test_an_unknown_blob_behind_auth_is_masked_too() -> None:
    assert Scrubber(None).clean("unexpected AUTH XOAUTH2 dXNlcj1h") == "unexpected AUTH XOAUTH2 ***"


def test_a_reply_becomes_one_line_with_code_and_enhanced_code() -> None:
    reply = Reply(550, (b"5.1.1 The account", b"5.1.1 does not exist."))

    assert Scrubber(None).reply(reply) == "550 5.1.1 The account does not exist."
    assert Scrubber(None).parts(reply) == ("5.1.1", "The account does not exist.")


def test_an_enhanced_code_of_another_class_is_only_text() -> None:
    assert Scrubber(None).parts(Reply(550, (b"4.1.1 odd",))) == (None, "4.1.1 odd")


def test_control_and_direction_characters_become_blanks() -> None:
    text = Scrubber(None).reply(Reply(550, ("a\x1b[31mb\u202ec\u2028d\x00e".encode(),)))

    assert text == "550 a [31mb c d e"


def test_octets_that_are_not_utf8_are_replaced() -> None:
    assert Scrubber(None).reply(Reply(550, (b"caf\xe9",))) == "550 caf\ufffd"


def test_a_long_reply_is_cut() -> None:
    assert len(Scrubber(None).clean("x" * 10_000)) == MAX_TEXT


def test_a_secret_that_the_cut_would_halve_is_masked_before() -> None:
    text = SCRUBBER.clean("x" * (MAX_TEXT - 5) + PASSWORD)

    assert PASSWORD[:4] not in text


def test_the_secret_is_not_in_the_repr() -> None:
    assert PASSWORD not in repr(SCRUBBER)
