"""The documentation is run: README.md, docs/*.md, and the harness itself on small documents."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT
from snippets import Snippet, Untrue, check, commands, documents, missing, snippets

DOCUMENTS = list(documents(ROOT))
NOT_RUN_AT_MOST = 8


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_the_document_shows_is_so(document: Path, tmp_path: Path) -> None:
    check(document, ROOT, tmp_path)


def test_few_blocks_are_left_out_and_each_says_why() -> None:
    left_out = [
        f"{document.name}:{snippet.line}: {snippet.not_run}"
        for document in DOCUMENTS
        for snippet in snippets(document.read_text(encoding="utf-8"))
        if snippet.not_run
    ]

    assert len(left_out) <= NOT_RUN_AT_MOST, "\n".join(left_out)


def written(folder: Path, text: str) -> Path:
    path = folder / "sample.md"
    path.write_text(text, encoding="utf-8")
    return path


def console(text: str, *, before: str = "") -> str:
    return f"{before}\n```console\n{text}\n```\n"


def test_blocks_are_found_with_their_line_language_and_comments() -> None:
    text = (
        "one\n```yaml\na: 1\n```\n<!-- exit: 1 -->\n<!-- not run: why -->\n\n```sh\n$ x\n```\n```\n$ y\n```\n"
    )

    assert snippets(text) == [
        Snippet(language="yaml", text="a: 1\n", line=3),
        Snippet(language="sh", text="$ x\n", line=9, exit_code=1, not_run="why"),
        Snippet(language="", text="$ y\n", line=12),
    ]


def test_a_comment_counts_for_the_next_block_only() -> None:
    comment, block = "<!-- not run: why -->\n", "```sh\n$ a\n```\n"

    found = snippets(f"{comment}words\n{block}{comment}{block}{block}")

    assert [snippet.not_run for snippet in found] == ["", "why", ""]


def test_an_indented_block_loses_its_indentation() -> None:
    assert snippets("- item\n\n  ```yaml\n  a:\n    b: 1\n  ```\n")[0].text == "a:\n  b: 1\n"


def test_a_block_that_is_never_closed_is_untrue() -> None:
    with pytest.raises(Untrue, match="line 2: the block is never closed"):
        snippets("x\n```yaml\na: 1\n")


def test_commands_go_on_over_lines_and_the_exit_code_is_the_last_ones() -> None:
    text = "$ cat <<END\n> one\n> END\none\n$ echo a \\\n    b\na b\n"

    first, second = commands(Snippet(language="sh", text=text, line=5, exit_code=1))

    assert (first.text, first.line, first.exit_code, first.expected) == ("cat <<END\none\nEND", 5, 0, ["one"])
    assert (second.text, second.line, second.exit_code, second.expected) == (
        "echo a \\\n    b",
        9,
        1,
        ["a b"],
    )


@pytest.mark.parametrize(
    ("expected", "printed", "answer"),
    [
        (["a", "b"], "a\nx\nb\n", ""),
        (["b", "a"], "a\nb\n", "a"),
        (["a"], "ab\n", "a"),
        (["a…"], "abc\n", ""),
        (["to …@example.com in … s"], "to ann@example.com in 0.3 s\n", ""),
        (["…", "b"], "a\nb\n", ""),
        (["a.c"], "abc\n", "a.c"),
        (["a", "a"], "a\n", "a"),
    ],
)
def test_expected_lines_appear_in_order_and_the_ellipsis_is_any_text(
    expected: list[str], printed: str, answer: str
) -> None:
    assert missing(expected, printed) == answer


def test_folder_and_variables_last_from_block_to_block(tmp_path: Path) -> None:
    text = console("$ mkdir inner && cd inner && export WORD=kept") + console(
        "$ echo $WORD in $(basename $PWD)\nkept in inner"
    )

    assert check(written(tmp_path, text), ROOT, tmp_path) == 2


def test_a_command_has_a_home_of_its_own_and_a_copy_of_the_workspace(tmp_path: Path) -> None:
    text = console("$ rm -r flows && ls ~ && touch ~/mark")

    check(written(tmp_path, text), ROOT, tmp_path)

    assert (ROOT / "flows").is_dir()
    assert (tmp_path / "home" / "mark").exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(console("$ true\n$ false"), r"sample\.md:4: exit code 1 of: false", id="exit code"),
        pytest.param(console("$ true", before="<!-- exit: 1 -->"), "exit code 0 of: true", id="no failure"),
        pytest.param(console("$ echo a\nb"), "the line\n  b\nis not in", id="other output"),
        pytest.param(console("output\n$ echo a"), "output before any command", id="output first"),
        pytest.param("```yaml\na: [\n```\n", r"sample\.md:2: ", id="no YAML"),
        pytest.param("```json\n{a: 1}\n```\n", r"sample\.md:2: ", id="no JSON"),
        pytest.param("```toml\na\n```\n", r"sample\.md:2: ", id="no TOML"),
        pytest.param("```cobol\nSTOP RUN.\n```\n", 'a block in "cobol"', id="unknown language"),
        pytest.param("```yaml\nnodes:\n  - {id: a, smtp: {subjct: b}}\n```\n", '"subjct"', id="no flow"),
        pytest.param("```yaml\n# flowpost.yaml\nnonsense: 1\n```\n", '"nonsense"', id="no settings"),
    ],
)
def test_what_is_not_so_is_found(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(Untrue, match=complaint):
        check(written(tmp_path, text), ROOT, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(console("$ false", before="<!-- exit: 1 -->"), id="expected failure"),
        pytest.param("```yaml\nnodes:\n  - {id: a, set: {b: c}}\n```\n", id="flow"),
        pytest.param(
            "```yaml\n# flows/inner/a.yaml\nname: a\nnodes:\n  - {id: a, set: {b: c}}\n```\n", id="named flow"
        ),
        pytest.param("```yaml\n# flowpost.yaml\nworkspace: acme\n```\n", id="settings"),
        pytest.param("```yaml\non: [push]\n```\n", id="other YAML"),
    ],
)
def test_what_is_so_passes(tmp_path: Path, text: str) -> None:
    assert check(written(tmp_path, text), ROOT, tmp_path) == 1


def test_a_block_that_is_not_run_is_not_run(tmp_path: Path) -> None:
    text = console("$ touch mark && false", before="<!-- not run: it fails -->")

    assert check(written(tmp_path, text), ROOT, tmp_path) == 0
