"""Findings that only an event can decide: errors to ``validate``, and no reason to refuse a flow."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.diagnostic import Invalid, has_errors, refuse
from runner.load import LoadedFlow, read_flow
from runner.model import Settings


def loaded(tmp_path: Path, text: str) -> LoadedFlow:
    path = tmp_path / "flows" / "f.yaml"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    return read_flow(tmp_path, path, Settings())


def flow(body: str, expression: str, head: str = "") -> str:
    return f"{head}body: {body}\nnodes:\n  - id: a\n    set:\n        x: << {expression} >>\n"


OBJECT = "{type: object, required: [email], properties: {email: {type: string}}}"
SEALED = "{type: object, properties: {email: {type: string}}, additionalProperties: false}"
NESTED = "{properties: {who: {type: object, properties: {email: {}}}, sealed: {$ref: '#/$defs/s'}}, $defs: {s: {properties: {a: {}}, unevaluatedProperties: false}}}"
EITHER = "{anyOf: [{properties: {email: {}}, additionalProperties: false}, {properties: {b: {}}}]}"
BOTH = "{allOf: [{properties: {email: {}}, additionalProperties: false}, {properties: {b: {}}}]}"
MAYBE = "{properties: {email: {}}, if: {required: [email]}, then: {properties: {b: {}}, additionalProperties: false}}"


@pytest.mark.parametrize(
    ("body", "expression"),
    [
        (OBJECT, "trigger.body.id"),
        (OBJECT, "trigger.body['id']"),
        (NESTED, "trigger.body.who.phone"),
        (EITHER, "trigger.body.id"),
        (MAYBE, "trigger.body.id"),
    ],
)
def test_a_field_that_the_schema_does_not_list_refuses_no_flow(
    tmp_path: Path, body: str, expression: str
) -> None:
    (found,) = loaded(tmp_path, flow(body, expression)).warnings

    assert (found.severity, found.undecided) == ("error", True)
    assert has_errors([found])
    assert not refuse([found])


@pytest.mark.parametrize(
    ("body", "expression"),
    [
        (OBJECT, "trigger.body.emial"),
        (OBJECT, "trigger.body.email.first"),
        (OBJECT, "trigger.bdy"),
        (OBJECT, "vars.brand"),
        (SEALED, "trigger.body.id"),
        (SEALED, "trigger.body.id if trigger.body.id is defined else 0"),
        (NESTED, "trigger.body.sealed.phone"),
        (BOTH, "trigger.body.id"),
    ],
)
def test_what_no_event_can_make_good_stays_an_error(tmp_path: Path, body: str, expression: str) -> None:
    with pytest.raises(Invalid) as caught:
        loaded(tmp_path, flow(body, expression))

    assert refuse(caught.value.diagnostics)


def test_a_schedule_whose_body_does_not_fit_refuses_no_flow(tmp_path: Path) -> None:
    head = 'triggers:\n  - schedule: {cron: "0 8 * * *", body: {list: leads}}\n'
    (found,) = loaded(tmp_path, flow(OBJECT, "trigger.body.email", head)).warnings

    assert found.undecided
    assert str(found) == (
        'flows/f.yaml:2:41: error: /email "email" is missing, says the body schema of this flow [schema]'
    )


@pytest.mark.parametrize(
    "text",
    [
        "<% if trigger.body.phone is defined %><<trigger.body.phone>><% endif %>",
        "<% if trigger.body.phone is not defined %>-<% else %><<trigger.body.phone>><% endif %>",
        "<% if trigger.body.phone is undefined %>-<% else %><<trigger.body['phone']>><% endif %>",
        "<< trigger.body.phone if trigger.body.phone is defined else 0 >>",
        "<< trigger.body['phone'] | default('') >><< trigger.body.phone >>",
        "<% if trigger.body.a is defined %><<trigger.body.a.b.c>><% endif %>",
        "<% if vars.phone is defined %><<vars.phone>><% endif %>",
        "<% if item is defined %><<item>><% endif %>",
    ],
)
@pytest.mark.parametrize("body", [OBJECT, "true"])
def test_a_path_that_a_template_tests_may_be_read_in_it(tmp_path: Path, text: str, body: str) -> None:
    text = text.replace("'", "''")
    written = f"body: {body}\nnodes:\n  - id: a\n    set: {{x: '{text}'}}\n"

    assert loaded(tmp_path, written).warnings == ()


def test_what_when_asks_about_may_be_read_in_that_node_alone(tmp_path: Path) -> None:
    nodes = "".join(
        f"  - id: {name}\n{when}    set: {{x: <<trigger.body.phone>>}}\n"
        for name, when in (("a", "    when: << trigger.body.phone is defined >>\n"), ("b", ""))
    )
    (found,) = loaded(tmp_path, f"body: {OBJECT}\nnodes:\n{nodes}").warnings

    assert found.line == 7
