"""The error tree: what a caller may catch, and the stable codes that users see.

::

    FlowpostError
    ├── UsageError                 the command was called wrongly            (exit 2)
    ├── ConfigurationError         a file of the workspace is wrong          (exit 2)
    ├── SecretError                ESECRET
    ├── TemplateError              ETEMPLATE
    ├── AddressError               EADDRESS
    ├── HeaderError                EHEADER
    ├── ReservedHeaderError        ERESERVED
    ├── LimitError                 ELIMIT
    ├── AttachmentError            EATTACHMENT
    ├── BlockedError               EBLOCKED
    ├── PortError                  EPORT
    ├── HttpError                  EHTTP
    ├── RateError                  ERATE
    ├── Conflict                   ECONFLICT
    ├── Unavailable                EUNAVAILABLE  (transient)
    └── DeliveryError
        ├── ConnectionFailed       ECONNECTION   (transient)
        ├── TimedOut               ETIMEDOUT     (transient)
        ├── TlsError               ETLS
        ├── AuthError              EAUTH
        ├── EnvelopeError          EENVELOPE     (transient when the reply is 4xx)
        ├── MessageError           EMESSAGE      (transient when the reply is 4xx)
        └── DeliveryUnknown        EUNKNOWN

Errors carry fields, not prose: ``transient`` answers "can trying again help?", and nobody reads the text
to decide. No error holds the value of a secret.
"""

from __future__ import annotations

from typing import ClassVar, Protocol


class FlowpostError(Exception):
    """Base of everything flowpost raises on purpose.

    ``message`` is one sentence for a person, ``hint`` says how to mend it, ``code`` is stable.
    """

    code: ClassVar[str] = "EINTERNAL"
    transient_by_default: ClassVar[bool] = False
    default_hint: ClassVar[str | None] = None

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        transient: bool | None = None,
        smtp_code: int | None = None,
        enhanced_code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint if hint is not None else self.default_hint
        self.transient = self.transient_by_default if transient is None else transient
        self.smtp_code = smtp_code
        self.enhanced_code = enhanced_code

    def as_dict(self) -> dict[str, object]:
        """The error as ``flowpost run --format json`` prints it."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "transient": self.transient,
            "smtp_code": self.smtp_code,
            "enhanced_code": self.enhanced_code,
        }

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the fields when an error crosses a process boundary."""
        return (_rebuild, (type(self), self.as_dict()))


def _rebuild(kind: type[FlowpostError], fields: dict[str, object]) -> FlowpostError:
    error = kind.__new__(kind)
    Exception.__init__(error, fields["message"])
    error.__dict__.update({name: value for name, value in fields.items() if name != "code"})
    return error


class UsageError(FlowpostError):
    """The command line was used wrongly: an unknown flow, a body that is not JSON, a missing file."""

    code = "EUSAGE"


class ConfigurationError(FlowpostError):
    """A file of the workspace is wrong, so that the work cannot begin."""

    code = "ECONFIG"


class SecretError(FlowpostError):
    """A credential file cannot be used: missing or wrong key, tampered, plaintext, or against the policy."""

    code = "ESECRET"


class TemplateError(FlowpostError):
    """A template names something unknown, leaves the sandbox, or takes too much time, memory or output."""

    code = "ETEMPLATE"


class AddressError(FlowpostError):
    """A text is not an e-mail address, or a value tried to be more than one."""

    code = "EADDRESS"


class HeaderError(FlowpostError):
    """A header, subject or address holds CR, LF or NUL."""

    code = "EHEADER"
    default_hint = "strip newlines from the variable, for example with << value | replace('\\n', ' ') >>"


class ReservedHeaderError(FlowpostError):
    """A custom header uses a name that flowpost sets itself."""

    code = "ERESERVED"
    default_hint = "use the dedicated parameter"


class LimitError(FlowpostError):
    """A message passes one of the fixed limits of the smtp node."""

    code = "ELIMIT"


class AttachmentError(FlowpostError):
    """An attachment cannot be fetched or decoded, or is too large."""

    code = "EATTACHMENT"


class BlockedError(FlowpostError):
    """The outbound guard refused an address."""

    code = "EBLOCKED"
    default_hint = "an operator can let it through with network.allow in flowpost.yaml"


class PortError(FlowpostError):
    """A credential names port 25."""

    code = "EPORT"
    default_hint = "use 587 (STARTTLS) or 465 (TLS)"


class HttpError(FlowpostError):
    """An http node got no usable answer."""

    code = "EHTTP"


class RateError(FlowpostError):
    """The credential's budget is used up and the run may not wait."""

    code = "ERATE"


class Conflict(FlowpostError):
    """An idempotency key came again with another payload."""

    code = "ECONFLICT"
    default_hint = "give each event a key of its own"


class Unavailable(FlowpostError):
    """The event cannot be kept now: the service is draining, the disk is full or the database unreachable."""

    code = "EUNAVAILABLE"
    transient_by_default = True


class DeliveryError(FlowpostError):
    """Something between the first packet to the SMTP server and its last reply."""


class ConnectionFailed(DeliveryError):
    """The server refused the connection, cannot be reached, or its name does not resolve."""

    code = "ECONNECTION"
    transient_by_default = True
    default_hint = "check host and port; is outbound 587/465 open?"


class TimedOut(DeliveryError):
    """No answer in time, before the message was handed over."""

    code = "ETIMEDOUT"
    transient_by_default = True
    default_hint = "check host and port; is outbound 587/465 open?"


class TlsError(DeliveryError):
    """The server's certificate or protocol version is not acceptable."""

    code = "ETLS"
    default_hint = (
        "renew the certificate, or set security.certificates: accept-unverified in the credential "
        "and accept the risk"
    )


class AuthError(DeliveryError):
    """The server refused the login."""

    code = "EAUTH"
    default_hint = "use an App Password (Gmail, Microsoft 365), check username"


class Refused(Protocol):
    """A recipient that was refused, with the server's reply: ``model.Rejection``."""

    @property
    def address(self) -> str:
        """As it stood in the envelope."""

    @property
    def code(self) -> int:
        """The reply's code."""

    @property
    def enhanced_code(self) -> str | None:
        """The reply's enhanced code (RFC 3463)."""

    @property
    def message(self) -> str:
        """The reply's text."""


class EnvelopeError(DeliveryError):
    """The server refused the sender or every recipient.

    ``rejections``, set after construction: the reply for each recipient, when each had one of its own.
    """

    code = "EENVELOPE"
    rejections: tuple[Refused, ...] = ()

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the fields, and the rejections, when an error crosses a process boundary."""
        return (_rebuild, (type(self), {**self.as_dict(), "rejections": self.rejections}))


class MessageError(DeliveryError):
    """The server refused the message after DATA."""

    code = "EMESSAGE"


class DeliveryUnknown(DeliveryError):
    """The connection was lost between the end of DATA and the reply: nobody knows whether it was accepted."""

    code = "EUNKNOWN"
    default_hint = "it is not sent again on its own; see on_unknown"
