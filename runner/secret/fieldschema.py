"""The JSON Schema of a credential, generated from the tables in ``fields.py``.

To write it anew: ``python -m runner.secret.fieldschema > schemas/credential.schema.json``
"""

from __future__ import annotations

import json
import sys
from typing import Any

from runner.secret.fields import NAME, SHAPES, Field, Section, Shape


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a credential, as the decrypted file must be."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:flowpost:schema:credential",
        "title": "flowpost credential",
        "description": "One encrypted credential, as it is after decryption.",
        "type": "object",
        "required": ["name"],
        "oneOf": [_shape_schema(name, shape) for name, shape in SHAPES.items()],
    }


def _shape_schema(name: str, shape: Shape) -> dict[str, Any]:
    properties = {key: _field_schema(field) for key, field in shape.fields.items()}
    properties["type"] = {"const": name, "description": shape.fields["type"].about}
    required = [key for key, field in shape.fields.items() if field.required]
    if name != "smtp":
        required.append("type")
    for key, section in shape.sections.items():
        properties[key] = _section_schema(section)
        if section.required:
            required.append(key)
    return {
        "title": name,
        "description": shape.about,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _section_schema(section: Section) -> dict[str, Any]:
    if section.variants is None:
        return {
            "description": section.about,
            "type": "object",
            "minProperties": 1,
            **_members(section.fields),
        }
    choices = []
    for kind, fields in section.variants.items():
        members = _members(fields)
        members["properties"] = {
            "type": {"const": kind, "description": "The kind of login."},
            **members["properties"],
        }
        members["required"] = ["type", *members.get("required", [])]
        choices.append({"title": kind, "type": "object", **members})
    return {"description": section.about, "oneOf": choices}


def _members(fields: dict[str, Field]) -> dict[str, Any]:
    members: dict[str, Any] = {"properties": {key: _field_schema(field) for key, field in fields.items()}}
    required = [key for key, field in fields.items() if field.required]
    if required:
        members["required"] = required
    return {**members, "additionalProperties": False}


def _field_schema(field: Field) -> dict[str, Any]:
    about: dict[str, Any] = {"description": field.about}
    if field.choices:
        return {**about, "enum": list(field.choices)}
    if field.kind in ("integer", "number"):
        return {**about, "type": field.kind, "minimum": field.low, "maximum": field.high}
    if field.kind == "boolean":
        return {**about, "type": "boolean"}
    if field.kind in ("texts", "rates"):
        item = {"type": "string", "minLength": 1}
        return {**about, "type": "array", "minItems": 1, "items": item}
    if field.kind == "name":
        return {**about, "type": "string", "pattern": f"^{NAME}$", "maxLength": 63}
    return {**about, "type": "string", "minLength": 1}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n")
