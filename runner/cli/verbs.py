"""The verbs and the text of ``flowpost --help``, apart from everything that takes time to import."""

from __future__ import annotations

VERBS = {
    "batch": "Send one message a row of a file, once and only once.",
    "demo": "Send one message to an inbox on this machine and show it: the whole path.",
    "init": "Make a workspace that runs.",
    "plan": "Show who gets what, and what has changed since a git revision.",
    "preview": "Show the message as it would be sent.",
    "run": "Run one flow now, to its end.",
    "runs": "List, show, retry, cancel and resolve runs.",
    "serve": "Run the service: webhooks, schedules, files, hot reload.",
    "schema": "Print a JSON Schema.",
    "secrets": "Make, read and check the encrypted credentials.",
    "validate": "Check everything that can be known without sending.",
}
"""The list of verbs; each is a module here with a ``command``."""

HELP = """\
Usage: flowpost [OPTIONS] VERB [ARGS]...

  E-mail from your own SMTP server, from YAML flows in Git.

Options:
  -C DIR      Work in the workspace of DIR.
  --version   Show the version and exit.
  -h, --help  Show this message and exit. Every verb has it too.

Verbs:
{verbs}

Example:
  flowpost init mail && cd mail
  flowpost validate
  flowpost run welcome --set email=ann@example.com --set name=Ann
"""


def help_text() -> str:
    """What ``flowpost --help`` prints."""
    return HELP.format(verbs="\n".join(f"  {name:<10}{what}" for name, what in sorted(VERBS.items())))
