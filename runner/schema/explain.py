"""From a validator's error to a finding: what was found, where, and what was expected, in one voice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from runner.diagnostic import Diagnostic
from runner.schema.walk import allowed_keys, branches, child
from runner.schema.words import kind_of, kinds, nearest, quoted, shown

if TYPE_CHECKING:
    from runner.schema.check import Located

ValidationError = Any
"""jsonschema's, whose stubs make every field possibly unset."""

Pointer = tuple[str | int, ...]


class Explainer:
    """Gathers findings about one document."""

    def __init__(self, name: str, schema: dict[str, Any], document: Located) -> None:
        self.name = name
        self.schema = schema
        self.document = document
        self._found: list[tuple[Pointer, str, Diagnostic]] = []
        self._unknown_types: set[Pointer] = set()
        self._misspelt: set[str] = set()

    def findings(self) -> list[Diagnostic]:
        """All of them, without what only follows from another: a wrong type makes every other rule moot."""
        wrong = {pointer for pointer, rule, _ in self._found if rule == "type"}
        unlisted = {pointer for pointer, rule, _ in self._found if rule == "enum"}
        # What an alias or a merge key repeats is one mistake, wherever it is used.
        told: dict[tuple[int, int, str], Pointer] = {}
        found = []
        for pointer, rule, finding in self._found:
            follows = (
                (rule != "type" and pointer in wrong)
                or (rule == "no type" and pointer in self._unknown_types)
                or (rule == "const" and pointer in unlisted)
                or (rule == "required" and finding.message in self._misspelt)
            )
            if not follows and told.setdefault((finding.line, finding.column, rule), pointer) == pointer:
                found.append(finding)
        return found

    def explain(self, error: ValidationError, base: Pointer = ()) -> None:
        """Add what ``error`` means."""
        pointer = base + tuple(error.path)
        known = len(self._found)
        rule = str(error.validator)
        explain = getattr(self, f"_{rule.lower()}", None)
        if explain is not None:
            explain(pointer, error)
        if len(self._found) == known:
            self._add(pointer, rule, f"{self.label(pointer)} breaks the rule {quoted(rule)} of its schema")

    def section(self, pointer: Pointer) -> str:
        """What a person calls the collection at ``pointer``."""
        if not pointer:
            return {"flow": "the flow", "workspace": "flowpost.yaml"}.get(self.name, "the file")
        if pointer[0] in ("nodes", "triggers") and len(pointer) > 1 and self.name == "flow":
            is_parameter = pointer[0] == "nodes" and len(pointer) > 3 and pointer[2] != "retry"
            inner = pointer[3:] if is_parameter else pointer[2:]
            index = int(pointer[1])
            owner = self._node(index) if pointer[0] == "nodes" else f"trigger {index + 1}"
            return f"{_path(inner)} of {owner}" if inner else owner
        return _path(pointer)

    def label(self, pointer: Pointer) -> str:
        """What a person calls the value at ``pointer``."""
        if not pointer:
            return self.section(())
        owner = self.section(pointer[:-1])
        if isinstance(pointer[-1], int):
            return self.section(pointer)
        if len(pointer) == 4 and pointer[0] == "nodes" and self.name == "flow":
            # The type key says nothing that the parameter's name does not: "priority" of node "welcome".
            owner = self.section(pointer[:2])
        return f"{quoted(pointer[-1])} of {owner}" if pointer[:-1] else quoted(pointer[-1])

    def _node(self, index: int) -> str:
        node = self.document.value["nodes"][index]
        name = node.get("id") if isinstance(node, dict) else None
        return f"node {quoted(name)}" if isinstance(name, str) else f"node {index + 1}"

    def _add(self, pointer: Pointer, rule: str, message: str, hint: str = "", *, key: bool = False) -> None:
        place = self.document.at(pointer, key=key)
        found = Diagnostic(self.document.path, place.line, place.column, message, "schema", hint=hint)
        self._found.append((pointer, rule, found))

    def _holder(self, pointer: Pointer, rule: str, message: str, hint: str = "") -> None:
        """Add a finding about a whole collection, at its key: there the eye looks for what is missing."""
        self._add(pointer, rule, message, hint, key=bool(pointer) and isinstance(pointer[-1], str))

    def _type(self, pointer: Pointer, error: ValidationError) -> None:
        expected = (
            [error.validator_value] if isinstance(error.validator_value, str) else error.validator_value
        )
        if error.instance is None:
            message = f"{self.label(pointer)} is empty, expected {kinds(expected)}"
            self._add(pointer, "type", message, "give it a value, or delete the key")
            return
        if isinstance(error.instance, dict | list):
            message = f"{self.label(pointer)} is {kind_of(error.instance)}, expected {kinds(expected)}"
            self._add(pointer, "type", message)
            return
        what = self._shown(pointer, error)
        hint = ""
        if (reason := error.schema.get("patternErrorMessage")) and isinstance(error.instance, int | float):
            reason, _, hint = reason.partition(": ")
            expectation = f"is {reason}"
        else:
            expectation = f"is {kind_of(error.instance)}, expected {kinds(expected)}"
            hint = "" if isinstance(error.instance, str) or "string" not in expected else "put it in quotes"
        self._add(pointer, "type", f"{what} {expectation} for {self.label(pointer)}", hint)

    def _shown(self, pointer: Pointer, error: ValidationError) -> str:
        # A database's address holds a password now and then.
        if isinstance(error.schema, dict) and error.schema.get("writeOnly"):
            return "the value"
        return shown(error.instance, self.document.written(pointer))

    def _enum(self, pointer: Pointer, error: ValidationError) -> None:
        if error.instance is None:
            expected = _list(error.validator_value)
            self._add(pointer, "type", f"{self.label(pointer)} is empty, expected one of {expected}")
            return
        what = self._shown(pointer, error)
        close = nearest(str(error.instance), [str(value) for value in error.validator_value])
        message = f"{what} is not one of {_list(error.validator_value)} for {self.label(pointer)}"
        self._add(pointer, "enum", message, f"did you mean {quoted(close)}?" if close else "")

    def _const(self, pointer: Pointer, error: ValidationError) -> None:
        what = self._shown(pointer, error)
        message = f"{what} is not {quoted(error.validator_value)} for {self.label(pointer)}"
        if self.name == "workspace" and pointer == ("delivery", "mode"):
            field = "to" if error.validator_value == "redirect" else "allow"
            message = (
                f"{quoted(field)} is for the mode {quoted(error.validator_value)}, and the mode is {what}"
            )
        self._add(pointer, "const", message)

    def _pattern(self, pointer: Pointer, error: ValidationError) -> None:
        # "not a path like crm/contact: letters and digits": what follows the colon is how to mend it.
        reason, _, hint = error.schema.get("patternErrorMessage", "not what is expected").partition(": ")
        what = self._shown(pointer, error)
        self._add(pointer, "pattern", f"{what} is {reason} for {self.label(pointer)}", hint)

    def _required(self, pointer: Pointer, error: ValidationError) -> None:
        # One error for each missing key; its name is the only part of the message that is needed.
        key = next(key for key in error.validator_value if error.message.startswith(repr(key)))
        message = f"{quoted(key)} is missing in {self.section(pointer)}"
        self._holder(pointer, "required", message, self._purpose(pointer, key))

    def _purpose(self, pointer: Pointer, key: str) -> str:
        for schema in self._schemas((*pointer, key)):
            if "description" in schema:
                return str(schema["description"]).split(". ")[0].rstrip(".")
        return ""

    def _schemas(self, pointer: Pointer) -> list[dict[str, Any]]:
        schemas = branches(self.schema, self.schema)
        for step in pointer:
            schemas = child(schemas, step, self.schema)
        return schemas

    def _additionalproperties(self, pointer: Pointer, error: ValidationError) -> None:
        allowed = allowed_keys(self._schemas(pointer))
        for key in error.instance:
            if key not in allowed:
                self._unknown_key((*pointer, key), key, allowed, error.instance[key])

    def _unknown_key(self, pointer: Pointer, key: str, allowed: Sequence[str], value: Any) -> None:
        message = f"unknown key {quoted(key)} in {self.section(pointer[:-1])}"
        is_node = self.name == "flow" and pointer[0] in ("nodes", "triggers") and len(pointer) == 3
        if is_node and isinstance(value, dict):
            self._unknown_types.add(pointer[:-1])
        if close := nearest(key, allowed):
            self._misspelt.add(f"{quoted(close)} is missing in {self.section(pointer[:-1])}")
            message, hint = f"{message}; did you mean {quoted(close)}?", f"allowed: {', '.join(allowed)}"
        else:
            message, hint = f"{message}; expected one of {', '.join(allowed)}", self._misplaced(pointer, key)
        self._add(pointer, "key", message, hint, key=True)

    def _misplaced(self, pointer: Pointer, key: str) -> str:
        if self.name != "flow" or len(pointer) < 3 or pointer[0] != "nodes":
            return ""
        if len(pointer) == 4 and key in allowed_keys(self._schemas(pointer[:2])):
            return f"{quoted(key)} belongs to the node, beside {quoted(pointer[2])}"
        if len(pointer) == 3:
            node = self.document.value["nodes"][pointer[1]]
            for kind in node:
                if kind != key and key in allowed_keys(self._schemas((*pointer[:2], kind))):
                    return f"{quoted(key)} belongs inside {quoted(kind)}: indent it"
        return ""

    def _minimum(self, pointer: Pointer, error: ValidationError) -> None:
        what = self._shown(pointer, error)
        self._add(
            pointer, "minimum", f"{what} is less than {error.validator_value} for {self.label(pointer)}"
        )

    def _maximum(self, pointer: Pointer, error: ValidationError) -> None:
        what = self._shown(pointer, error)
        self._add(
            pointer, "maximum", f"{what} is more than {error.validator_value} for {self.label(pointer)}"
        )

    def _empty(self, pointer: Pointer, error: ValidationError) -> None:
        self._add(pointer, "empty", f"{self.label(pointer)} is empty")

    _minlength = _minitems = _minproperties = _empty

    def _maxlength(self, pointer: Pointer, error: ValidationError) -> None:
        self._size(pointer, f"{len(error.instance):,} characters, at most {error.validator_value:,}")

    def _maxitems(self, pointer: Pointer, error: ValidationError) -> None:
        self._size(pointer, f"{len(error.instance):,} entries, at most {error.validator_value:,}")

    _maxproperties = _maxitems

    def _size(self, pointer: Pointer, sizes: str) -> None:
        self._add(pointer, "size", f"{self.label(pointer)} has {sizes}")

    def _not(self, pointer: Pointer, error: ValidationError) -> None:
        keys = error.validator_value.get("required", [])
        message = f"{_list(map(quoted, keys), ' and ')} exclude each other in {self.section(pointer)}"
        self._add((*pointer, keys[-1]), "not", message, "keep one of them", key=True)

    def _dependentrequired(self, pointer: Pointer, error: ValidationError) -> None:
        for key, needed in error.validator_value.items():
            for other in needed:
                if key in error.instance and other not in error.instance:
                    message = f"{quoted(key)} needs {quoted(other)} in {self.section(pointer)}"
                    self._add((*pointer, key), "required", message, key=True)

    def _oneof(self, pointer: Pointer, error: ValidationError) -> None:
        keys = _required_keys(error.validator_value)
        if not keys or not isinstance(error.instance, dict):
            self._anyof(pointer, error)
            return
        present = [key for key in keys if key in error.instance]
        if len(present) > 1:
            message = (
                f"{self.section(pointer)} has {_list(map(quoted, present), ' and ')}, expected one of them"
            )
            hint = "make two of it" if len(pointer) == 2 else "keep one of them"
            self._add((*pointer, present[1]), "oneOf", message, hint, key=True)
            return
        what = "no type" if len(pointer) == 2 else "none of the keys it needs"
        message = f"{self.section(pointer)} has {what}; expected one of {', '.join(keys)}"
        self._holder(pointer, "no type", message)

    def _anyof(self, pointer: Pointer, error: ValidationError) -> None:
        keys = _required_keys(error.validator_value)
        # Where a branch asks for no key, another kind of value would do too: the nearest branch says more.
        if (
            keys
            and isinstance(error.instance, dict)
            and all("required" in one for one in error.validator_value)
        ):
            choice = _list(map(quoted, keys), " or ")
            self._holder(pointer, "required", f"{choice} is missing in {self.section(pointer)}")
            return
        groups = grouped(error.context or ())
        wrong_types = [inner for group in groups.values() for inner in group if _is_wrong_type(inner)]
        if groups and len(grouped(wrong_types)) == len(groups):
            merged = wrong_types[0]
            merged.validator_value = [inner.validator_value for inner in wrong_types]
            self._type(pointer, merged)
            return
        for inner in min(groups.values(), key=_distance, default=[]):
            self.explain(inner, pointer)


def _required_keys(schemas: Iterable[dict[str, Any]]) -> list[str]:
    return [key for schema in schemas for key in schema.get("required", ())]


def grouped(errors: Iterable[ValidationError]) -> dict[int, list[ValidationError]]:
    """The errors of each branch of an ``anyOf`` or ``oneOf``."""
    groups: dict[int, list[ValidationError]] = {}
    for error in errors:
        # The branch ``false`` has no path of its own.
        branch = int(error.schema_path[0]) if error.schema_path else -1
        groups.setdefault(branch, []).append(error)
    return groups


def _is_wrong_type(error: ValidationError) -> bool:
    return not error.path and error.validator == "type" and isinstance(error.validator_value, str)


def _distance(errors: list[ValidationError]) -> tuple[bool, bool, int]:
    """How far a value is from a branch: a wrong type is farther than a wrong value."""
    here = [error for error in errors if not error.path]
    return (
        any(error.validator == "type" for error in here),
        any(error.validator == "pattern" for error in here),
        len(errors),
    )


def _path(pointer: Pointer) -> str:
    text = ""
    for step in pointer:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _list(values: Iterable[Any], last: str = ", ") -> str:
    words = [str(value) for value in values]
    return ", ".join(words[:-1]) + last + words[-1] if len(words) > 1 else "".join(words)
