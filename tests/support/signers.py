"""Certificates for tests, such as a company's: a root, and signers below it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AnyKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Company:
    """Files of a signer: its chain, its key, and the root alone."""

    chain: Path
    key: Path
    root: Path


def company(
    folder: Path,
    *,
    key: AnyKey | None = None,
    days: tuple[int, int] = (-1, 30),
    usage: x509.ObjectIdentifier | None = ExtendedKeyUsageOID.EMAIL_PROTECTION,
    name: str = "Example Dubbing",
) -> Company:
    """Write the certificates of a signer.

    Args:
        folder: Gets the files.
        key: The signer's; None for one on P-256.
        days: First and last day of the signer's certificate, from today on.
        usage: Its extended key usage; None for none.
        name: Its common name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    root_key, own = ec.generate_private_key(ec.SECP256R1()), key or ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)

    def certificate(subject: str, public: AnyKey, begin: int, end: int, *, is_root: bool) -> x509.Certificate:
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Example Root")]))
            .public_key(public.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + dt.timedelta(days=begin))
            .not_valid_after(now + dt.timedelta(days=end))
            .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=not is_root,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    key_cert_sign=is_root,
                    crl_sign=is_root,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public.public_key()), critical=False)
        )
        if usage is not None and not is_root:
            made = made.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return made.sign(root_key, hashes.SHA256())

    root = certificate("Example Root", root_key, -400, 400, is_root=True)
    leaf = certificate(name, own, *days, is_root=False)
    pem = serialization.Encoding.PEM
    files = Company(folder / "chain.pem", folder / "key.pem", folder / "root.pem")
    files.chain.write_bytes(leaf.public_bytes(pem) + root.public_bytes(pem))
    files.root.write_bytes(root.public_bytes(pem))
    files.key.write_bytes(own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return files
