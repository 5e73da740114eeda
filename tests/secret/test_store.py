"""The credentials of a workspace: types, defaults, presets, findings, and the last good one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from secretspace import SMTP, Space

from runner.credential import (
    Encryption,
    HttpCredential,
    ImapCredential,
    OAuth2Auth,
    PasswordAuth,
    Rate,
    SmtpCredential,
    WebhookCredential,
)
from runner.errors import PortError, SecretError
from runner.secret import age, fieldschema, sops
from runner.secret.presets import PRESETS

pytest_plugins = ["secretfixtures"]

ROOT = Path(__file__).resolve().parent.parent.parent
LOGIN = {"type": "password", "username": "a@example.com", "password": "hunter2-hunter2"}
NONSENSE = "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n"


def smtp(space: Space, **changes: Any) -> SmtpCredential:
    space.put(**changes)
    found = space.store().get("marketing", "smtp")
    assert isinstance(found, SmtpCredential)
    return found


def errors(space: Space, **changes: Any) -> list[str]:
    space.put({**SMTP, **changes})
    return [
        finding.message for finding in space.store().check("marketing", True) if finding.severity == "error"
    ]


def test_the_defaults_are_the_safe_ones(space: Space) -> None:
    found = smtp(space, server={"host": "smtp.example.com", "port": 587}, advanced="absent", label="absent")

    assert found.encryption is Encryption.STARTTLS
    assert (found.verify, found.min_tls, found.allow_plaintext_auth) == (True, "1.2", False)
    assert (found.max_connections, found.max_messages, found.idle_seconds, found.chunking) == (
        5,
        100,
        30.0,
        0,
    )
    assert found.default_from == "marketing@example.com"
    assert found.rates == ()


@pytest.mark.parametrize(
    ("port", "encryption"), [(465, "tls"), (587, "starttls"), (2525, "starttls"), (1025, "starttls")]
)
def test_the_encryption_follows_the_port(port: int, encryption: str, space: Space) -> None:
    assert smtp(space, server={"host": "h", "port": port}).encryption == encryption


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "ses"])
def test_a_provider_fills_host_port_and_encryption(name: str, space: Space) -> None:
    found = smtp(space, provider=name, server="absent", advanced="absent")
    preset = PRESETS[name]

    assert (found.host, found.port, found.encryption) == (preset.host, preset.port, preset.encryption)


@pytest.mark.parametrize("name", ["gmail", "microsoft365", "sendgrid", "mailgun"])
def test_the_presets_of_the_contract_use_587_with_starttls(name: str, space: Space) -> None:
    hosts = {
        "gmail": "smtp.gmail.com",
        "microsoft365": "smtp.office365.com",
        "sendgrid": "smtp.sendgrid.net",
        "mailgun": "smtp.mailgun.org",
    }
    found = smtp(space, provider=name, server="absent")

    assert (found.host, found.port, found.encryption) == (hosts[name], 587, "starttls")


def test_ses_takes_its_region_into_the_host(space: Space) -> None:
    found = smtp(space, provider="ses", server={"region": "eu-west-1"}, advanced="absent")

    assert found.host == "email-smtp.eu-west-1.amazonaws.com"
    assert found.rates == (Rate(1, 1.0), Rate(200, 86400.0))


def test_ses_without_a_region_is_a_finding(space: Space) -> None:
    assert "region" in errors(space, provider="ses", server="absent")[0]


def test_fields_that_are_written_win_over_the_provider(space: Space) -> None:
    found = smtp(
        space,
        provider="gmail",
        server={"host": "relay.example.com", "port": 465},
        advanced={"rates": ["5/s"]},
    )

    assert (found.host, found.port, found.encryption, found.rates) == (
        "relay.example.com", 465, "tls", (Rate(5, 1.0),),
    )  # fmt: skip


def test_gmail_brings_its_limit(space: Space) -> None:
    assert smtp(space, provider="gmail", server="absent", advanced="absent").rates == (Rate(500, 86400.0),)


def test_a_whole_credential_is_read(space: Space) -> None:
    found = smtp(
        space,
        security={"certificates": "accept-unverified", "min_tls": "1.3", "ca_pem": KEY, "allow_plaintext_auth": True},
        advanced={"client_identifier": "mx.example.com", "timeout_seconds": 2.5, "max_connections": 1,
                  "max_messages": 9, "idle_seconds": 0, "chunking": 8, "rates": ["14/s"]},
        sender={"default_from": "Acme <a@example.com>", "allowed_from": ["*@example.com"]},
        dkim={"domain": "example.com", "selector": "s1", "algorithm": "rsa-sha256", "private_key": KEY},
    )  # fmt: skip

    assert (found.verify, found.min_tls, found.ca_pem, found.allow_plaintext_auth) == (
        False,
        "1.3",
        KEY,
        True,
    )
    assert (found.client_identifier, found.timeout_seconds, found.idle_seconds) == ("mx.example.com", 2.5, 0)
    assert found.dkim is not None
    assert found.dkim.private_key.reveal() == KEY
    assert found.allowed_from == ("*@example.com",)


def test_oauth2_gets_its_token_url_from_the_provider(space: Space) -> None:
    found = smtp(
        space, provider="microsoft365", server="absent",
        auth={"type": "oauth2", "username": "a@example.com", "client_id": "c", "client_secret": "s-s-s-s",
              "grant": "client_credentials", "tenant": "t"},
    )  # fmt: skip

    assert isinstance(found.auth, OAuth2Auth)
    assert found.auth.token_url == "https://login.microsoftonline.com/t/oauth2/v2.0/token"
    assert found.auth.scope == "https://outlook.office365.com/.default"


def test_a_relay_without_login_has_no_auth(space: Space) -> None:
    found = smtp(space, auth={"type": "none"})

    assert (found.auth, found.default_from) == (None, None)


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"type": "bearer", "token": "abc"}, "Authorization", "Bearer abc"),
        ({"type": "basic", "username": "u", "password": "pä"}, "Authorization", "Basic dTpww6Q="),
        ({"type": "header", "header": "X-Api-Key", "value": "k"}, "X-Api-Key", "k"),
    ],
)
def test_http_credentials_are_one_header(auth: dict[str, str], header: str, value: str, space: Space) -> None:
    space.put({"name": "crm", "type": "http", "auth": auth}, "crm")
    found = space.store().get("crm", "http")

    assert isinstance(found, HttpCredential)
    assert (found.header, found.value.reveal()) == (header, value)


def test_webhook_credentials_are_a_token_or_a_signing_secret(space: Space) -> None:
    space.put({"name": "a", "type": "webhook", "auth": {"type": "token", "token": "0123456789abcdef"}}, "a")
    space.put(
        {"name": "b", "type": "webhook", "auth": {"type": "signature", "secret": "whsec_" + "QUJD" * 8}}, "b"
    )
    found = [space.store().get(name, "webhook") for name in ("a", "b")]

    assert all(isinstance(item, WebhookCredential) for item in found)
    assert [item.kind for item in found] == ["token", "signature"]  # type: ignore[union-attr]


def test_an_imap_credential_listens_on_993(space: Space) -> None:
    space.put({"name": "b", "type": "imap", "server": {"host": "imap.example.com"}, "auth": LOGIN}, "b")
    found = space.store().get("b", "imap")

    assert isinstance(found, ImapCredential)
    assert (found.port, found.encryption, found.mailbox) == (993, "tls", "INBOX")
    assert isinstance(found.auth, PasswordAuth)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"extra": 1}, '"extra" is not a key'),
        ({"lable": "x"}, '"lable" is not a key'),
        ({"auth": {**LOGIN, "token": "x"}}, '"token" is not a key'),
        ({"auth": {"type": "password", "username": "a"}}, '"password" is missing'),
        ({"auth": {"type": "magic"}}, '"auth.type" is not one of'),
        ({"auth": "absent"}, 'section "auth" is missing'),
        ({"server": "absent"}, '"server.host" is missing'),
        ({"server": {"host": "h"}}, '"server.port" is missing'),
        ({"server": {"host": "h", "port": 0}}, "must be from 1 to 65535"),
        ({"server": {"host": "h", "port": 70000}}, "must be from 1 to 65535"),
        ({"server": {"host": "a b", "port": 587}}, "is not a host name"),
        ({"server": {"host": "h\r\nEHLO x", "port": 587}}, "line break"),
        ({"server": {"host": "h", "port": "587"}}, "must be a whole number, not a text"),
        ({"server": {"host": "h", "port": 587.0}}, "must be a whole number, not a number"),
        ({"server": {"host": "h", "port": 587, "encryption": "ssl"}}, "is not one of"),
        ({"security": {"min_tls": 1.2}}, "must be one of 1.2, 1.3, not a number"),
        ({"security": {"allow_plaintext_auth": "true"}}, "must be true or false, not a text"),
        ({"advanced": {"rates": "14/s"}}, "must be a list of rates"),
        ({"advanced": {"rates": ["14 per second"]}}, "not a rate"),
        ({"advanced": {"max_connections": -1}}, "must be from 1 to 100"),
        ({"auth": {**LOGIN, "password": "a\nb"}}, "line break"),
        ({"auth": {**LOGIN, "password": "a\0b"}}, "control character"),
        ({"name": "other"}, 'not "marketing"'),
        ({"name": "absent"}, '"name" is missing'),
        ({"name": 5}, '"name" must be a name'),
        ({"type": "ftp"}, '"type" is not one of'),
        ({"provider": "hotmail"}, '"provider" is not one of'),
        ({"dkim": {"domain": "example.com"}}, "is missing in section"),
        ({"security": {"ca_pem": "x"}}, "is not PEM"),
        ({"security": {"ca_pem": NONSENSE}}, "holds no certificate"),
        ({"security": {"ca_pem": KEY}}, "holds no certificate"),
        ({"sender": {"default_from": "nobody"}}, "is not an address"),
        ({"sender": {"default_from": "@x.org"}}, "is not an address"),
        ({"sender": {"default_from": "a@x.org, b@x.org"}}, "holds 2 parts"),
        ({"sender": {"default_from": "Acme, Inc. <a@x.org>"}}, "holds 2 parts"),
        ({"sender": {"default_from": "a@x.org", "allowed_from": ["*@y.org", "b@x.org"]}}, "is not among"),
        ({"sender": {"default_from": "a@x.org", "allowed_from": ["everybody"]}}, "is not an address"),
        ({"auth": {"type": "oauth2", "username": "a", "client_id": "c"}}, "refresh_token"),
    ],
)
def test_a_field_that_is_wrong_is_a_finding(changes: dict[str, Any], says: str, space: Space) -> None:
    found = errors(space, **changes)

    assert any(says in message for message in found), found
    with pytest.raises(SecretError):
        space.store().get("marketing")


@pytest.mark.parametrize(
    "sender",
    [
        {"default_from": '"Acme, Inc." <a@x.org>'},
        {"default_from": "Acme <A@X.org>", "allowed_from": ["a@x.ORG"]},
        {"default_from": "a@münchen.example", "allowed_from": ["*@xn--mnchen-3ya.example"]},
        # A flow may name another sender: only what is written is held to what is allowed.
        {"allowed_from": ["*@another.example"]},
    ],
)
def test_a_sender_that_works_is_no_finding(sender: dict[str, Any], space: Space) -> None:
    assert errors(space, sender=sender) == []


def test_a_provider_that_knows_one_username_warns_of_another(space: Space) -> None:
    space.put(provider="sendgrid", server="absent")
    [found] = space.store().check("marketing", True)

    assert (found.severity, found.code, "apikey" in found.message) == ("warning", "credential", True)
    assert "API key" in found.hint
    space.put(provider="sendgrid", server="absent", auth={**LOGIN, "username": "apikey"})
    assert space.store().check("marketing", True) == []
    space.put(provider="sendgrid")
    assert space.store().check("marketing", True) == []


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"provider": "gmial"}, 'did you mean "gmail"?'),
        ({"auth": {**LOGIN, "type": "pasword"}}, 'did you mean "password"?'),
        ({"server": {"host": "h", "port": 587, "encryption": "startls"}}, 'did you mean "starttls"?'),
        ({"provider": "hunter2"}, ""),
    ],
)
def test_a_word_that_is_mistyped_gets_the_nearest_that_there_is(
    changes: dict[str, Any], hint: str, space: Space
) -> None:
    space.put({**SMTP, **changes})
    found = space.store().check("marketing", True)

    assert [finding.hint for finding in found if "is not one of" in finding.message] == [hint]
    assert "hunter2" not in str(found)


def test_findings_have_the_place_of_their_key(space: Space) -> None:
    path = space.put(server={"host": "a b", "port": 587})
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if "host:" in text)
    found = space.store().check("marketing", True)

    assert [(finding.path, finding.line, finding.column) for finding in found] == [
        ("secrets/marketing.yaml", line, 5)
    ]


def test_no_encryption_and_unverified_certificates_are_warnings(space: Space) -> None:
    space.put(
        server={"host": "h", "port": 2525, "encryption": "none"},
        security={"certificates": "accept-unverified"},
    )
    found = space.store().check("marketing", True)

    assert [(item.severity, item.code) for item in found] == [("warning", "credential")] * 2
    assert space.store().get("marketing").name == "marketing"


def test_without_a_key_keys_and_types_are_still_checked(space: Space) -> None:
    space.put()
    assert space.without_key().check("marketing", False) == []
    space.put(server={"host": "h", "port": "587"}, extra="x")
    found = [finding.message for finding in space.without_key().check("marketing", False)]

    assert any('"extra" is not a key' in message for message in found)
    assert any("must be a whole number" in message for message in found)


def test_a_recipient_that_is_only_in_the_file_is_a_finding(space: Space) -> None:
    stranger = age.generate()[1]
    space.path().write_bytes(sops.encrypt(SMTP, [space.recipient, stranger]))
    for store, key in ((space.store(), True), (space.without_key(), False)):
        found = store.check("marketing", key)

        assert [finding.severity for finding in found] == ["error"]
        assert stranger in found[0].message


def test_a_missing_name_names_the_nearest(space: Space) -> None:
    space.put()
    with pytest.raises(SecretError, match='no credential "marketin"') as caught:
        space.store().get("marketin")

    assert caught.value.hint == 'did you mean "marketing"?'


@pytest.mark.parametrize("name", ["../x", "a/b", "", "A", "-a", "a-", "a" * 64, "x\0", "a.b"])
def test_a_name_never_leaves_the_folder(name: str, space: Space) -> None:
    with pytest.raises(SecretError, match="is not a name"):
        space.store().get(name)


@pytest.mark.parametrize(
    ("ending", "what"), [(".json", "JSON"), (".env", "ENV"), (".ini", "INI"), (".yml", "yml")]
)
def test_other_stores_are_refused_by_name(ending: str, what: str, space: Space) -> None:
    (space.root / f"secrets/crm{ending}").write_text("{}")

    with pytest.raises(SecretError, match=f"{what}.*not supported"):
        space.store().get("crm")


def test_a_plaintext_file_is_refused_and_not_quoted(space: Space) -> None:
    space.path().write_text("name: marketing\nauth:\n  password: hunter2-hunter2\n")
    with pytest.raises(SecretError, match="not encrypted") as caught:
        space.store().get("marketing")

    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"


def test_the_wrong_type_is_an_error(space: Space) -> None:
    space.put()

    with pytest.raises(SecretError, match='"marketing" is of type smtp, and http is needed'):
        space.store().get("marketing", "http")


def test_two_files_of_one_name_are_an_error(space: Space) -> None:
    space.put()
    (space.root / "secrets/marketing.age").write_bytes(b"")

    with pytest.raises(SecretError, match="both there"):
        space.store().get("marketing")


def test_a_folder_that_is_not_there_has_no_names(space: Space) -> None:
    shutil.rmtree(space.root / "secrets")

    assert space.store().names() == []


def test_a_changed_file_is_read_anew(space: Space) -> None:
    store = space.store()
    space.put(label="one")
    assert store.get("marketing", "smtp").label == "one"  # type: ignore[union-attr]
    space.put(label="two")

    assert store.get("marketing", "smtp").label == "two"  # type: ignore[union-attr]


def test_the_fingerprint_follows_the_secret_and_not_the_file(space: Space) -> None:
    store = space.store()
    prints = []
    for password in ("one-one-one", "one-one-one", "two-two-two"):
        space.put(auth={**LOGIN, "password": password})
        prints.append(store.get("marketing", "smtp").fingerprint)  # type: ignore[union-attr]

    assert prints[0] == prints[1] != prints[2]


async def test_fetching_does_not_block_the_loop(space: Space) -> None:
    space.put()

    assert (await space.store().fetch("marketing", "smtp")).name == "marketing"


def test_the_last_good_credential_stays_when_the_file_turns_bad(space: Space) -> None:
    from runner.secret.store import CredentialStore

    path = space.put()
    store = CredentialStore(space.root, "secrets", "acme", space.environ, keep_last_good=True)
    good = store.get("marketing")
    path.write_text("broken: [")
    assert store.get("marketing") is good
    assert "not YAML" in store.problems["marketing"].message
    space.put(server={"host": "h", "port": 25})
    assert store.get("marketing") is good
    assert isinstance(store.problems["marketing"], PortError)
    space.put(label="new")
    assert store.get("marketing", "smtp").label == "new"  # type: ignore[union-attr]
    assert store.problems == {}
    path.unlink()
    with pytest.raises(SecretError, match="no credential"):
        store.get("marketing")


def test_the_schema_on_disk_is_the_one_of_the_tables() -> None:
    """To write it anew: python -m runner.secret.fieldschema > schemas/credential.schema.json"""
    text = (ROOT / "schemas/credential.schema.json").read_text(encoding="utf-8")

    assert json.loads(text) == fieldschema.schema()


def test_every_field_of_the_schema_is_described() -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            for name, field in node.get("properties", {}).items():
                assert field.get("description"), name
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    jsonschema.Draft202012Validator.check_schema(fieldschema.schema())
    walk(fieldschema.schema())


@pytest.mark.parametrize("port", [587, "587", 0, None])
def test_the_schema_and_the_door_agree(port: Any, space: Space) -> None:
    content = {**SMTP, "server": {"host": "h", "port": port}}
    valid = jsonschema.Draft202012Validator(fieldschema.schema()).is_valid(content)

    assert valid == (errors(space, server=content["server"]) == [])


def test_the_examples_of_this_repository_are_good() -> None:
    from runner.secret.store import CredentialStore

    store = CredentialStore(
        ROOT,
        "secrets",
        "flowpost",
        {"SOPS_AGE_KEY_FILE": str(ROOT / "secrets/demo-key.txt"), "HOME": "/nonexistent"},
    )
    assert {"demo", "marketing", "ops", "crm-api", "crm-hook", "voice-hook"} <= set(store.names())
    for name in store.names():
        assert store.check(name, True) == []
