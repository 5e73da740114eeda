"""One flow file becomes a ``Flow``, or all its findings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from runner import schema, source
from runner.diagnostic import Diagnostic, Invalid, refuse, tidy
from runner.load.nodes import build_nodes
from runner.load.params import Compiler
from runner.load.shapes import base_names
from runner.load.triggers import build_triggers, check_triggers
from runner.load.workspace import read_file, relative_name
from runner.model import Flow, Settings
from runner.source import Document
from runner.template import Delimiters, Templates


class LoadedFlow(NamedTuple):
    """A flow, where everything in it stands, and findings that are no reason to refuse it."""

    flow: Flow
    document: Document
    warnings: tuple[Diagnostic, ...] = ()


def load_flow(root: Path, path: Path, settings: Settings) -> Flow:
    """The flow in the file ``path``; raises Invalid with every finding, warnings too when one is an error."""
    return read_flow(root, path, settings).flow


def read_flow(root: Path, path: Path, settings: Settings, asked: set[Path] | None = None) -> LoadedFlow:
    """As ``load_flow``, with the document, so that a later finding can say its line.

    ``asked``, when given, gains every template file that was looked for, there or not, and the templates folder
    where that is not there: when one of them changes, the flow, or its findings, may too.
    """
    name = relative_name(root, path)
    data = read_file(root, name, source.MAX_BYTES)
    document = source.read(data, name)
    findings = [*document.warnings, *schema.check("flow", document)]
    value = document.value
    if not isinstance(value, dict):
        raise Invalid(findings)
    flow_name = value.get("name", _stem(name))
    if "name" not in value:
        findings += _check_stem(document, flow_name)
    body = _body(document, findings)
    findings += check_triggers(document, body, root, settings)
    folder = root / settings.templates
    delimiters: Delimiters = "curly" if value.get("delimiters") == "curly" else "angle"
    present = folder.is_dir()
    templates = Templates(
        folder if present else None, delimiters, label=settings.templates, kept=_kept(root, settings)
    )
    if asked is not None:
        # The library goes on filling the set, so that a flow that cannot be built tells it as well.
        templates.library.asked = asked
        if not present:
            asked.add(folder)
    compiler = Compiler(document, templates)
    nodes = build_nodes(document, compiler, base_names(body, settings.vars))
    findings += compiler.findings
    if refuse(findings):
        raise Invalid(findings)
    sources = _sources(root, name, data, compiler.files)
    flow = Flow(
        name=flow_name,
        path=name,
        digest=_digest(name, sources),
        nodes=nodes,
        description=value.get("description", ""),
        triggers=build_triggers(document),
        body=value.get("body"),
        sources=sources,
    )
    return LoadedFlow(flow, document, tidy(findings))


def _kept(root: Path, settings: Settings) -> tuple[Path, ...]:
    """What is no template, should the templates folder hold it. The workspace itself, as folder of secrets, may be."""
    own = (root / settings.secrets, root / "flowpost.yaml", root / ".sops.yaml")
    return tuple(path for path in own if path != root)


def name_in(root: Path, path: str) -> str:
    """The name that a flow file gives itself, whatever is wrong with the rest; empty when it cannot be read."""
    try:
        value = source.read(read_file(root, path, source.MAX_BYTES), path).value
    except Invalid:
        return ""
    name = value.get("name") if isinstance(value, dict) else None
    return name if isinstance(name, str) else _stem(path)


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _check_stem(document: Document, stem: str) -> Iterator[Diagnostic]:
    rules = schema.load("flow")["properties"]["name"]
    if not re.search(rules["pattern"], stem) or len(stem) > rules["maxLength"]:
        message = f'the file\'s name "{stem}" is not a flow\'s name, and the flow has no "name"'
        yield document.finding((), message, hint="write name: at the top: letters, digits and - _ . only")


def _body(document: Document, findings: list[Diagnostic]) -> Any:
    """The body schema, or None when the flow has none that can be used."""
    body = document.value.get("body")
    if not isinstance(body, dict | bool):
        return None
    found = schema.schema_findings(body)
    for finding in found:
        place = document.at(("body", *finding.pointer), key=finding.key)
        findings.append(
            Diagnostic(
                document.path,
                place.line,
                place.column,
                f"in the body schema: {finding.message}",
                "schema",
                finding.severity,
                finding.hint,
            )
        )
    if any(finding.severity == "error" for finding in found):
        return None
    return body


def _sources(root: Path, name: str, data: bytes, files: Iterable[Path]) -> dict[str, bytes]:
    """The flow's file and each template file that it uses, by name."""
    base = root.resolve()
    return {name: data} | {path.relative_to(base).as_posix(): path.read_bytes() for path in sorted(files)}


def _digest(name: str, sources: Mapping[str, bytes]) -> str:
    """The flow's content as one hash: its file, and name and content of each template file that it uses."""
    import hashlib

    digest = hashlib.sha256(hashlib.sha256(sources[name]).digest())
    for path, data in sources.items():
        if path != name:
            digest.update(hashlib.sha256(path.encode()).digest())
            digest.update(hashlib.sha256(data).digest())
    return digest.hexdigest()
