"""What a reload follows: templates, credentials and settings, to exactly what they touch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from catalogspace import Space, flow, messages, texts

USES = 'nodes:\n  - id: a\n    set: {{value: "<< vars.{0} >>", text: "{1}"}}\n'


@pytest.fixture
def space(tmp_path: Path) -> Space:
    (tmp_path / "acme" / "flows").mkdir(parents=True)
    (tmp_path / "acme" / "templates").mkdir()
    return Space(tmp_path / "acme")


def test_a_partial_reloads_exactly_the_flows_that_use_it(space: Space) -> None:
    space.write("templates/foot.html", "v1")
    space.write("templates/body.html", "<% include 'foot.html' %>")
    space.write("flows/direct.yaml", flow(include="foot.html"))
    space.write("flows/through.yaml", flow(include="body.html"))
    space.write("flows/other.yaml", flow())
    catalog = space.catalog()
    other = catalog.flow("other")
    space.write("templates/foot.html", "v2")

    change = catalog.reload(())

    assert set(change.changed) == {"direct", "through"}
    assert catalog.flow("other") is other
    live = catalog.flow("through")
    assert live is not None
    assert live.nodes[0].params["value"].render({}) == "v2"  # type: ignore[attr-defined]


def test_a_partial_that_breaks_keeps_the_last_good_text(space: Space) -> None:
    space.write("templates/foot.html", "v1")
    space.write("flows/a.yaml", flow(include="foot.html"))
    catalog = space.catalog()
    space.write("templates/foot.html", "<< broken")

    catalog.reload(())

    live = catalog.flow("a")
    assert live is not None
    assert live.nodes[0].params["value"].render({}) == "v1"  # type: ignore[attr-defined]
    assert catalog.stale == {"a"}


def test_a_flow_that_waits_for_a_template_is_loaded_when_it_comes(space: Space) -> None:
    os.rmdir(space.root / "templates")
    space.write("flows/a.yaml", flow(include="sub/late.html"))
    catalog = space.catalog()
    assert texts(catalog) == {}

    (space.root / "templates").mkdir()
    catalog.reload(())
    assert texts(catalog) == {}

    space.write("templates/sub/late.html", "here")
    catalog.reload(())
    assert texts(catalog) == {"a": "1"}


def test_an_optional_include_that_comes_later_is_noticed(space: Space) -> None:
    space.write("flows/a.yaml", flow(include="x").replace("'x' %>", "'x' ignore missing %>"))
    catalog = space.catalog()
    space.write("templates/x", "here")

    assert set(catalog.reload(()).changed) == {"a"}


def test_a_template_swapped_with_all_its_times_kept_is_noticed(space: Space) -> None:
    path = space.write("templates/foot.html", "v1")
    space.write("flows/a.yaml", flow(include="foot.html"))
    status = path.stat()
    catalog = space.catalog()
    other = space.write("templates/new", "v2")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.rename(path)

    assert set(catalog.reload(()).changed) == {"a"}


def test_credentials_are_told_by_name_and_so_are_their_users(space: Space) -> None:
    smtp = "nodes:\n  - id: a\n    smtp: {credential: mail, to: a@example.com, subject: x, body_format: text, body: x}\n"
    space.write("flows/sends.yaml", smtp)
    space.write("flows/hook.yaml", flow(hook="x").replace("auth: none", "auth: crm"))
    space.write("flows/other.yaml", flow())
    for name in ("mail", "crm", "old"):
        space.write(f"secrets/{name}.yaml", "1")
    catalog = space.catalog()
    space.write("secrets/mail.yaml", "2")
    space.write("secrets/new.age", "1")
    space.delete("secrets/old.yaml")

    change = catalog.reload(())

    assert set(change.credentials) == {"mail", "new", "old"}
    assert not change.changed
    assert (catalog.users("mail"), catalog.users("crm"), catalog.users("old")) == ({"sends"}, {"hook"}, set())


def test_vars_network_and_delivery_change_while_the_service_runs(space: Space) -> None:
    space.write("flowpost.yaml", "vars: {brand: a}\n")
    space.write("flows/a.yaml", USES.format("brand", "1"))
    catalog = space.catalog()
    before = catalog.flow("a")
    space.write(
        "flowpost.yaml",
        "vars: {brand: b}\nnetwork: {allow: [10.0.0.0/8]}\ndelivery: {mode: capture}\n"
        "http: {rate: 5/s}\nhistory: {keep: 1h}\n",
    )

    change = catalog.reload(())

    assert set(change.settings) == {"vars", "network", "delivery", "http.rate", "history"}
    live = catalog.settings
    assert (live.vars, live.network_allow, live.delivery.mode) == ({"brand": "b"}, ("10.0.0.0/8",), "capture")
    assert (live.http_rate, live.history_keep) == ((5, 1.0), 3600.0)
    assert catalog.flow("a") is before, "only names matter to a load, not values"


def test_settings_that_wait_for_the_next_start_say_so_and_hold_nothing_else_up(space: Space) -> None:
    space.write("flowpost.yaml", "workspace: acme\n")
    catalog = space.catalog()
    space.write(
        "flowpost.yaml",
        "workspace: other\nflows: elsewhere\ndatabase: sqlite:///x.db\nhttp: {port: 1234}\nvars: {a: b}\n",
    )

    change = catalog.reload(())

    assert set(change.restart) == {"workspace", "flows", "database", "http.port"}
    assert set(change.settings) == {"vars"}
    live = catalog.settings
    assert (live.workspace, live.flows, live.http_port, live.vars) == ("acme", "flows", 8480, {"a": "b"})
    assert [(found.line, found.severity) for found in catalog.findings] == [
        (1, "warning"),
        (2, "warning"),
        (3, "warning"),
        (4, "warning"),
    ]
    assert catalog.ok
    assert messages(catalog)[0] == 'flowpost.yaml: "workspace" changed, and takes effect at the next start'


@pytest.mark.parametrize(
    "bad",
    [
        "delivery: {mode: lvie}\n",
        "[",
        "",
        "# nothing\n",
        "network: {allow: [not/a/net]}\n",
        "secrets: ../..\n",
    ],
)
def test_settings_that_cannot_be_used_keep_the_ones_from_before(space: Space, bad: str) -> None:
    """An empty file is an editor between two calls: the default of delivery would mail customers."""
    space.write("flowpost.yaml", "delivery: {mode: capture}\nnetwork: {allow: [10.0.0.0/8]}\n")
    space.write("flows/a.yaml", flow())
    catalog = space.catalog()
    space.write("flowpost.yaml", bad)
    space.write("flows/a.yaml", flow("2"))

    change = catalog.reload(())

    assert (catalog.settings.delivery.mode, catalog.settings.network_allow) == ("capture", ("10.0.0.0/8",))
    assert not change.settings
    assert not change.ok
    assert texts(catalog) == {"a": "2"}, "flows go on"


def test_a_settings_file_that_vanishes_keeps_the_settings(space: Space) -> None:
    path = space.write("flowpost.yaml", "delivery: {mode: capture}\n")
    catalog = space.catalog()
    path.unlink()

    catalog.reload(())

    assert catalog.settings.delivery.mode == "capture"
    assert messages(catalog) == ["flowpost.yaml: the file is gone, the settings from before stay"]
    space.write("flowpost.yaml", "delivery: {mode: live}\n")
    catalog.reload(())
    assert (catalog.settings.delivery.mode, catalog.findings) == ("live", ())


def test_a_settings_file_that_comes_later_is_used(space: Space) -> None:
    catalog = space.catalog()
    space.write("flowpost.yaml", "delivery: {mode: capture}\n")

    assert set(catalog.reload(()).settings) == {"delivery"}


def test_a_variable_of_the_environment_goes_on_winning(space: Space) -> None:
    space.environ["FLOWPOST_DELIVERY"] = "capture"
    catalog = space.catalog()
    space.write("flowpost.yaml", "delivery: {mode: live}\n")

    catalog.reload(())

    assert catalog.settings.delivery.mode == "capture"


def test_settings_without_a_name_that_a_live_flow_reads_are_refused_whole(space: Space) -> None:
    space.write("flowpost.yaml", "vars: {brand: a}\n")
    space.write("flows/a.yaml", USES.format("brand", "1"))
    space.write("flows/b.yaml", flow())
    catalog = space.catalog()
    space.write("flowpost.yaml", "vars: {site: a}\ndelivery: {mode: capture}\n")
    space.write("flows/b.yaml", flow("2"))

    change = catalog.reload(())

    assert not change.settings
    assert catalog.settings.vars == {"brand": "a"}
    assert (texts(catalog), catalog.stale) == ({"a": "1", "b": "2"}, frozenset())
    assert messages(catalog)[0] == (
        'flowpost.yaml: "vars" lacks a name that flows/a.yaml reads, the settings from before stay'
    )

    space.write("flows/a.yaml", USES.format("site", "3"))
    change = catalog.reload(())

    assert set(change.settings) == {"vars", "delivery"}
    assert (texts(catalog), catalog.findings) == ({"a": "3", "b": "2"}, ())


def test_a_flow_and_the_new_name_that_it_reads_may_come_in_either_order(space: Space) -> None:
    space.write("flowpost.yaml", "vars: {brand: a}\n")
    space.write("flows/a.yaml", USES.format("brand", "1"))
    catalog = space.catalog()
    space.write("flows/a.yaml", USES.format("site", "2"))
    catalog.reload(())
    assert (texts(catalog), catalog.stale) == ({"a": "1"}, {"a"})

    space.write("flowpost.yaml", "vars: {brand: a, site: b}\n")
    catalog.reload(())
    assert (texts(catalog), catalog.stale) == ({"a": "2"}, frozenset())


def test_settings_without_a_name_that_a_last_good_version_reads_are_refused_whole(space: Space) -> None:
    space.write("flowpost.yaml", "vars: {brand: a}\n")
    space.write("flows/a.yaml", USES.format("brand", "1"))
    catalog = space.catalog()
    space.write("flows/a.yaml", "nodes: 3\n")
    catalog.reload(())
    space.write("flowpost.yaml", "vars: {site: a}\n")

    change = catalog.reload(())

    assert not change.settings
    assert catalog.settings.vars == {"brand": "a"}
    assert (texts(catalog), catalog.stale) == ({"a": "1"}, {"a"})
    assert (
        'flowpost.yaml: "vars" lacks a name that flows/a.yaml reads, the settings from before stay'
        in messages(catalog)
    )

    space.write("flows/a.yaml", USES.format("site", "2"))
    catalog.reload(())

    assert (catalog.settings.vars, texts(catalog)) == ({"site": "a"}, {"a": "2"})
    assert (catalog.stale, catalog.findings) == (frozenset(), ())


def test_a_last_good_version_that_fits_other_settings_does_not_hold_them_up(space: Space) -> None:
    space.write("flowpost.yaml", "vars: {brand: a}\n")
    space.write("templates/part.html", "<p><< vars.brand >></p>")
    space.write("flows/a.yaml", flow(include="part.html"))
    catalog = space.catalog()
    space.write("flows/a.yaml", "nodes: 3\n")
    space.write("flowpost.yaml", "vars: {brand: a, site: b}\n")

    change = catalog.reload(())

    assert set(change.settings) == {"vars"}
    assert catalog.stale == {"a"}


def test_the_last_good_version_of_a_flow_that_lost_its_name_is_held_to_other_settings(space: Space) -> None:
    space.write("flowpost.yaml", "vars: {brand: a}\n")
    space.write("flows/a.yaml", flow(name="one"))
    space.write("flows/b.yaml", "name: two\n" + USES.format("brand", "1"))
    catalog = space.catalog()
    space.write("flows/b.yaml", flow("2", name="one"))
    catalog.reload(())
    assert catalog.stale == {"two"}
    space.write("flowpost.yaml", "vars: {site: a}\n")

    change = catalog.reload(())

    assert not change.settings
    assert texts(catalog) == {"one": "1", "two": "1"}
