"""``flowpost secrets``: make, read and check the encrypted credentials."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli import asking
from runner.cli.boundary import FAILED, OK, printable
from runner.errors import SecretError, UsageError

if TYPE_CHECKING:
    from runner.secret.recipients import Plan, Whole
    from runner.secret.store import CredentialStore

_FORMAT = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to answer."
)
_AGAIN = "age -d FILE | age -r RECIPIENT… -o FILE.new"
_YES = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group(
    "secrets",
    short_help="Make, read and check the encrypted credentials.",
    epilog="""\b
Example:
  flowpost secrets init
  flowpost secrets new marketing --provider sendgrid
  flowpost secrets verify
""",
)
def command() -> None:
    """The files of secrets/: SOPS YAML for age recipients, one credential each.

    Values are asked for without being shown, or read from standard input; never given as arguments, where every
    process of the machine could read them.
    """


@command.command(epilog="\b\nExample:\n  flowpost secrets keygen -o ~/.config/sops/age/keys.txt\n")
@click.option("-o", "--output", metavar="FILE", help="Where to write it; sops's own place when left away.")
@click.option("--append", is_flag=True, help="Add the key to a file that is there.")
def keygen(output: str | None, append: bool) -> int:
    """Make an age key in a new file of mode 0600, and print its public half."""
    from runner.secret import keyfile

    path = Path(output).expanduser() if output else keyfile.key_path(os.environ, _home())
    made = keyfile.make(path, append=append)
    click.echo(f"wrote {path} (keep it safe; it opens the secrets)", err=True)
    click.echo(made.recipient)
    return OK


@command.command(epilog="\b\nExample:\n  flowpost secrets init\n  flowpost secrets init --recipient age1…\n")
@click.option(
    "--recipient", "recipients", multiple=True, metavar="KEY", help="Who can decrypt; may be repeated."
)
@click.pass_obj
def init(directory: Path, recipients: tuple[str, ...]) -> int:
    """Write .sops.yaml, for your own key (made where there is none) or for every KEY."""
    from runner.secret import age, files, keyfile, rules

    root, folder = _root(directory)
    config = root / rules.FILE
    if config.exists():
        raise UsageError(
            f"{config} is already there", hint="flowpost secrets add-recipient adds someone to it"
        )
    for recipient in recipients:
        age.parse_recipient(recipient)
    chosen = recipients
    if not chosen:
        key = keyfile.ensure_identity(os.environ, _home(), outside=root)
        click.echo(f"{'made' if key.made else 'used'} the key in {key.path}", err=True)
        chosen = (key.recipient,)
    files.write(config, rules.new_config(tuple(item.strip() for item in chosen), folder), exclusive=True)
    click.echo(f"wrote {config}", err=True)
    return OK


@command.command(
    epilog="\b\nExample:\n  flowpost secrets new marketing --provider gmail\n"
    "  flowpost secrets new crm-api --stdin < crm-api.json\n"
)
@click.argument("name")
@click.option("--type", "kind", metavar="TYPE", help="smtp (the default), http, webhook or imap.")
@click.option("--provider", metavar="NAME", help="A preset that fills host, port and encryption.")
@click.option(
    "--stdin", "whole", is_flag=True, help="Read the whole credential as YAML or JSON from standard input."
)
@click.pass_obj
def new(directory: Path, name: str, kind: str | None, provider: str | None, whole: bool) -> int:
    """Make the credential NAME: questions in the order identity, server, auth, security, advanced."""
    from runner.secret import change, wizard

    store = _store(directory)
    change.refuse_taken(store, name)
    if whole:
        tree = wizard.completed(name, asking.tree_from_stdin(), kind, provider)
    else:
        tree = wizard.questions(name, kind or "smtp", provider, asking.ask, asking.say)
    path = change.create(store, name, tree)
    click.echo(f"wrote {store.shown(path)}", err=True)
    for finding in store.check(name, use_key=False):
        click.echo(printable(str(finding)), err=True)
    return OK


@command.command(
    "set",
    epilog="\b\nExample:\n  flowpost secrets set marketing auth.password\n"
    "  pass smtp | flowpost secrets set ops auth.password\n",
)
@click.argument("name")
@click.argument("field")
@click.argument("rest", nargs=-1)
@click.option("--remove", is_flag=True, help="Take the field away.")
@click.pass_obj
def set_(directory: Path, name: str, field: str, rest: tuple[str, ...], remove: bool) -> int:
    """Give FIELD of NAME a new value, from a hidden prompt or standard input."""
    from runner.secret import change

    if rest:
        # click would quote the argument in its message, and it may be a password.
        raise UsageError(
            "a value is never given as an argument: other processes and the shell's history would see it",
            hint=f"change it if it was real; then: flowpost secrets set {name} {field}",
        )
    store = _store(directory)
    path = (
        change.unset_value(store, name, field)
        if remove
        else change.set_value(store, name, field, asking.value(field))
    )
    click.echo(f"wrote {store.shown(path)}", err=True)
    return OK


@command.command(epilog="\b\nExample:\n  EDITOR=nano flowpost secrets edit marketing\n")
@click.argument("name")
@click.pass_obj
def edit(directory: Path, name: str) -> int:
    """Change NAME in your editor; what you don't touch keeps its ciphertext."""
    from runner.secret import change, editor

    store = _store(directory)

    def run(text: str) -> str:
        return editor.run(text, f"{name}.yaml", os.environ)

    path = change.edit_text(store, name, run, asking.edit_again)
    click.echo(f"wrote {store.shown(path)}" if path else "nothing was changed", err=True)
    return OK


@command.command("list", epilog="\b\nExample:\n  flowpost secrets list --format json\n")
@_FORMAT
@click.pass_obj
def list_(directory: Path, form: str) -> int:
    """Show the names, never the values; no key is needed."""
    from runner.secret import survey

    rows = survey.rows(_store(directory))
    if form == "json":
        click.echo(json.dumps({"credentials": [row.as_dict() for row in rows]}, indent=2))
        return OK
    width = max((len(row.name) for row in rows), default=0)
    for row in rows:
        cells = (row.name.ljust(width), row.last_modified or "-" * 20, row.recipients_text)
        click.echo(printable("  ".join(cells)))
    if not rows:
        click.echo("no credentials yet: flowpost secrets new NAME", err=True)
    return OK


@command.command(epilog="\b\nExample:\n  flowpost secrets rotate\n  flowpost secrets rotate marketing\n")
@click.argument("names", nargs=-1)
@_YES
@click.pass_obj
def rotate(directory: Path, names: tuple[str, ...], yes: bool) -> int:
    """Encrypt anew, under a new data key, for exactly the recipients of .sops.yaml."""
    from runner.secret import recipients

    store = _store(directory)
    plan = recipients.rotate(store, _names(store, names))
    return _apply(plan, yes, [] if names else recipients.whole_files(store, look=False))


@command.command("add-recipient", epilog="\b\nExample:\n  flowpost secrets add-recipient age1…\n")
@click.argument("recipient")
@_YES
@click.pass_obj
def add_recipient(directory: Path, recipient: str, yes: bool) -> int:
    """Let RECIPIENT decrypt: into .sops.yaml and into every file."""
    from runner.secret import recipients

    store = _store(directory)
    plan = recipients.add(store, recipient, _names(store, ()))
    return _apply(plan, yes, recipients.whole_files(store, look=False))


@command.command("remove-recipient", epilog="\b\nExample:\n  flowpost secrets remove-recipient age1…\n")
@click.argument("recipient")
@_YES
@click.pass_obj
def remove_recipient(directory: Path, recipient: str, yes: bool) -> int:
    """Shut RECIPIENT out: out of .sops.yaml and every file, under new data keys. What was read stays known."""
    from runner.secret import recipients

    store = _store(directory)
    plan = recipients.remove(store, recipient, _names(store, ()))
    whole = recipients.whole_files(store, look=True)
    code = _apply(plan, yes, whole)
    lines = [f"  {change.name}: {', '.join(change.secrets)}" for change in plan.changes if change.secrets]
    for file in whole:
        inside = "what is in it" if file.secrets is None else ", ".join(file.secrets)
        if inside:
            lines.append(f"  {file.name}: {inside} (if {file.shown} is encrypted for the removed, too)")
    if code == OK and lines:
        click.echo("the removed could read these, and git keeps them; change them at the provider:", err=True)
        click.echo("\n".join(lines), err=True)
    return code


@command.command(
    epilog="\b\nExample:\n  flowpost secrets verify\n  flowpost secrets verify --no-key --format json\n"
)
@click.argument("names", nargs=-1)
@click.option("--no-key", is_flag=True, help="Check what can be checked without a key, as in a fork's CI.")
@click.option("--accept-older", is_flag=True, help="An older version that was put back is meant.")
@_FORMAT
@click.pass_obj
def verify(directory: Path, names: tuple[str, ...], no_key: bool, accept_older: bool, form: str) -> int:
    """Check every credential, or each of NAMES: encrypted, untampered, complete, and for the right recipients."""
    from runner.cli.findings import as_dict
    from runner.diagnostic import has_errors
    from runner.secret import survey

    store = _store(directory)
    there = store.names()
    for name in names:
        if name not in there:
            try:
                store.path(name)
            except SecretError as error:
                raise UsageError(error.message, hint=error.hint) from None
    chosen = list(names) or there
    findings = survey.verify(store, chosen, use_key=not no_key, accept_older=accept_older, strays=not names)
    good = not has_errors(findings)
    if form == "json":
        answer = {
            "ok": good,
            "credentials": len(chosen),
            "findings": [as_dict(finding) for finding in findings],
        }
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        for finding in findings:
            click.echo(printable(str(finding)))
            if finding.hint:
                click.echo(f"  hint: {printable(finding.hint)}")
        what = "without a key " if no_key else ""
        click.echo(f"{len(chosen)} credential{'s' * (len(chosen) != 1)} checked {what}".rstrip(), err=True)
    return OK if good else FAILED


@command.command(
    epilog="\b\nExample:\n  flowpost secrets resolve marketing && git add secrets/marketing.yaml\n"
)
@click.argument("name")
@click.option("--ours", "prefer", flag_value="ours", help="Where both sides changed a value, take ours.")
@click.option(
    "--theirs", "prefer", flag_value="theirs", help="Where both sides changed a value, take theirs."
)
@click.pass_obj
def resolve(directory: Path, name: str, prefer: str | None) -> int:
    """Merge NAME after a conflict: two branches changed different values of it."""
    from runner.secret import merge

    store = _store(directory)
    side: merge.Side | None = "ours" if prefer == "ours" else "theirs" if prefer == "theirs" else None
    for note in merge.resolve(store, name, side):
        click.echo(f"  {note}", err=True)
    click.echo(f"wrote {store.shown(store.path(name))}; next: git add it", err=True)
    return OK


def _apply(plan: Plan, yes: bool, whole: Sequence[Whole]) -> int:
    for change in plan.changes:
        key = "new data key" if change.new_key else "same data key"
        click.echo(f"{change.shown}: {key}", err=True)
        for sign, names in (("+", change.added), ("-", change.removed)):
            for name in names:
                click.echo(f"  {sign} {printable(name)}", err=True)
    for file in whole:
        click.echo(f"{file.shown}: not changed, it is encrypted as a whole", err=True)
        click.echo(f"  whoever can decrypt it still can; encrypt it anew with age: {_AGAIN}", err=True)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nothing was written: this asks first", hint="--yes answers where nobody can")
        if not click.confirm("write these changes?", err=True):
            click.echo("nothing was written", err=True)
            return FAILED
    plan.apply()
    return OK


def _store(directory: Path) -> CredentialStore:
    from runner.app import App

    return App.open(directory, os.environ).store()


def _root(directory: Path) -> tuple[Path, str]:
    """The workspace and its folder of secrets; a folder that is not a workspace yet counts as one."""
    from runner.app import App

    try:
        app = App.open(directory, os.environ)
    except UsageError:
        if not directory.is_dir():
            raise
        return directory.resolve(), "secrets"
    return app.root, str(app.settings.secrets)


def _names(store: CredentialStore, names: tuple[str, ...]) -> list[str]:
    found = list(names) or [name for name in store.names() if store.path(name).suffix == ".yaml"]
    if not found:
        whole = ", ".join(store.shown(store.path(name)) for name in store.names())
        raise SecretError(
            f"there is no credential in {store.shown(store.folder)} that this changes",
            hint=f"{whole}: encrypted as a whole; encrypt it anew with age" if whole else None,
        )
    return found


def _home() -> Path:
    return Path(os.environ["HOME"]) if os.environ.get("HOME") else Path.home()
