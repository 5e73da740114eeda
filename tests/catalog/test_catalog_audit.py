"""Credentials that live flows name and that cannot be had are findings like any other."""

from __future__ import annotations

import os
from typing import Any

import pytest
from catalogspace import messages
from workspace import Workspace

from runner.catalog import Audit, Catalog
from runner.errors import SecretError
from runner.load import load_settings
from runner.secret.store import CredentialStore

FLOW = """\
triggers:
  - webhook: {path: hook, auth: TOKEN}
nodes:
  - id: mail
    smtp: {credential: MAIL, to: bob@example.net, subject: Hi, body_format: text, body: Hello}
"""


class Counting(CredentialStore):
    """A store that knows how often it was asked."""

    asked = 0

    def get(self, name: str, type: str | None = None) -> Any:  # noqa: A002
        self.asked += 1
        return super().get(name, type)


def live(workspace: Workspace, environ: dict[str, str] | None = None) -> tuple[Catalog, Counting]:
    environ = workspace.environ if environ is None else environ
    settings = load_settings(workspace.root, environ)
    store = Counting(workspace.root, settings.secrets, settings.workspace, environ, keep_last_good=True)
    catalog = Catalog(workspace.root, settings, environ, audit=Audit(store))
    catalog.reload()
    return catalog, store


def relay(workspace: Workspace, port: int = 25000) -> None:
    workspace.credential(
        "ops",
        {
            "name": "ops",
            "type": "smtp",
            "server": {"host": "mail.example.com", "port": port, "encryption": "tls"},
            "auth": {"type": "none"},
            "sender": {"default_from": "ops@example.com"},
        },
    )


def flow(workspace: Workspace, mail: str = "ops", token: str = "none") -> None:
    workspace.flow("a", FLOW.replace("MAIL", mail).replace("TOKEN", token))


def test_each_file_is_opened_once_for_each_of_its_contents(workspace: Workspace) -> None:
    relay(workspace)
    flow(workspace)
    workspace.flow(
        "b", FLOW.replace("MAIL", "ops").replace("TOKEN", "none").replace("path: hook", "path: other")
    )
    catalog, store = live(workspace)
    first = store.asked
    for name in ("flows/a.yaml", "flowpost.yaml"):
        catalog.reload([name])
    unchanged = store.asked
    relay(workspace, 25001)
    catalog.reload(["secrets/ops.yaml"])

    assert catalog.findings == ()
    assert (first, unchanged, store.asked) == (1, 1, 2)


def test_a_credential_of_another_type_is_named_where_the_flow_names_it(workspace: Workspace) -> None:
    relay(workspace)
    flow(workspace, token="ops")
    catalog, _ = live(workspace)

    assert [str(found).partition(" [")[0] for found in catalog.findings] == [
        'flows/a.yaml:2:33: warning: credential "ops" is of type smtp, and webhook is needed here'
    ]
    assert catalog.flow("a") is not None


def test_without_the_key_the_file_is_named_and_a_reload_looks_again_when_the_key_has_come(
    workspace: Workspace,
) -> None:
    relay(workspace)
    flow(workspace)
    environ = {name: value for name, value in workspace.environ.items() if not name.startswith("SOPS_")}
    catalog, store = live(workspace, environ)
    without = messages(catalog)
    store.environ = workspace.environ
    store.keys(again=True)
    catalog.reload([])
    still = messages(catalog)
    catalog.reload()

    assert [message.partition(":")[0] for message in without] == ["secrets/ops.yaml"]
    assert still == without
    assert (catalog.findings, catalog.ok) == ((), True)


def test_a_flow_that_names_no_credential_any_more_has_no_finding_of_it(workspace: Workspace) -> None:
    flow(workspace, mail="gone")
    catalog, _ = live(workspace)
    before = messages(catalog)
    relay(workspace)
    flow(workspace)
    catalog.reload(["flows/a.yaml"])

    assert catalog.ok
    assert before == ['flows/a.yaml: there is no credential "gone" in secrets']
    assert catalog.findings == ()


@pytest.mark.parametrize("vanish", ["delete", "replace by an empty one", "replace by a file"])
def test_a_secrets_folder_that_vanishes_as_a_whole_is_a_fault_and_credentials_stay(
    workspace: Workspace, vanish: str
) -> None:
    relay(workspace)
    flow(workspace)
    catalog, store = live(workspace)
    assert catalog.ok
    folder, aside = workspace.root / "secrets", workspace.root / "aside"
    folder.rename(aside)
    if vanish == "replace by an empty one":
        folder.mkdir()
    elif vanish == "replace by a file":
        folder.write_text("")
    catalog.reload([])
    away = messages(catalog), catalog.ok, store.get("ops", "smtp").name
    if folder.exists():
        folder.unlink() if folder.is_file() else folder.rmdir()
    aside.rename(folder)
    catalog.reload([])

    assert len(away[0]) == 1
    assert away[0][0].startswith("secrets: the folder ")
    assert away[0][0].endswith("; the last good credentials stay in use")
    assert away[1:] == (False, "ops")
    assert (catalog.findings, catalog.ok, store.problems) == ((), True, {})


@pytest.mark.parametrize("others", [0, 1])
def test_a_credential_whose_file_alone_is_deleted_is_gone(workspace: Workspace, others: int) -> None:
    relay(workspace)
    flow(workspace)
    for number in range(others):
        workspace.credential(
            f"other{number}", {"type": "webhook", "auth": {"type": "token", "token": "t" * 20}}
        )
    catalog, store = live(workspace)
    (workspace.root / "secrets/ops.yaml").unlink()
    catalog.reload([])

    with pytest.raises(SecretError, match="there is no credential"):
        store.get("ops")
    assert messages(catalog) == ['flows/a.yaml: there is no credential "ops" in secrets']


def test_a_secrets_folder_that_nobody_may_read_is_a_fault(workspace: Workspace) -> None:
    relay(workspace)
    flow(workspace)
    catalog, store = live(workspace)
    folder = workspace.root / "secrets"
    folder.chmod(0)
    try:
        if os.access(folder, os.X_OK):
            pytest.skip("root may read everything")
        catalog.reload([])
        assert messages(catalog) == [
            "secrets: the folder cannot be read: permission denied; the last good credentials stay in use"
        ]
        assert store.get("ops").name == "ops"
    finally:
        folder.chmod(0o755)
