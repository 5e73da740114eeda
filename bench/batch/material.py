"""What is mailed: the rows, the templates that all senders share, and a workspace that sends them."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flowpost-bench"
NAMES = (
    "Ann Miller", "Grace Hopper", "Zoë Brûlé", "John Smith", "Peter Fox", "Jürgen Müller-Lüdenscheidt",
    "Mary Major", "Ruth Bell", "Łukasz Żółć", "Tom Baker", "Kim O'Hara", "山田 花子",
)  # fmt: skip
CITIES = ("Berlin", "Köln", "Paris", "London", "Oslo")
FROM = ("Example Shop", "shop@example.com")
SUBJECT = "Your order <<trigger.body.order>> is on its way, <<trigger.body.name>>"
LINE = (
    '<tr><td style="padding:4px 12px;font-family:Arial,sans-serif;color:#333333">'
    "Article {0} of the order, packed with care, class A</td>"
    '<td align="right" width="20%">{0} x 12.50 EUR</td></tr>\n'
)
HTML = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Order <<trigger.body.order>></title></head>\n'
    '<body style="margin:0;background:#f4f4f4">\n<h1>Hello <<trigger.body.name>>,</h1>\n'
    "<p>your order <b><<trigger.body.order>></b> of <<trigger.body.amount>> EUR leaves for "
    "<<trigger.body.city>> today.</p>\n"
    '<table width="100%" cellpadding="0" cellspacing="0">\n'
    + "".join(LINE.format(number) for number in range(1, 21))
    + "</table>\n<% if trigger.body.vip == 'yes' %><p>As a regular customer you pay no postage.</p>\n<% endif %>"
    '<p><a href="https://shop.example.com/orders/<<trigger.body.order>>?from=mail&amp;lang=en">See your order</a></p>\n'
    "<p>Your Example Shop</p>\n</body></html>\n"
)
TEXT = (
    "Hello <<trigger.body.name>>,\n\nyour order <<trigger.body.order>> of <<trigger.body.amount>> EUR leaves for "
    "<<trigger.body.city>> today.\n"
    "<% if trigger.body.vip == 'yes' %>As a regular customer you pay no postage.\n<% endif %>"
    "\nhttps://shop.example.com/orders/<<trigger.body.order>>?from=mail&lang=en\n\nYour Example Shop\n"
)
FLOW = f"""name: order
nodes:
  - id: mail
    smtp:
      credential: bench
      from: {FROM[0]} <{FROM[1]}>
      to: <<trigger.body.name>> <<<trigger.body.email>>>
      subject: {SUBJECT}
      body_format: html
      html_body: {{file: templates/order.html}}
      body: {{file: templates/order.txt}}
"""
FIELDS = ("id", "email", "name", "city", "order", "amount", "vip")


def write_rows(path: Path, count: int) -> Path:
    """``count`` rows; a third of the names are not ASCII."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(FIELDS)
        for number in range(count):
            writer.writerow((
                number, f"customer{number}@example.net", NAMES[number % 12], CITIES[number % 5],
                f"A-{100_000 + number}", f"{number % 400}.90", "yes" if number % 7 == 0 else "no",
            ))  # fmt: skip
    return path


def write_templates(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "order.html").write_text(HTML, encoding="utf-8")
    (folder / "order.txt").write_text(TEXT, encoding="utf-8")


@dataclass(frozen=True)
class Workspace:
    """A folder that ``flowpost batch order`` runs in, and the environment that it needs."""

    root: Path
    environ: Mapping[str, str]

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "runner", "batch", "order", *arguments]


def write_workspace(
    root: Path,
    host: str,
    port: int,
    *,
    ca_pem: str | None,
    database: str | None,
    connections: int,
    chunking: int,
) -> Workspace:
    """The flow, its templates, and an encrypted credential for the server of this round."""
    from runner.secret import age, sops

    identity, recipient = age.generate()
    tree: dict[str, object] = {
        "name": "bench",
        "server": {"host": host, "port": port, "encryption": "tls" if ca_pem else "none"},
        "auth": {"type": "none"},
        "sender": {"default_from": FROM[1]},
        "advanced": {"max_connections": connections, "max_messages": 100_000}
        | ({"chunking": chunking} if chunking else {}),
    }
    if ca_pem:
        tree["security"] = {"ca_pem": ca_pem}
    for name in ("flows", "secrets"):
        (root / name).mkdir(parents=True)
    write_templates(root / "templates")
    (root / "flows" / "order.yaml").write_text(FLOW, encoding="utf-8")
    (root / "secrets" / "bench.yaml").write_bytes(sops.encrypt(tree, [recipient]))
    settings = 'network: {allow: [127.0.0.0/8, "::1/128"]}\n'
    if database:
        settings += f"database: {database}\n"
    (root / "flowpost.yaml").write_text(settings, encoding="utf-8")
    environ = {**os.environ, "SOPS_AGE_KEY": identity, "CI": "1"}
    # An installed package has its bytecode; a checkout that is not to be written to has not.
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    environ["PYTHONPYCACHEPREFIX"] = str(CACHE / "bytecode")
    return Workspace(root, environ)
