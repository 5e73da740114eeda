"""The live set: what a reload changes, and what stays whatever lies in the files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from catalogspace import Change, Space, flow, messages, texts

from runner.catalog import Catalog


@pytest.fixture
def space(tmp_path: Path) -> Space:
    (tmp_path / "acme" / "flows").mkdir(parents=True)
    return Space(tmp_path / "acme")


def fields(change: Change) -> dict[str, set[str]]:
    names = ("added", "changed", "removed", "failed", "credentials", "settings", "restart")
    return {name: set(value) for name in names if (value := getattr(change, name))}


def test_new_changed_and_deleted_files_are_told_by_name(space: Space) -> None:
    for name in ("a", "b", "c"):
        space.write(f"flows/{name}.yaml", flow())
    catalog = space.catalog()
    space.write("flows/b.yaml", flow("2"))
    space.delete("flows/c.yaml")
    space.write("flows/d.yaml", flow())

    change = catalog.reload(())

    assert fields(change) == {"added": {"d"}, "changed": {"b"}, "removed": {"c"}}
    assert texts(catalog) == {"a": "1", "b": "2", "d": "1"}


def test_a_flow_that_did_not_change_is_the_same_object_after_a_reload(space: Space) -> None:
    space.write("flows/a.yaml", flow())
    catalog = space.catalog()
    before = catalog.flow("a")
    space.write("flows/b.yaml", flow())

    catalog.reload()

    assert catalog.flow("a") is before


def test_a_reload_without_changes_changes_nothing(space: Space) -> None:
    space.write("flows/a.yaml", flow())
    space.write("secrets/crm.yaml", "x")
    catalog = space.catalog()

    assert not catalog.reload()
    assert not catalog.reload(["flows/a.yaml", "nothing/here"])


def test_a_reader_keeps_the_set_that_it_took(space: Space) -> None:
    space.write("flows/a.yaml", flow())
    catalog = space.catalog()
    taken = catalog.flows()
    space.write("flows/a.yaml", flow("2"))
    space.write("flows/b.yaml", flow())

    catalog.reload()

    assert [taken[name].nodes[0].params["text"] for name in taken] == ["1"]


@pytest.mark.parametrize("bad", ["", "nodes: [", "nodes: 5\n", flow(include="gone.html"), "\0"])
def test_a_file_that_turns_bad_keeps_its_last_good_version_and_shows_what_is_wrong(
    space: Space, bad: str
) -> None:
    space.write("flows/a.yaml", flow())
    space.write("flows/b.yaml", flow())
    catalog = space.catalog()
    space.write("flows/a.yaml", bad)
    space.write("flows/b.yaml", flow("2"))

    change = catalog.reload(())

    assert texts(catalog) == {"a": "1", "b": "2"}
    assert catalog.stale == {"a"}
    assert fields(change) == {"changed": {"b"}, "failed": {"flows/a.yaml"}}
    assert [found.path for found in catalog.findings] == ["flows/a.yaml"]
    assert not catalog.ok


def test_a_file_that_is_mended_is_live_and_not_stale(space: Space) -> None:
    space.write("flows/a.yaml", flow())
    catalog = space.catalog()
    space.write("flows/a.yaml", "nodes: 5\n")
    catalog.reload(())
    space.write("flows/a.yaml", flow("2"))

    catalog.reload(())

    assert (texts(catalog), catalog.stale, catalog.findings, catalog.ok) == ({"a": "2"}, set(), (), True)


def test_a_bad_file_at_the_start_leaves_the_others_live(space: Space) -> None:
    space.write("flows/a.yaml", flow())
    space.write("flows/b.yaml", "nodes: 5\n")

    catalog = space.catalog()

    assert texts(catalog) == {"a": "1"}
    assert not catalog.ok


def test_a_bad_file_that_is_deleted_takes_its_last_good_version_with_it(space: Space) -> None:
    space.write("flows/a.yaml", flow())
    space.write("flows/b.yaml", flow())
    catalog = space.catalog()
    space.write("flows/a.yaml", "nodes: 5\n")
    catalog.reload(())
    space.delete("flows/a.yaml")

    change = catalog.reload(())

    assert fields(change) == {"removed": {"a"}}
    assert (texts(catalog), catalog.findings) == ({"b": "1"}, ())


def test_the_only_flow_is_unloaded_when_its_file_is_deleted(space: Space) -> None:
    space.write("flows/a.yaml", flow())
    catalog = space.catalog()
    space.delete("flows/a.yaml")

    catalog.reload(())

    assert (texts(catalog), catalog.fault) == ({}, "")


def test_a_file_that_is_away_for_a_moment_is_not_unloaded(space: Space) -> None:
    """An editor renames the old file and then writes the new one; a reload may come between."""
    import threading

    space.patience = 0.5
    path = space.write("flows/a.yaml", flow())
    catalog = space.catalog()
    seen: list[Change] = []
    catalog.subscribe(seen.append)
    os.rename(path, space.root / "flows" / "a.yaml~")
    timer = threading.Timer(0.1, lambda: space.write("flows/a.yaml", flow("2")))
    timer.start()

    catalog.reload(())

    timer.join()
    assert [fields(change) for change in seen] == [{"changed": {"a"}}]
    assert texts(catalog) == {"a": "2"}


def test_a_flow_that_moves_to_another_file_stays_live(space: Space) -> None:
    path = space.write("flows/a.yaml", flow(name="x"))
    catalog = space.catalog()
    (space.root / "flows/sub").mkdir()
    path.rename(space.root / "flows/sub/b.yaml")

    change = catalog.reload(())

    assert fields(change) == {"changed": {"x"}}
    live = catalog.flow("x")
    assert live is not None
    assert live.path == "flows/sub/b.yaml"


def test_a_flow_that_is_renamed_in_its_file_is_another_flow(space: Space) -> None:
    space.write("flows/a.yaml", flow(name="x"))
    catalog = space.catalog()
    space.write("flows/a.yaml", flow(name="y"))

    assert fields(catalog.reload(())) == {"added": {"y"}, "removed": {"x"}}


@pytest.mark.parametrize("vanish", ["delete", "replace by a file", "rename", "root", "forbid"])
def test_a_flows_folder_that_vanishes_as_a_whole_is_a_fault_and_the_set_stays(
    space: Space, vanish: str
) -> None:
    space.write("flows/a.yaml", flow())
    space.write("flows/sub/b.yaml", flow())
    space.write("flowpost.yaml", "delivery: {mode: capture}\n")
    catalog = space.catalog()
    folder, aside = space.root / "flows", space.root.parent / "aside"
    if vanish == "delete":
        shutil.copytree(folder, aside)
        shutil.rmtree(folder)
    elif vanish == "replace by a file":
        folder.rename(aside)
        folder.write_text("")
    elif vanish == "forbid":
        folder.rename(aside)
        folder.symlink_to("flows")
    else:
        (space.root if vanish == "root" else folder).rename(aside)

    change = catalog.reload()

    assert texts(catalog) == {"a": "1", "b": "1"}
    assert catalog.stale == {"a", "b"}
    assert catalog.fault
    assert "flows" in [found.path for found in catalog.findings]
    assert not change.removed
    assert not catalog.ok
    assert catalog.settings.delivery.mode == "capture"

    if vanish in ("replace by a file", "forbid"):
        folder.unlink()
    aside.rename(space.root if vanish == "root" else folder)
    catalog.reload()

    assert (catalog.fault, catalog.stale, catalog.findings, catalog.ok) == ("", frozenset(), (), True)
    assert texts(catalog) == {"a": "1", "b": "1"}


def test_a_folder_replaced_by_an_empty_one_is_a_fault_until_a_flow_is_in_it(space: Space) -> None:
    """An unmounted volume leaves an empty folder; so does a deploy that deletes and copies."""
    for name in ("a", "b"):
        space.write(f"flows/{name}.yaml", flow())
    catalog = space.catalog()
    shutil.rmtree(space.root / "flows")
    (space.root / "flows").mkdir()

    catalog.reload(())

    assert texts(catalog) == {"a": "1", "b": "1"}
    assert "replaced by an empty one" in catalog.fault
    catalog.reload(())
    assert catalog.fault
    space.write("flows/a.yaml", flow("2"))
    catalog.reload(())
    assert (texts(catalog), catalog.fault) == ({"a": "2"}, "")


def test_a_folder_emptied_file_by_file_unloads_its_flows(space: Space) -> None:
    for name in ("a", "b"):
        space.write(f"flows/{name}.yaml", flow())
    catalog = space.catalog()
    space.delete("flows/a.yaml")
    space.delete("flows/b.yaml")

    catalog.reload(())

    assert (texts(catalog), catalog.fault) == ({}, "")


def test_a_folder_that_leads_out_hides_its_flows_and_does_not_delete_them(space: Space) -> None:
    space.write("flows/a.yaml", flow())
    space.write("flows/sub/b.yaml", flow())
    catalog = space.catalog()
    (space.root / "flows/sub").rename(space.root.parent / "outside")
    (space.root / "flows/sub").symlink_to(space.root.parent / "outside")

    change = catalog.reload(())

    assert texts(catalog) == {"a": "1", "b": "1"}
    assert catalog.stale == {"b"}
    assert fields(change) == {"failed": {"flows/sub"}}


def test_a_link_to_nowhere_in_place_of_a_flow_keeps_it(space: Space) -> None:
    """Between the swap of a ConfigMap and the clean-up of its links."""
    path = space.write("flows/a.yaml", flow())
    catalog = space.catalog()
    path.unlink()
    path.symlink_to("..data/a.yaml")

    catalog.reload(())

    assert (texts(catalog), catalog.stale) == ({"a": "1"}, {"a"})


def test_of_two_files_with_one_name_the_one_that_is_live_keeps_it(space: Space) -> None:
    space.write("flows/b.yaml", flow(name="x"))
    catalog = space.catalog()
    space.write("flows/a.yaml", flow("2", name="x"))

    change = catalog.reload(())

    assert texts(catalog) == {"x": "1"}
    assert catalog.stale == frozenset()
    assert fields(change) == {"failed": {"flows/a.yaml"}}
    assert messages(catalog) == [
        'flows/a.yaml: the flow name "x" is taken by flows/b.yaml:1 too',
        'flows/b.yaml: the flow name "x" is taken by flows/a.yaml:1 too',
    ]


def test_the_owner_of_a_contested_name_can_still_be_changed(space: Space) -> None:
    space.write("flows/b.yaml", flow(name="x"))
    catalog = space.catalog()
    space.write("flows/a.yaml", flow("2", name="x"))
    catalog.reload(())
    space.write("flows/b.yaml", flow("3", name="x"))

    catalog.reload(())

    assert texts(catalog) == {"x": "3"}


def test_when_the_owner_goes_the_other_file_gets_the_name(space: Space) -> None:
    space.write("flows/b.yaml", flow(name="x"))
    catalog = space.catalog()
    space.write("flows/a.yaml", flow("2", name="x"))
    catalog.reload(())
    space.delete("flows/b.yaml")

    catalog.reload(())

    assert (texts(catalog), catalog.findings) == ({"x": "2"}, ())


def test_a_flow_that_takes_the_webhook_path_of_another_keeps_its_last_good_version(space: Space) -> None:
    space.write("flows/a.yaml", flow(hook="one"))
    space.write("flows/b.yaml", flow(hook="two"))
    catalog = space.catalog()
    space.write("flows/b.yaml", flow("2", hook="one"))

    catalog.reload(())

    assert texts(catalog) == {"a": "1", "b": "1"}
    assert catalog.stale == {"b"}
    assert [found.code for found in catalog.findings] == ["duplicate", "duplicate"]


def test_a_broken_owner_keeps_its_webhook_path_against_a_new_file(space: Space) -> None:
    space.write("flows/a.yaml", flow(hook="one"))
    catalog = space.catalog()
    space.write("flows/a.yaml", "nodes: 5\n")
    space.write("flows/b.yaml", flow("2", hook="one"))

    catalog.reload(())

    assert texts(catalog) == {"a": "1"}


def test_two_files_that_swap_their_names_both_get_the_new_one(space: Space) -> None:
    space.write("flows/a.yaml", flow("a", name="x"))
    space.write("flows/b.yaml", flow("b", name="y"))
    catalog = space.catalog()
    space.write("flows/a.yaml", flow("a", name="y"))
    space.write("flows/b.yaml", flow("b", name="x"))

    catalog.reload(())

    assert (texts(catalog), catalog.findings) == ({"y": "a", "x": "b"}, ())


def test_two_new_files_with_one_name_are_neither_loaded(space: Space) -> None:
    space.write("flows/a.yaml", flow(name="x"))
    space.write("flows/b.yaml", flow(name="x"))

    assert texts(space.catalog()) == {}


def test_a_listener_hears_of_each_change_and_a_broken_one_does_not_keep_it_from_others(space: Space) -> None:
    catalog = space.catalog()
    heard: list[Change] = []

    def broken(change: Change) -> None:
        raise RuntimeError("a bug")

    catalog.subscribe(broken)
    catalog.subscribe(heard.append)
    space.write("flows/a.yaml", flow())

    catalog.reload(())
    catalog.reload(())

    assert [fields(change) for change in heard] == [{"added": {"a"}}]


def test_a_listener_hears_of_a_file_that_turned_bad(space: Space) -> None:
    space.write("flows/a.yaml", flow())
    catalog = space.catalog()
    heard: list[Change] = []
    catalog.subscribe(heard.append)
    space.write("flows/a.yaml", "nodes: 5\n")

    catalog.reload(())

    assert [(fields(change), change.ok) for change in heard] == [({"failed": {"flows/a.yaml"}}, False)]


@pytest.mark.timeout(30)
def test_pipes_devices_sockets_and_circles_block_nothing_and_unload_nothing(space: Space) -> None:
    import socket

    space.write("flows/a.yaml", flow())
    catalog = space.catalog()
    space.delete("flows/a.yaml")
    os.mkfifo(space.root / "flows/a.yaml")
    os.mkfifo(space.root / "flows/pipe.yaml")
    (space.root / "flows/self.yaml").symlink_to("self.yaml")
    (space.root / "flows/zero.yaml").symlink_to("/dev/zero")
    (space.root / "flows/round").symlink_to(".")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(space.root / "flows/socket.yaml"))
    with open(space.root / "flows/large.yaml", "wb") as large:
        large.truncate(3 * 1024**3)
    space.write("flows/b.yaml", flow())

    change = catalog.reload()

    assert texts(catalog) == {"a": "1", "b": "1"}
    assert len(change.failed) == 6


def test_the_descriptors_stay_as_many_as_they_were(space: Space) -> None:
    space.write("flows/a.yaml", flow())
    catalog = space.catalog()

    def cycle() -> int:
        shutil.rmtree(space.root / "flows")
        catalog.reload(())
        space.write("flows/a.yaml", flow())
        catalog.reload(())
        return len(os.listdir("/proc/self/fd"))

    cycle()
    assert cycle() == cycle()


def test_what_a_load_cannot_foresee_is_a_finding_and_the_others_go_on(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runner.catalog import entry

    space.write("flows/a.yaml", flow())
    space.write("flows/b.yaml", flow())
    catalog = space.catalog()
    real = entry.read_flow

    def broken(root: Path, path: Path, *rest: object) -> object:
        if path.name == "a.yaml":
            raise RuntimeError("a bug")
        return real(root, path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(entry, "read_flow", broken)
    for name in ("a", "b"):
        space.write(f"flows/{name}.yaml", flow("2"))

    catalog.reload(())

    assert texts(catalog) == {"a": "1", "b": "2"}


def test_the_times_of_reloads_are_kept_for_the_metrics(space: Space) -> None:
    catalog: Catalog = space.catalog()
    first = catalog.succeeded_at
    space.write("flows/a.yaml", "nodes: 5\n")

    catalog.reload(())

    assert (catalog.ok, catalog.succeeded_at) == (False, first)
    assert first > 0


def test_what_only_an_event_can_decide_is_a_warning_and_the_flow_is_live(space: Space) -> None:
    body = "body: {type: object, required: [email], properties: {email: {}}}\n"
    trigger = 'triggers: [{schedule: {cron: "0 8 * * *", body: {list: leads}}}]\n'
    node = 'nodes:\n  - id: a\n    set: {text: "<<trigger.body.id>>"}\n'
    space.write("flows/a.yaml", trigger + body + node)
    catalog = space.catalog()

    assert catalog.flow("a") is not None
    assert catalog.ok
    assert catalog.stale == frozenset()
    assert [(found.severity, found.code) for found in catalog.findings] == [
        ("warning", "schema"),
        ("warning", "ETEMPLATE"),
    ]

    space.write("flows/a.yaml", trigger + body + node.replace("id>>", "emial>>"))
    catalog.reload(())

    assert catalog.stale == {"a"}
    assert not catalog.ok
