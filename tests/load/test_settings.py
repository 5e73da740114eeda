"""flowpost.yaml and the variables over it: everything that is not understood stops everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.diagnostic import Invalid
from runner.errors import ConfigurationError
from runner.load import load_settings
from runner.model import Delivery, Settings

WHOLE = """\
workspace: acme
flows: mail/flows
templates: mail/templates
secrets: mail/secrets
database: postgresql://user@host/db
http: {host: 0.0.0.0, port: 80, max_body: 2MiB, rate: 100/s}
history: {keep: 90d}
network: {allow: [127.0.0.0/8, crm.internal]}
vars: {brand: Acme, deep: {a: [1]}}
delivery: {mode: allowlist, allow: ["*@acme.com", ann@example.com]}
"""


def settings(root: Path, text: str | None = None, **environ: str) -> Settings:
    if text is not None:
        (root / "flowpost.yaml").write_text(text, encoding="utf-8")
    return load_settings(root, environ)


def findings(root: Path, text: str) -> list[str]:
    with pytest.raises(Invalid) as caught:
        settings(root, text)
    return [str(found) for found in caught.value.diagnostics]


def test_without_a_file_every_setting_has_its_default(tmp_path: Path) -> None:
    assert settings(tmp_path) == Settings()


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "http: {}\n"])
def test_a_file_without_settings_leaves_the_defaults(tmp_path: Path, text: str) -> None:
    assert settings(tmp_path, text if text != "---\n" else "# x\n") == Settings()


def test_every_setting_is_read(tmp_path: Path) -> None:
    assert settings(tmp_path, WHOLE) == Settings(
        workspace="acme",
        flows="mail/flows",
        templates="mail/templates",
        secrets="mail/secrets",
        database="postgresql://user@host/db",
        http_host="0.0.0.0",
        http_port=80,
        http_max_body=2 * 1024 * 1024,
        http_rate=(100, 1.0),
        history_keep=90 * 86400.0,
        network_allow=("127.0.0.0/8", "crm.internal"),
        vars={"brand": "Acme", "deep": {"a": [1]}},
        delivery=Delivery(mode="allowlist", allow=("*@acme.com", "ann@example.com")),
    )


def test_variables_win_over_the_file(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        WHOLE,
        FLOWPOST_WORKSPACE="other",
        FLOWPOST_FLOWS="f",
        FLOWPOST_TEMPLATES="t",
        FLOWPOST_SECRETS="s",
        FLOWPOST_DATABASE="sqlite:///x.db",
        FLOWPOST_HTTP_HOST="::1",
        FLOWPOST_HTTP_PORT="0",
        FLOWPOST_HTTP_MAX_BODY="64KiB",
        FLOWPOST_HTTP_RATE="500/day",
        FLOWPOST_HISTORY_KEEP="1h",
        FLOWPOST_NETWORK_ALLOW="10.0.0.0/8, crm.internal,",
        FLOWPOST_DELIVERY="capture",
    )

    assert found == Settings(
        workspace="other",
        flows="f",
        templates="t",
        secrets="s",
        database="sqlite:///x.db",
        http_host="::1",
        http_port=0,
        http_max_body=65536,
        http_rate=(500, 86400.0),
        history_keep=3600.0,
        network_allow=("10.0.0.0/8", "crm.internal"),
        vars={"brand": "Acme", "deep": {"a": [1]}},
        delivery=Delivery(mode="capture"),
    )


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("live", Delivery()),
        ("capture", Delivery(mode="capture")),
        ("redirect:qa@acme.com", Delivery(mode="redirect", to="qa@acme.com")),
        ("allowlist:*@acme.com", Delivery(mode="allowlist", allow=("*@acme.com",))),
        (
            "allowlist:*@acme.com,ann@example.com",
            Delivery(mode="allowlist", allow=("*@acme.com", "ann@example.com")),
        ),
    ],
)
def test_the_delivery_variable_is_understood(tmp_path: Path, text: str, meant: Delivery) -> None:
    assert (
        settings(tmp_path, "delivery: {mode: redirect, to: x@y.example}\n", FLOWPOST_DELIVERY=text).delivery
        == meant
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "Live",
        "LIVE",
        "live ",
        "off",
        "none",
        "true",
        "0",
        "redirect",
        "redirect:",
        "redirect:qa",
        "redirect:a@b,c@d",
        "redirect: qa@acme.com",
        "redirect:*@acme.com",
        "allowlist",
        "allowlist:",
        "allowlist:*",
        "allowlist:acme.com",
        "allowlist:*@*.acme.com",
        "allowlist:a@b,,c@d",
        "capture:x",
        "live:x",
        "redirect:qa@acme.com\n",
        "redirect:<qa@acme.com>",
        "dry-run",
        "allow:*@acme.com",
    ],
)
def test_a_delivery_variable_that_is_not_understood_stops_everything(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="FLOWPOST_DELIVERY"):
        settings(tmp_path, FLOWPOST_DELIVERY=text)


@pytest.mark.parametrize("name", ["FLOWPOST_DELIVRY", "FLOWPOST_DELIVERY_MODE", "FLOWPOST_DELIVER"])
def test_a_misspelt_delivery_variable_stops_everything(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        settings(tmp_path, **{name: "capture"})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("FLOWPOST_HTTP_PRT", "did you mean FLOWPOST_HTTP_PORT?"),
        ("FLOWPOST_DATBASE", "did you mean FLOWPOST_DATABASE?"),
        ("FLOWPOST_FLOW", "did you mean FLOWPOST_FLOWS?"),
        ("FLOWPOST_NETWORK_ALOW", "did you mean FLOWPOST_NETWORK_ALLOW?"),
        ("FLOWPOST_AGE_PASSPHRASES", "did you mean FLOWPOST_AGE_PASSPHRASE?"),
        ("FLOWPOST_VARS", "set vars in flowpost.yaml"),
        ("FLOWPOST_NETWORK", "set network in flowpost.yaml; variables: FLOWPOST_NETWORK_ALLOW"),
    ],
)
def test_a_variable_that_was_probably_meant_for_us_stops_everything(
    tmp_path: Path, name: str, hint: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"the variable {name} is not known") as caught:
        settings(tmp_path, **{name: "x"})

    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("FLOWPOST_SERVE_EVENTS", "20"),
        ("FLOWPOST_EXAMPLES", "1"),
        ("FLOWPOST_PORT", "tcp://10.0.0.1:80"),
        ("FLOWPOST_SERVICE_HOST", "10.0.0.1"),
        ("FLOWPOST_SERVICE_PORT_HTTP", "8480"),
        ("FLOWPOST_PORT_8480_TCP", "tcp://10.0.0.1:8480"),
        ("FLOWPOST_HTTPS_PORT", "tcp://10.0.0.1:443"),
        ("FLOWPOST_AGE_PASSPHRASE", "x"),
        ("FLOWPOST_DEBUG", "1"),
    ],
)
def test_variables_of_others_are_left_alone(tmp_path: Path, name: str, text: str) -> None:
    assert settings(tmp_path, **{name: text}) == settings(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("FLOWPOST_HTTP_PORT", "eighty"),
        ("FLOWPOST_HTTP_PORT", "65536"),
        ("FLOWPOST_HTTP_PORT", "-1"),
        ("FLOWPOST_HTTP_PORT", "80.0"),
        ("FLOWPOST_HTTP_PORT", ""),
        ("FLOWPOST_HTTP_PORT", "tcp://10.0.0.1:80"),
        ("FLOWPOST_HTTP_MAX_BODY", "1 MB"),
        ("FLOWPOST_HTTP_HOST", ""),
        ("FLOWPOST_DATABASE", "mysql://x"),
        ("FLOWPOST_DATABASE", ""),
        ("FLOWPOST_WORKSPACE", "Acme Inc"),
        ("FLOWPOST_FLOWS", "../flows"),
        ("FLOWPOST_FLOWS", "/etc"),
        ("FLOWPOST_TEMPLATES", "a/../../b"),
        ("FLOWPOST_SECRETS", "x\0y"),
        ("FLOWPOST_FLOWS", ""),
    ],
)
def test_a_variable_that_is_not_understood_is_an_error(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(tmp_path, **{name: text})

    assert name in caught.value.message or "folder" in caught.value.message


def test_a_database_password_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(tmp_path, FLOWPOST_DATABASE="postgres:/user:hunter2@host/db")

    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in "".join(findings(tmp_path, "database: postgres:/user:hunter2@host/db\n"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flow: x\n", '1:1: error: unknown key "flow" in flowpost.yaml; did you mean "flows"?'),
        ("http: {port: 99999}\n", '1:14: error: 99999 is more than 65535 for "port" of http'),
        ("http: {port: '80'}\n", '1:14: error: "80" is text, expected a whole number for "port" of http'),
        (
            "http: {rate: 0/s}\n",
            '1:14: error: "0/s" is not a rate like 14/s or 500/day for "rate" of http',
        ),
        (
            "history: {keep: 30 d}\n",
            '1:17: error: "30 d" is not a duration like 200ms, 30s, 5m, 1h or 2d for "keep" of history',
        ),
        (
            "http: {max_body: 1 MB}\n",
            '1:18: error: "1 MB" is not a size like 64KiB or 10MB for "max_body" of http',
        ),
        ("flows: ../x\n", '1:8: error: the folder "../x" is not inside the workspace'),
        ("secrets: /etc\n", '1:10: error: the folder "/etc" is not inside the workspace'),
        ("delivery: {mode: redirect}\n", '1:1: error: "to" is missing in delivery'),
        ("delivery: {mode: allowlist}\n", '1:1: error: "allow" is missing in delivery'),
        ("delivery: {to: a@b.c}\n", '1:1: error: "mode" is missing in delivery'),
        (
            "delivery: {mode: live, to: a@b.c}\n",
            '1:18: error: "to" is for the mode "redirect", and the mode is "live"',
        ),
        (
            "delivery: {mode: redirct, to: a@b.c}\n",
            '1:18: error: "redirct" is not one of live, redirect, allowlist, capture for "mode" of delivery',
        ),
        (
            "delivery: {mode: redirect, to: 'a@b.c, d@e.f'}\n",
            '1:32: error: "a@b.c, d@e.f" is not one address like qa@acme.com',
        ),
        (
            "delivery: {mode: allowlist, allow: [acme.com]}\n",
            '1:37: error: "acme.com" is not an address or a pattern like *@acme.com',
        ),
        ("delivery:\n", '1:1: error: "delivery" is empty, expected a mapping'),
        ("delivery: capture\n", '1:11: error: "capture" is text, expected a mapping for "delivery"'),
        ("vars: [a]\n", '1:7: error: "vars" is a list, expected a mapping'),
        ("workspace: NO\n", '1:12: error: "NO" is not a workspace\'s name for "workspace"'),
        ("- a\n", "1:1: error: flowpost.yaml is a list, expected a mapping"),
        (
            'delivery: {mode: allowlist, allow: ["*@acme.com", "*@*.acme.com"]}\n',
            '1:51: error: "*@*.acme.com" is not an address or a pattern like *@acme.com',
        ),
        (
            'delivery: {mode: allowlist, allow: ["*@acme..com"]}\n',
            '1:37: error: "*@acme..com" is not an address or a pattern like *@acme.com',
        ),
        (
            'network: {allow: [127.0.0.0/8, "*"]}\n',
            '1:32: error: "*" in network.allow is not a CIDR block, an address or a host name',
        ),
        (
            "network:\n  allow:\n    - 10.0.0.1/8\n",
            '3:7: error: "10.0.0.1/8" in network.allow is not a CIDR block, an address or a host name',
        ),
        (
            "network: {allow: 127.0.0.1}\n",
            '1:18: error: "127.0.0.1" is text, expected a list for "allow" of network',
        ),
    ],
)
def test_a_mistake_in_the_file_is_told_at_its_place(tmp_path: Path, text: str, expected: str) -> None:
    assert any(found.startswith(f"flowpost.yaml:{expected}") for found in findings(tmp_path, text)), findings(
        tmp_path, text
    )


def test_a_folder_that_is_a_link_out_of_the_workspace_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    root.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (root / "flows").symlink_to(tmp_path / "elsewhere")

    assert findings(root, "flows: flows\n") == [
        'flowpost.yaml:1:8: error: the folder "flows" leads out of the workspace [schema]'
    ]
    (root / "flowpost.yaml").unlink()
    with pytest.raises(ConfigurationError, match="leads out"):
        settings(root)


def test_a_broken_link_in_place_of_the_file_is_an_error_and_not_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "flowpost.yaml").symlink_to(tmp_path / "gone.yaml")

    with pytest.raises(Invalid, match="cannot be read"):
        load_settings(tmp_path, {})
