"""Whole-file ``.age``: a YAML credential encrypted as one, by X25519, SSH or a passphrase.

What lies inside is held to the same rules as a SOPS file: one document, no aliases, anchors or tags, nothing empty.
"""

from __future__ import annotations

from typing import Any

from runner.secret import age
from runner.secret.identities import Identities
from runner.secret.sops import nodes
from runner.secret.sops.document import places, to_tree
from runner.secret.sops.nodes import FormatError
from runner.secret.sops.scalar import resolve


def decrypt(data: bytes, found: Identities) -> Any:
    """The tree of leaves inside; SecretError when it cannot be decrypted or is not such a file."""
    plain = age.decrypt(data, found.texts, passphrase=found.passphrase)
    try:
        root = nodes.compose(nodes.read_text(plain))
        for place in places(root):
            if place.scalar.tag is not None:
                raise FormatError("a tag is not allowed", line=place.scalar.line, column=place.scalar.column)
        values = {place.scalar.start: resolve(place.scalar) for place in places(root)}
        return to_tree(root, values, leaf=True)
    except FormatError as error:
        # The position is of the text inside, which the reader does not see: say so.
        raise FormatError(f"inside, line {error.line}: {error.message}", hint=error.hint) from None
