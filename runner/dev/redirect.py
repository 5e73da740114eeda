"""Credentials whose server is the local inbox: the login stays the real one, no mail leaves the machine."""

from __future__ import annotations

from dataclasses import dataclass

from runner.credential import Encryption, HttpCredential, SmtpCredential
from runner.dev.inbox import Inbox
from runner.nodes.base import Credentials


@dataclass(frozen=True, slots=True)
class Redirected:
    """Looks credentials up as ``stored`` does and points every SMTP one at ``inbox``."""

    stored: Credentials
    inbox: Inbox

    async def smtp(self, name: str) -> SmtpCredential:
        """The credential with the inbox for its server; its certificate is verified against the inbox's own CA."""
        credential = await self.stored.smtp(name)
        return credential._replace(
            host="localhost",
            port=self.inbox.port,
            encryption=Encryption.TLS,
            verify=True,
            ca_pem=self.inbox.ca_pem,
        )

    async def http(self, name: str) -> HttpCredential:
        """The http credential, unchanged."""
        return await self.stored.http(name)
