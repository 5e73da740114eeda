"""TLS for SMTP and HTTP alike: the client's context, and what a failed handshake means in words."""

from __future__ import annotations

import ssl

from runner.errors import ConfigurationError, TlsError

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

# X509_V_ERR_… of OpenSSL's x509_vfy.h
_NOT_YET_VALID = 9
_EXPIRED = 10
_SELF_SIGNED = 18
_SELF_SIGNED_IN_CHAIN = 19
_UNKNOWN_ISSUER = (2, 20, 21, 27)
_REVOKED = 23
_MISMATCH = (62, 63, 64)

_VERSION_REASONS = frozenset(
    {
        "UNSUPPORTED_PROTOCOL",
        "NO_PROTOCOLS_AVAILABLE",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "UNKNOWN_PROTOCOL",
        "WRONG_SSL_VERSION",
        "VERSION_TOO_LOW",
        "INAPPROPRIATE_FALLBACK",
    }
)
_NOT_TLS_REASONS = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}
)


def client_context(*, verify: bool = True, min_tls: str = "1.2", ca_pem: str | None = None) -> ssl.SSLContext:
    """Return a client context that verifies chain and host name (unless ``verify`` is False).

    ``min_tls`` is ``"1.2"`` or ``"1.3"``, else ValueError. With ``ca_pem`` only that authority is trusted,
    else the system's (``SSL_CERT_FILE`` works), else certifi's. Raises ConfigurationError when ``ca_pem``
    holds no certificate. Building one reads the authorities from disk, several milliseconds: keep it.
    """
    if min_tls not in _VERSIONS:
        raise ValueError(f'"{min_tls}" is not a TLS version like 1.2 or 1.3')
    # Not create_default_context: it honours SSLKEYLOGFILE, and so writes session keys to a file by
    # environment.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _VERSIONS[min_tls]
    context.hostname_checks_common_name = False
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if ca_pem is None:
        _trust_system(context)
        return context
    # A private authority is often an intermediate one, or the server's own certificate.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, ValueError) as exc:
        raise ConfigurationError(
            "the private CA is not a certificate in PEM form",
            hint='it begins with "-----BEGIN CERTIFICATE-----"',
        ) from exc
    return context


def describe_tls_error(exc: BaseException, host: str) -> TlsError:
    """Say what a failed handshake with ``host`` means; returns the error for the caller to raise.

    ``exc`` is an ``ssl.SSLError`` or what broke a handshake off (``OSError``, ``EOFError``); only that is
    transient.
    """
    if isinstance(exc, ssl.SSLCertVerificationError):
        return TlsError(_certificate_text(exc, host))
    if not isinstance(exc, ssl.SSLError) or isinstance(exc, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return TlsError(
            f"TLS version or settings not agreed: {host} broke the handshake off",
            hint="check port and encryption; does the server speak TLS there?",
            transient=True,
        )
    reason = exc.reason or ""
    if reason in _VERSION_REASONS:
        return TlsError(
            f"TLS version of {host} is too old, or newer than this machine allows",
            hint="the server must offer TLS 1.2 or newer, or what security.min_tls asks for",
        )
    if reason in _NOT_TLS_REASONS:
        return TlsError(
            f"TLS version not recognised: {host} does not answer in TLS on this port",
            hint="check port and encryption: 465 is TLS from the start, 587 is STARTTLS",
        )
    told = reason.replace("_", " ").lower() or "no reason given"
    return TlsError(f"TLS handshake with {host} failed: {told}")


def _certificate_text(exc: ssl.SSLCertVerificationError, host: str) -> str:
    code = exc.verify_code
    if code == _SELF_SIGNED:
        return f"Self-signed certificate: {host} vouches for itself"
    if code == _SELF_SIGNED_IN_CHAIN:
        return f"Self-signed certificate in the chain of {host}: its authority is not trusted here"
    if code in _UNKNOWN_ISSUER:
        return f"Self-signed certificate or unknown authority: nobody trusted here vouches for {host}"
    if code in _MISMATCH:
        return f"Hostname mismatch: the certificate is valid, but not for {host}"
    if code == _EXPIRED:
        return f"Certificate expired: {host} has to renew it"
    if code == _NOT_YET_VALID:
        return f"Certificate expired or not valid yet: check the clocks of {host} and of this machine"
    if code == _REVOKED:
        return f"Certificate revoked: {host} must not use it any more"
    return f"Certificate of {host} is not acceptable: {exc.verify_message}"


def _trust_system(context: ssl.SSLContext) -> None:
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath):
        # A slim container has no authorities of its own; certifi comes with the HTTP client.
        import certifi

        context.load_verify_locations(certifi.where())
