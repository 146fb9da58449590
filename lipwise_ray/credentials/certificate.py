"""Certificates that sign content credentials: checks of a given one, and the making of a local one.

Source: C2PA technical specification 2.2, "X.509 certificates" (a leaf of another certificate, version 3, with
digitalSignature and an extended key usage of signing); RFC 5280.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lipwise_ray.errors import SettingsError, os_reason

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PrivateKeyTypes

CERTIFICATE, KEY = "certificate.pem", "key.pem"
"""Files in the folder of the self-made certificate."""

_SELF_MADE, _SELF_MADE_ROOT = "self-made certificate of this machine", "self-made root, key thrown away"
_ORGANISATION = "lipwise-ray user"
_YEARS = 20  # files carry no time stamp by default: what they are signed with has to outlive them
_MOST_BYTES = 1 << 20
_LEAST_RSA_BITS = 2048
_BY_CURVE = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_USAGES = frozenset({
    "1.3.6.1.5.5.7.3.4",  # e-mail protection
    "1.3.6.1.5.5.7.3.36",  # document signing, RFC 9336
    "1.3.6.1.4.1.311.76.59.1.9",  # Microsoft's C2PA signing
    "1.3.6.1.4.1.62558.2.1",  # C2PA claim signing
})  # fmt: skip
_WHERE, _KEY_WHERE = "marking.certificate", "marking.key"


@dataclass(frozen=True, slots=True)
class SignerName:
    """Name of a signer, as a certificate names them.

    Attributes:
        name: The common name.
        issuer: The organisation; empty where it names none.
    """

    name: str
    issuer: str = ""


def check(chain: Path, key: str, algorithm: str) -> str:
    """Look at a certificate and its key, and return the algorithm of their signatures.

    Args:
        chain: File of the certificate and its chain.
        key: File of the key; empty where a command signs.
        algorithm: The one that is asked for, or ``auto``.

    Raises:
        SettingsError: One of them cannot be read, they do not fit, the certificate is one that signs other
            certificates, or is not made for signing.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    leaf = _chain(chain)[0]
    extensions = leaf.extensions
    try:
        is_authority = extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_authority = False
    if leaf.subject == leaf.issuer and not is_authority:
        raise SettingsError(
            "signing_certificate",
            _WHERE,
            got=f"{chain} is signed by its own key, which C2PA takes from nobody",
            do="Ask an authority for one, or leave the setting out: then this program makes one with a root above it",
        )
    if is_authority:
        raise SettingsError(
            "signing_certificate",
            _WHERE,
            got=f"{chain} is one that signs certificates",
            do="Name the signer's own first, then its chain",
        )
    try:
        usages = {one.dotted_string for one in extensions.get_extension_for_class(x509.ExtendedKeyUsage).value}
    except x509.ExtensionNotFound:
        usages = set[str]()
    if not usages & _USAGES:
        do = "Ask for one with emailProtection or documentSigning as its extended key usage"
        raise SettingsError("signing_certificate", _WHERE, got=f"{chain} is not made for signing documents", do=do)
    public = leaf.public_key()
    found = _algorithm_of(public, algorithm, chain)
    if key:
        private = _private_key(Path(key))
        form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        if private.public_key().public_bytes(*form) != public.public_bytes(*form):
            raise SettingsError(
                "signing_key",
                _KEY_WHERE,
                got=f"{key} is not the key of the certificate {chain}",
                do="Name the key that belongs to it",
            )
    return found


def check_dates(chain: Path) -> None:
    """Look whether a certificate is valid now.

    Args:
        chain: File of the certificate and its chain.

    Raises:
        SettingsError: It is not, or cannot be read.
    """
    leaf, now = _chain(chain)[0], dt.datetime.now(dt.UTC)
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        is_over = now > leaf.not_valid_after_utc
        since = leaf.not_valid_after_utc if is_over else leaf.not_valid_before_utc
        got = f"{chain} expired on {since:%Y-%m-%d}" if is_over else f"{chain} is valid only from {since:%Y-%m-%d}"
        raise SettingsError(
            "signing_certificate", _WHERE, got=got, do="Renew it" if is_over else "Check this machine's clock"
        )


def name_of(chain: Path) -> SignerName:
    """Return the name of the signer of a certificate.

    Raises:
        SettingsError: It cannot be read.
    """
    from cryptography.x509.oid import NameOID

    subject = _chain(chain)[0].subject

    def text(oid: x509.ObjectIdentifier) -> str:
        found = subject.get_attributes_for_oid(oid)
        return str(found[0].value) if found else ""

    issuer = text(NameOID.ORGANIZATION_NAME)
    return SignerName(text(NameOID.COMMON_NAME) or issuer or subject.rfc4514_string(), issuer)


def make(folder: Path) -> None:
    """Make the self-made certificate of a user and its key, where they are not there, whole and valid.

    Whoever comes second takes what the first has made. The key of the root is thrown away: nothing else gets signed
    by it.

    Args:
        folder: Their folder.

    Raises:
        SettingsError: It cannot be written.
    """
    try:
        if _is_usable(folder):
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.parent):
            if not _is_usable(folder):
                _make(folder)
    except OSError as error:
        raise SettingsError(
            "no_signer_folder",
            str(folder),
            got=f"a self-made certificate cannot be written there: {os_reason(error)}",
            do="Set marking.folder to a folder that can be written, or marking.c2pa to off",
        ) from error


def _make(folder: Path) -> None:
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))  # 0700
    try:
        _write_pair(made)
        if folder.is_dir():
            folder.rename(made / "replaced")  # expired or damaged; gone with the folder below
        try:
            (made / "pair").rename(folder)
        except OSError:
            if not _is_usable(folder):
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Keep others out of a folder; where its file system has no locks whoever comes second goes on all the same."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_usable(folder: Path) -> bool:
    """Tell whether a pair is whole, and valid for a while."""
    chain = folder / CERTIFICATE
    try:
        check(chain, str(folder / KEY), "auto")
        leaf = _chain(chain)[0]
    except SettingsError:
        return False
    return leaf.not_valid_after_utc > dt.datetime.now(dt.UTC) + dt.timedelta(days=1)


def _write_pair(folder: Path) -> None:
    """Write a new certificate with its chain, and its key, to the folder `pair` in another."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    begin = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)  # clocks of other machines may be behind
    end = begin + dt.timedelta(days=round(365.25 * _YEARS))

    def named(name: str) -> x509.Name:
        parts = ((NameOID.ORGANIZATION_NAME, _ORGANISATION), (NameOID.COMMON_NAME, name))
        return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts])

    def certified(name: str, public: ec.EllipticCurvePublicKey, *, is_root: bool) -> x509.Certificate:
        usage = x509.KeyUsage(
            digital_signature=not is_root,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=is_root,
            crl_sign=is_root,
            encipher_only=False,
            decipher_only=False,
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named(_SELF_MADE_ROOT))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=is_root, path_length=0 if is_root else None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        )
        if not is_root:
            for_mail = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(for_mail, critical=False)
        return builder.sign(root_key, hashes.SHA256())

    chain = [
        certified(_SELF_MADE, key.public_key(), is_root=False),
        certified(_SELF_MADE_ROOT, root_key.public_key(), is_root=True),
    ]
    pair = folder / "pair"
    pair.mkdir(0o700)
    (pair / CERTIFICATE).write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain))
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    with os.fdopen(os.open(pair / KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.private_bytes(*form))


def _chain(path: Path) -> list[x509.Certificate]:
    """Return the certificates of a file.

    Raises:
        SettingsError: There are none.
    """
    from cryptography import x509

    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES)
        return x509.load_pem_x509_certificates(data)
    except OSError as error:
        raise SettingsError(
            "signing_certificate",
            _WHERE,
            got=f"{path} cannot be read: {os_reason(error)}",
            do="Check the path and its permissions",
        ) from error
    except ValueError as error:
        raise SettingsError(
            "signing_certificate",
            _WHERE,
            got=f"{path} holds no certificate in PEM form",
            do="Write the certificate and its chain to it",
        ) from error


def _private_key(path: Path) -> PrivateKeyTypes:
    """Return the private key of a file.

    Raises:
        SettingsError: There is none, or it has a passphrase.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES)
        return serialization.load_pem_private_key(data, None)
    except OSError as error:
        got, do = f"{path} cannot be read: {os_reason(error)}", "Check the path and its permissions"
        raise SettingsError("signing_key", _KEY_WHERE, got=got, do=do) from error
    except TypeError as error:
        got = f"{path} has a passphrase, which nobody could type"
        do = "Name a key without one that only this user can read, or a sign_command"
        raise SettingsError("signing_key", _KEY_WHERE, got=got, do=do) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        got = f"{path} holds no private key in PEM form"
        raise SettingsError("signing_key", _KEY_WHERE, got=got, do="Name the file of the key") from error


def _algorithm_of(public: CertificatePublicKeyTypes, asked: str, chain: Path) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    possible: tuple[str, ...] = ()
    if isinstance(public, ec.EllipticCurvePublicKey):
        possible = (_BY_CURVE[public.curve.name],) if public.curve.name in _BY_CURVE else ()
    elif isinstance(public, rsa.RSAPublicKey) and public.key_size >= _LEAST_RSA_BITS:
        possible = ("ps256", "ps384", "ps512")
    elif isinstance(public, ed25519.Ed25519PublicKey):
        possible = ("ed25519",)
    if not possible:
        raise SettingsError(
            "signing_certificate",
            _WHERE,
            got=f"{chain} has a key that C2PA does not take",
            do=f"Use one on P-256, P-384 or P-521, of RSA with at least {_LEAST_RSA_BITS} bits, or Ed25519",
        )
    if asked not in ("auto", *possible):
        raise SettingsError(
            "signing_algorithm",
            "marking.algorithm",
            got=f"{asked} does not fit the certificate's key",
            must=f"it signs with {', '.join(possible)}",
            do="Set it to auto",
        )
    return possible[0] if asked == "auto" else asked
