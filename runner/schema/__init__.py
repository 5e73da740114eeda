"""JSON Schema, draft 2020-12: the project's own schemas, and the one that a flow gives for its body.

``names`` and ``load`` find the schemas in a checkout and in a wheel; ``check`` explains everything that a
document breaks, each mistake at its own place; ``body_checker`` makes a bounded checker from a flow's body.
"""

from __future__ import annotations

from runner.schema.audit import SchemaFinding, body_checker, schema_findings
from runner.schema.body import Checker, unaudited_checker
from runner.schema.catalog import load, names, node_types, trigger_types
from runner.schema.check import check
from runner.schema.problems import Problem
from runner.schema.walk import branches, child

__all__ = [
    "Checker",
    "Problem",
    "SchemaFinding",
    "body_checker",
    "branches",
    "check",
    "child",
    "load",
    "names",
    "node_types",
    "schema_findings",
    "trigger_types",
    "unaudited_checker",
]
