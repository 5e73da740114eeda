"""What the operator's delivery mode makes of each message, decided before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass

from runner.errors import AddressError
from runner.mail.address import Address, parse_one
from runner.mail.delivery import matches
from runner.model import Delivery, Settings


@dataclass(frozen=True, slots=True)
class Whereto:
    """Where a message goes: ``goes_to`` are envelope recipients, ``refused`` those that keep it from leaving."""

    goes_to: tuple[str, ...]
    refused: tuple[str, ...] = ()


def as_meant(settings: Settings) -> Settings:
    """The settings with mail delivered live, so that a rehearsal shows whom each message is for."""
    return settings._replace(delivery=Delivery())


class Router:
    """Decides for one delivery mode."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self._known: dict[str, bool] = {}

    def route(self, recipients: tuple[str, ...]) -> Whereto:
        """Where a message for ``recipients`` (as its envelope has them) goes.

        One recipient that the allowlist leaves out keeps the whole message here, as in sending.
        """
        mode = self.delivery.mode
        if mode == "capture":
            return Whereto(())
        if mode == "redirect":
            return Whereto((self.delivery.to or "",))
        refused = tuple(r for r in recipients if not self._allowed(r)) if mode == "allowlist" else ()
        return Whereto(() if refused else recipients, refused)

    def _allowed(self, recipient: str) -> bool:
        known = self._known.get(recipient)
        if known is None:
            address = self._parsed(recipient)
            known = address is not None and any(matches(address, pattern) for pattern in self.delivery.allow)
            if len(self._known) < 1000:
                self._known[recipient] = known
        return known

    @staticmethod
    def _parsed(recipient: str) -> Address | None:
        try:
            return parse_one(recipient)
        except AddressError:
            return None
