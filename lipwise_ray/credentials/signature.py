"""The signature of bytes by a key or by a user's command, in the form that COSE has it.

Source: RFC 9053 (ECDSA signatures are both numbers side by side, RSASSA-PSS has a salt as long as its hash).
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding

COMMAND_S = 60.0
"""Longest time that a command may take to sign."""

_MOST_BYTES = 64 << 10
_SHOWN = 200


class NotSignedError(Exception):
    """No signature came, or one that the certificate does not vouch for; the message says why."""


def signing(chain: bytes, key: str, command: Sequence[str], algorithm: str) -> Callable[[bytes], bytes]:
    """Return a function that signs bytes.

    Args:
        chain: The certificate and its chain, PEM.
        key: File of the key; empty where a command signs.
        command: Program and arguments.
        algorithm: ``es256`` and the like.

    Raises:
        OSError: The key cannot be read.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    public = x509.load_pem_x509_certificates(chain)[0].public_key()
    private = serialization.load_pem_private_key(Path(key).read_bytes(), None) if key else None

    def sign(data: bytes) -> bytes:
        return fitting(_by_key(private, data, algorithm) if private else by_command(command, data), data, public)

    def fitting(signature: bytes, data: bytes, public: object) -> bytes:
        return _checked(signature, data, public, algorithm)

    return sign


def by_command(command: Sequence[str], data: bytes, timeout_s: float = COMMAND_S) -> bytes:
    """Return the signature that a user's command writes for bytes.

    Args:
        command: Program and arguments.
        data: The bytes.
        timeout_s: Time that it may take.

    Raises:
        NotSignedError: It does not start, fails, takes too long, or writes nothing or far too much.
    """
    name = command[0]
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        given.write(data)
        given.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603  # the user's own command, and no shell
                list(command), stdin=given, stdout=output, stderr=errors, start_new_session=True
            )
        except OSError as error:
            raise NotSignedError(f"{name} cannot be started: {(error.strerror or '').lower()}") from error
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise NotSignedError(f"{name} did not end within {timeout_s:g} s") from error
        finally:
            with suppress(ProcessLookupError):  # whatever it has started goes with it
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if status:
            errors.seek(0)
            lines = errors.read(_MOST_BYTES).decode("utf-8", "replace").split("\n")
            last = next((line.strip()[:_SHOWN] for line in reversed(lines) if line.strip()), "")
            raise NotSignedError(f"{name} ended with status {status}" + (f": {last}" if last else ""))
        output.seek(0)
        signature = output.read(_MOST_BYTES)
    if not signature:
        raise NotSignedError(f"{name} wrote nothing")
    return signature


def _by_key(private: object, data: bytes, algorithm: str) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign(data, ec.ECDSA(_hash(algorithm)))
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(data, _pss(algorithm), _hash(algorithm))
    assert isinstance(private, ed25519.Ed25519PrivateKey)  # others were refused with the certificate
    return private.sign(data)


def _checked(signature: bytes, data: bytes, public: object, algorithm: str) -> bytes:
    """Return a signature as COSE has it, of which the certificate's key says that it is one.

    Raises:
        NotSignedError: It is none.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    try:
        if isinstance(public, ec.EllipticCurvePublicKey):
            return _checked_curve(signature, data, public, algorithm)
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, data, _pss(algorithm), _hash(algorithm))
        else:
            assert isinstance(public, ed25519.Ed25519PublicKey)
            public.verify(signature, data)
    except (InvalidSignature, ValueError) as error:
        got = f"{len(signature)} bytes that are not a valid {algorithm} signature by the certificate's key"
        raise NotSignedError(f"what signs gave {got}") from error
    return signature


def _checked_curve(signature: bytes, data: bytes, public: ec.EllipticCurvePublicKey, algorithm: str) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    half = (public.curve.key_size + 7) // 8
    if len(signature) == 2 * half:  # both numbers side by side; as DER it has at least six bytes more, or is shorter
        numbers = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
    else:
        numbers = utils.decode_dss_signature(signature)
    public.verify(utils.encode_dss_signature(*numbers), data, ec.ECDSA(_hash(algorithm)))
    return b"".join(number.to_bytes(half) for number in numbers)


def _hash(algorithm: str) -> hashes.HashAlgorithm:
    from cryptography.hazmat.primitives import hashes

    return {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}[algorithm[-3:]]()


def _pss(algorithm: str) -> padding.PSS:
    from cryptography.hazmat.primitives.asymmetric import padding

    return padding.PSS(padding.MGF1(_hash(algorithm)), padding.PSS.DIGEST_LENGTH)
