"""The credentials that a plan may know: rates and the default sender, and never more than it needs.

A fork's CI has no key. Then the plan goes on with what is known without it, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from runner.credential import Encryption, HttpCredential, SmtpCredential
from runner.errors import FlowpostError, PortError, SecretError
from runner.nodes.base import Credentials
from runner.plan.face import NOBODY
from runner.secret.store import CredentialStore


@dataclass(slots=True)
class Wallet:
    """Credentials from ``stored``, with a stand-in for each that cannot be opened.

    ``closed`` says why, by name: a key is missing, so that only the rates and the sender are unknown. ``wrong`` are
    those that would fail with every key: the file is not there, or breaks the policy.
    """

    stored: Credentials
    store: CredentialStore
    known: dict[str, SmtpCredential] = field(default_factory=dict)
    closed: dict[str, FlowpostError] = field(default_factory=dict)
    wrong: dict[str, FlowpostError] = field(default_factory=dict)

    async def smtp(self, name: str) -> SmtpCredential:
        """The credential, or a stand-in without a server and without rates."""
        if name in self.known:
            return self.known[name]
        if name in self.closed or name in self.wrong:
            return _stand_in(name)
        try:
            found = self.known[name] = await self.stored.smtp(name)
            return found
        except (SecretError, PortError) as error:
            (self.wrong if self._is_wrong(name, error) else self.closed)[name] = error
        return _stand_in(name)

    async def http(self, name: str) -> HttpCredential:
        """None is needed: no request is made."""
        raise SecretError(f'credential "{name}" is not needed for a plan')

    def _is_wrong(self, name: str, error: FlowpostError) -> bool:
        if isinstance(error, PortError):
            return True
        return any(finding.severity == "error" for finding in self.store.check(name, use_key=False))


def _stand_in(name: str) -> SmtpCredential:
    return SmtpCredential(
        workspace="plan",
        name=name,
        fingerprint="",
        host=NOBODY,
        port=465,
        encryption=Encryption.TLS,
        default_from=f"sender@{NOBODY}",
    )
