"""The public YAML corpora: nothing ends or holds up the process, and what is wrong is said with line and column."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest
from conftest import corpus, needs_corpora

from runner import schema
from runner.diagnostic import Invalid
from runner.source import Document, read

SUITE = corpus("yaml/yaml-test-suite.jsonl")
BAD = corpus("yaml/pyyaml-bad.jsonl")
BOMBS = corpus("yaml/bombs.jsonl")
NORWAY = corpus("yaml/norway.jsonl")

MEASURE = """
import json, resource, sys
from runner.diagnostic import Invalid
from runner.source import read
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
data = b"".join(text.encode() * times for text, times in json.load(sys.stdin))
try:
    read(data, "bomb.yaml")
    verdict = "accepted"
except Invalid as exc:
    verdict = str(exc)
print(json.dumps([verdict, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before]))
"""


def ids(cases: list[dict[str, Any]]) -> list[str]:
    return [str(case["id"]) for case in cases]


def outcome(data: bytes) -> Document | Invalid:
    try:
        return read(data, "file.yaml")
    except Invalid as exc:
        refused = exc
    assert refused.diagnostics
    for finding in refused.diagnostics:
        assert finding.code in ("yaml", "duplicate")
        assert finding.line >= 1
        assert finding.column >= 1
        assert finding.message
    return refused


@needs_corpora
@pytest.mark.parametrize("case", SUITE, ids=ids(SUITE))
def test_the_yaml_test_suite_is_read_as_it_says_or_refused_cleanly(case: dict[str, Any]) -> None:
    found = outcome(case["yaml"].encode())

    if case["expected"] == "error":
        assert isinstance(found, Invalid)
    elif case["expected"] == "json" and isinstance(found, Document):
        assert [found.value] == case["json"]


@needs_corpora
def test_few_documents_of_the_suite_are_refused_that_pyyaml_reads_right() -> None:
    """Refused are second documents, tags, directives and tabs: a flow needs none of them."""
    refused = [
        case["id"]
        for case in SUITE
        if case["expected"] == "json"
        and case["pyyaml"] == "match"
        and isinstance(found := outcome(case["yaml"].encode()), Invalid)
        and not any(
            word in str(found) for word in ("second document", "the tag", "directive", "a tab", "empty")
        )
    ]

    assert len(refused) <= 1, refused


@needs_corpora
@pytest.mark.parametrize("case", BAD, ids=ids(BAD))
def test_malformed_documents_are_refused(case: dict[str, Any]) -> None:
    assert isinstance(outcome(case["yaml"].encode(case["encoding"], "surrogatepass")), Invalid)


@needs_corpora
@pytest.mark.parametrize("case", BOMBS, ids=ids(BOMBS))
def test_a_bomb_is_defused(case: dict[str, Any]) -> None:
    """In a process of its own: a bomb that goes off would take the test run along."""
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        input=json.dumps(case["parts"]),
        capture_output=True,
        text=True,
        timeout=60,
    )
    seconds = time.monotonic() - begin

    assert done.returncode == 0, done.stderr
    verdict, kilobytes = json.loads(done.stdout)
    if case["expected"] == "accept":
        assert verdict == "accepted"
    elif case["expected"] == "refuse" and case["group"] != "merge-injection":
        assert verdict.startswith("bomb.yaml:")
    assert kilobytes < 200 * 1024
    assert seconds < 10, "a second, and what a busy machine adds to starting a process"


@needs_corpora
def test_a_key_that_a_merge_brings_in_is_still_held_to_the_schema() -> None:
    [case] = [case for case in BOMBS if case["group"] == "merge-injection"]
    data = "".join(text * times for text, times in case["parts"]).encode()

    findings = schema.check("flow", read(data, "flow.yaml"))

    assert {'unknown key "extra"', 'unknown key "port"'} <= {
        finding.message.split(" in ")[0] for finding in findings
    }


@needs_corpora
@pytest.mark.parametrize("case", NORWAY, ids=ids(NORWAY))
def test_a_text_field_gets_the_text_that_was_written_or_a_clear_finding(case: dict[str, Any]) -> None:
    written = case["scalar"]
    flow = (
        "nodes:\n- id: a\n  smtp:\n    credential: ops\n    to: a@example.com\n    body_format: text\n"
        f"    body: x\n    subject: {written}\n"
    )
    found = outcome(flow.encode())

    if isinstance(found, Document):
        subject = found.value["nodes"][0]["smtp"]["subject"]
        if not isinstance(subject, str):
            [finding] = schema.check("flow", found)
            assert '"subject"' in finding.message
            assert finding.line == 8
        else:
            assert subject == written
