"""The bare SOPS format (YAML store, age recipients), both ways, without flowpost's policy.

``decrypt`` and ``encrypt`` are the stable surface; the other modules of the package are its parts.
"""

from runner.secret.sops.document import decrypt, encrypt

__all__ = ["decrypt", "encrypt"]
