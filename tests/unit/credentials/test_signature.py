from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from lipwise_ray.credentials.signature import NotSignedError, by_command, signing
from tests.support.signers import Company, company

DATA = b"what is to be signed"
_AS_DER = """
import sys
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
key = serialization.load_pem_private_key(open(sys.argv[1], "rb").read(), None)
sys.stdout.buffer.write(key.sign(sys.stdin.buffer.read(), ec.ECDSA(hashes.SHA256())))
"""


@pytest.fixture
def files(tmp_path: Path) -> Company:
    return company(tmp_path)


def test_a_command_may_answer_as_key_services_do(files: Company) -> None:
    """A signature as DER becomes the two numbers that COSE has."""
    command = (sys.executable, "-c", _AS_DER, str(files.key))
    assert len(signing(files.chain.read_bytes(), "", command, "es256")(DATA)) == 64


def test_a_signature_as_it_stands_is_taken(files: Company, tmp_path: Path) -> None:
    """A program may write both numbers side by side."""
    raw = signing(files.chain.read_bytes(), str(files.key), (), "es256")(DATA)
    (tmp_path / "raw").write_bytes(raw)
    assert signing(files.chain.read_bytes(), "", ("cat", str(tmp_path / "raw")), "es256")(DATA) == raw


def test_rsa_signs_too(tmp_path: Path) -> None:
    """With a salt as long as its hash, as the check asks for."""
    files = company(tmp_path, key=rsa.generate_private_key(65537, 2048))
    assert len(signing(files.chain.read_bytes(), str(files.key), (), "ps384")(DATA)) == 256


def test_the_signature_of_another_key_is_none(files: Company, tmp_path: Path) -> None:
    """What the certificate does not vouch for is found before a file says so."""
    other = company(tmp_path / "other")
    with pytest.raises(NotSignedError, match="not a valid es256 signature"):
        signing(files.chain.read_bytes(), str(other.key), (), "es256")(DATA)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("sh", "-c", "echo no such key >&2; exit 3"), "ended with status 3: no such key"),
        (("sh", "-c", "sleep 60 & sleep 60"), "did not end within"),
        (("true",), "wrote nothing"),
        (("/no/such/program",), "cannot be started: no such file"),
    ],
)
def test_a_command_that_gives_nothing_is_told_of(command: tuple[str, ...], why: str) -> None:
    """It fails, hangs with a child that keeps its outputs open, says nothing, or is not there."""
    with pytest.raises(NotSignedError, match=why):
        by_command(command, DATA, timeout_s=0.3)


def test_garbage_of_a_command_is_no_signature(files: Company) -> None:
    """Its length is told."""
    with pytest.raises(NotSignedError, match="5 bytes that are not a valid es256"):
        signing(files.chain.read_bytes(), "", ("echo", "oops"), "es256")(DATA)
