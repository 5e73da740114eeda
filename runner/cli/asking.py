"""Questions to a person, and values from standard input; nothing secret is shown while it is typed."""

from __future__ import annotations

import sys

import click

from runner.cli.boundary import printable
from runner.errors import FlowpostError, SecretError


def say(text: str) -> None:
    """Tell something, on stderr."""
    click.echo(text, err=True)


def ask(label: str, *, default: str = "", hidden: bool = False, multiline: bool = False) -> str:
    """One answer: from a prompt, or the next line of standard input where nobody sits."""
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        return line.rstrip("\r\n") or default
    if multiline:
        click.echo(f"{label}, then an empty line:", err=True)
        lines = []
        while line := sys.stdin.readline().rstrip("\r\n"):
            lines.append(line)
        return "\n".join(lines) + "\n" if lines else default
    answer: str = click.prompt(
        label, default=default, hide_input=hidden, show_default=bool(default), err=True, type=str
    )
    return answer.strip() if not hidden else answer


def value(field: str) -> str:
    """One value: from a hidden prompt, or all of standard input without its last line break."""
    if sys.stdin.isatty():
        answer: str = click.prompt(field, hide_input=True, confirmation_prompt=True, err=True, type=str)
        return answer
    text = sys.stdin.read(1 << 20)
    inside = text.removesuffix("\n").removesuffix("\r")
    return text if "\n" in inside else inside


def edit_again(error: FlowpostError) -> bool:
    """Show why an edit is refused, and ask whether to go on with it; nobody is asked without a terminal.

    SecretError when the person has enough, for what was wrong is said already.
    """
    if not sys.stdin.isatty():
        return False
    line = getattr(error, "line", 0)
    where = f"line {line}: " if line else ""
    say(printable(f"error: {where}{error.message}"))
    if error.hint:
        say(printable(f"  hint: {error.hint}"))
    if not click.confirm("edit again?", default=True, err=True):
        raise SecretError("nothing was written") from error
    return True


def tree_from_stdin() -> dict[str, object]:
    """A whole credential in YAML or JSON; FormatError when it is neither."""
    from runner.secret.sops import nodes
    from runner.secret.sops.document import places, to_tree
    from runner.secret.sops.scalar import resolve as resolve_scalar

    text = sys.stdin.read(nodes.MAX_BYTES + 1)
    root = nodes.compose(nodes.read_text(text.encode("utf-8", "surrogatepass")))
    values = {place.scalar.start: resolve_scalar(place.scalar) for place in places(root)}
    tree: dict[str, object] = to_tree(root, values)
    return tree
