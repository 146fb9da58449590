from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from lipwise_ray.credentials.certificate import CERTIFICATE, KEY, check, check_dates, make, name_of
from lipwise_ray.credentials.signer import check_signing, signer_of
from lipwise_ray.errors import SettingsError
from lipwise_ray.settings.marking import MarkingSettings
from tests.support.signers import company


def _refused(chain: Path, key: Path | str, algorithm: str = "auto") -> SettingsError:
    with pytest.raises(SettingsError) as raised:
        _looked_at(chain, str(key), algorithm)
    return raised.value


def _looked_at(chain: Path, key: str, algorithm: str) -> None:
    check(chain, key, algorithm)
    check_dates(chain)


def test_the_self_made_certificate_is_made_once_and_is_the_users_alone(tmp_path: Path) -> None:
    """Its key is read by nobody else, a second call takes it as it is, and it passes as a signer's."""
    folder = tmp_path / "a" / "own"
    make(folder)
    first = (folder / KEY).read_bytes()
    make(folder)
    assert (folder / KEY).read_bytes() == first
    assert stat.S_IMODE((folder / KEY).stat().st_mode) == 0o600
    assert [path.name for path in folder.parent.iterdir()] == ["own"]
    assert check(folder / CERTIFICATE, str(folder / KEY), "auto") == "es256"
    assert "self-made" in name_of(folder / CERTIFICATE).name


def test_a_damaged_self_made_certificate_is_made_anew(tmp_path: Path) -> None:
    """Nobody has to remove it by hand."""
    make(tmp_path / "own")
    (tmp_path / "own" / CERTIFICATE).write_text("half of a")
    make(tmp_path / "own")
    assert check(tmp_path / "own" / CERTIFICATE, str(tmp_path / "own" / KEY), "auto") == "es256"


@pytest.mark.parametrize("damage", ["gone", "empty", "another's"])
def test_a_self_made_certificate_without_its_key_is_made_anew(tmp_path: Path, damage: str) -> None:
    """A key that is lost signs nothing more."""
    marking = MarkingSettings(folder=str(tmp_path))
    signer_of(marking)
    key = tmp_path / "content-credentials" / KEY
    key.unlink() if damage == "gone" else key.write_bytes(
        b"" if damage == "empty" else company(tmp_path / "other").key.read_bytes()
    )
    found = signer_of(marking)
    assert check(Path(found.certificate), found.key, "auto") == "es256"


def test_a_certificate_that_expires_or_is_renewed_during_a_run_is_noticed(tmp_path: Path) -> None:
    """A service runs for weeks: what was valid at its start need not be so now."""
    files = company(tmp_path)
    marking = MarkingSettings(certificate=str(files.chain), key=str(files.key))
    assert signer_of(marking).name.name == "Example Dubbing"
    company(tmp_path, days=(-9, -1))
    with pytest.raises(SettingsError, match="expired on"):
        signer_of(marking)
    company(tmp_path, name="Renewed")
    assert signer_of(marking).name.name == "Renewed"


def _make_and_check(folder: Path, together: Any, told: Any) -> None:
    together.wait()
    try:
        make(folder)
        told.put(check(folder / CERTIFICATE, str(folder / KEY), "auto"))
    except SettingsError as error:
        told.put(str(error))


def test_many_who_find_an_expired_certificate_make_one(tmp_path: Path) -> None:
    """Workers of a machine start at once; whoever comes second takes the first one's, certificate and key."""
    processes = multiprocessing.get_context("fork")
    for number in range(3):
        folder = tmp_path / str(number) / "own"
        old = company(folder, days=(-9, -1))
        old.chain.rename(folder / CERTIFICATE)
        together, told = processes.Barrier(8), processes.SimpleQueue()
        makers = [processes.Process(target=_make_and_check, args=(folder, together, told)) for _ in range(8)]
        for maker in makers:
            maker.start()
        assert [told.get() for _ in makers] == ["es256"] * len(makers)
        for maker in makers:
            maker.join()
        assert [path.name for path in folder.parent.iterdir()] == ["own"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file is in its way."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError) as raised:
        signer_of(MarkingSettings(folder=str(tmp_path / "file")))
    assert raised.value.code == "no_signer_folder"
    check_signing(MarkingSettings(folder=str(tmp_path / "file")))  # nothing has to be signed
    with pytest.raises(SettingsError):
        check_signing(MarkingSettings(c2pa="require", folder=str(tmp_path / "file")))


@pytest.mark.parametrize(
    ("make_key", "algorithm"),
    [
        (lambda: ec.generate_private_key(ec.SECP384R1()), "es384"),
        (lambda: rsa.generate_private_key(65537, 2048), "ps256"),
    ],
)
def test_the_algorithm_goes_by_the_key(tmp_path: Path, make_key, algorithm: str) -> None:
    """One that does not fit it is refused by name."""
    files = company(tmp_path, key=make_key())
    assert check(files.chain, str(files.key), "auto") == algorithm
    assert _refused(files.chain, files.key, "es512").code == "signing_algorithm"


def test_certificates_that_cannot_sign_are_refused_for_what_is_wrong(tmp_path: Path) -> None:
    """Expired, not valid yet, of an authority or nobody, too short, not for signing, another's key, locked, no file."""
    good, other = company(tmp_path / "good"), company(tmp_path / "other")
    old = company(tmp_path / "old", days=(-20, -3))
    new = company(tmp_path / "new", days=(3, 20))
    server = company(tmp_path / "server", usage=ExtendedKeyUsageOID.SERVER_AUTH)
    bare = company(tmp_path / "bare", usage=None)
    short = company(tmp_path / "short", key=rsa.generate_private_key(65537, 1024))
    own = company(tmp_path / "own", name="Example Root")
    locked = tmp_path / "locked.pem"
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    locked.write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(*form))
    assert "expired on" in str(_refused(old.chain, old.key))
    assert "valid only from" in str(_refused(new.chain, new.key))
    assert "signs certificates" in str(_refused(good.root, good.key))
    assert "signed by its own key" in str(_refused(own.chain, own.key))
    assert "at least 2048 bits" in str(_refused(short.chain, short.key))
    assert "not made for signing" in str(_refused(server.chain, server.key))
    assert "not made for signing" in str(_refused(bare.chain, bare.key))
    assert "is not the key of the certificate" in str(_refused(good.chain, other.key))
    assert "passphrase" in str(_refused(good.chain, locked))
    assert "no such file" in str(_refused(good.chain, tmp_path / "none.pem"))
    assert "no such file" in str(_refused(tmp_path / "none.pem", good.key))
    assert "no private key" in str(_refused(good.chain, good.root))
    assert "holds no certificate" in str(_refused(good.key, good.key))


@pytest.mark.parametrize(
    "told",
    [{"certificate": "a.pem"}, {"key": "a.pem"}, {"certificate": "a", "key": "b", "sign_command": ("c",)}],
)
def test_half_a_signer_is_no_setting(told: dict[str, object]) -> None:
    """A certificate needs exactly one of a key and a command."""
    with pytest.raises(ValueError, match=r"certificate|exclude"):
        MarkingSettings.model_validate(told)


@pytest.mark.parametrize(("mode", "warned"), [(0o644, "may read"), (0o606, "may read and replace"), (0o640, "")])
def test_a_key_that_everybody_may_read_is_told_of(tmp_path: Path, mode: int, warned: str) -> None:
    """It signs all the same: secrets are often mounted so. Once its mode is put right nothing is said."""
    files = company(tmp_path)
    marking = MarkingSettings(certificate=str(files.chain), key=str(files.key))
    files.key.chmod(mode)
    warning = signer_of(marking).warning
    assert (f"every user of this machine {warned} {files.key} (mode {mode:04o})" in warning) is bool(warned)
    files.key.chmod(0o600)
    assert signer_of(marking).warning == ""


def test_a_command_that_is_not_there_is_found_before_any_work(tmp_path: Path) -> None:
    """Nothing is rendered for a signature that cannot come; a program of the search path is found there."""
    chain = str(company(tmp_path).chain)
    assert signer_of(MarkingSettings(certificate=chain, sign_command=("cat",))).command == ("cat",)
    with pytest.raises(SettingsError, match=r"marking\.sign_command: .*kms-sign is not a program"):
        check_signing(
            MarkingSettings(c2pa="require", certificate=chain, sign_command=(str(tmp_path / "kms-sign"), "a"))
        )
