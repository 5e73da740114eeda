"""Throw-away certificates for the servers of the tests: a good one, and one per way of being wrong.

Everything is made with ``cryptography`` on the spot; a certificate authority lives as long as its process.
"""

from __future__ import annotations

import datetime
import functools
import ipaddress
import os
import ssl
import tempfile
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)

PERSONAS = ("good", "expired", "not-yet-valid", "self-signed", "wrong-name", "unknown-ca", "common-name-only")


@dataclass(frozen=True)
class Certificate:
    """A server's key and chain in PEM, and the certificate that a client would have to trust."""

    key_pem: bytes
    chain_pem: bytes
    ca_pem: str

    def context(self) -> ssl.SSLContext:
        """A server context with this certificate; the temporary file is gone when this returns."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        handle, path = tempfile.mkstemp()
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(self.key_pem + self.chain_pem)
            context.load_cert_chain(path)
        finally:
            os.unlink(path)
        return context


@dataclass(frozen=True)
class _Authority:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _builder(subject: str, issuer: str, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


@functools.cache
def authority(name: str = "flowpost test CA") -> _Authority:
    """One authority a name and a process."""
    now = datetime.datetime.now(datetime.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(name, name, key.public_key())
        .not_valid_before(now - DAY)
        .not_valid_after(now + 365 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return _Authority(key, certificate)


@functools.cache
def certificate(persona: str = "good") -> Certificate:
    """The certificate of ``persona`` (see PERSONAS). ``ca_pem`` is always the test CA that clients trust."""
    if persona not in PERSONAS:
        raise ValueError(f"{persona} is not one of {', '.join(PERSONAS)}")
    trusted = authority()
    issuer = authority("some other CA") if persona == "unknown-ca" else trusted
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    first, last = now - DAY, now + 30 * DAY
    if persona == "expired":
        first, last = now - 30 * DAY, now - DAY
    if persona == "not-yet-valid":
        first, last = now + DAY, now + 30 * DAY
    alone = persona == "self-signed"
    builder = (
        _builder(
            "localhost",
            "localhost" if alone else issuer.certificate.subject.rdns[0].rfc4514_string()[3:],
            key.public_key(),
        )
        .not_valid_before(first)
        .not_valid_after(last)
    )
    if not alone:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
        )
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]
    if persona == "wrong-name":
        names = [x509.DNSName("mail.example.org")]
    if persona != "common-name-only":
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    leaf = builder.sign(key if alone else issuer.key, hashes.SHA256())
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Certificate(key_pem, _pem(leaf), _pem(trusted.certificate).decode("ascii"))
