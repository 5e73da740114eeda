"""A certificate for ``localhost`` that lives as long as the process.

It is made in memory, and signed by an authority whose key is thrown away at once.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Throwaway:
    """A server context, and in ``ca_pem`` the authority that a client must trust."""

    context: ssl.SSLContext
    ca_pem: str

    @classmethod
    def make(cls) -> Self:
        """A new one, valid for ``localhost``, 127.0.0.1 and ::1 for thirty days, TLS 1.2 or newer."""
        import datetime
        import ipaddress

        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
        end = start + datetime.timedelta(days=30)
        issuer = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, f"flowpost inbox {secrets.token_hex(4)}")]
        )
        ca_key = ec.generate_private_key(ec.SECP256R1())
        key = ec.generate_private_key(ec.SECP256R1())
        ca = (
            x509.CertificateBuilder(
                issuer, issuer, ca_key.public_key(), x509.random_serial_number(), start, end
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True
            )
            .sign(ca_key, hashes.SHA256())
        )
        names = [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.IPAddress(ipaddress.ip_address("::1")),
        ]
        leaf = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]))
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
            )
            .sign(ca_key, hashes.SHA256())
        )
        password = secrets.token_bytes(16).hex().encode("ascii")
        key_pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password),
        )
        encoding = serialization.Encoding.PEM
        context = _context(key_pem + leaf.public_bytes(encoding), password)
        return cls(context, ca.public_bytes(encoding).decode("ascii"))


def _context(pem: bytes, password: bytes) -> ssl.SSLContext:
    """A server context; ``ssl`` reads only files, so one (0600, its key encrypted) exists while it reads."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    handle, path = tempfile.mkstemp(prefix="flowpost-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
        context.load_cert_chain(path, password=password)
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(path).unlink()
    return context
