"""Verification of files: the credentials that they carry, and whether they were changed since."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from lipwise_ray.credentials.claim import FACTS_LABEL, SIDE_CAR, UsedModel, is_beside, media_type, type_of_contents
from lipwise_ray.credentials.native import read_credentials
from lipwise_ray.credentials.native_process import FoundCredentials, NativeFailure
from lipwise_ray.credentials.signer import is_installed
from lipwise_ray.errors import SettingsError, os_reason
from lipwise_ray.storage.address import is_local, shown

CredentialsVerdict = Literal["valid", "changed", "invalid", "unsigned", "unreadable"]
"""``valid``: it is the file that was signed. ``changed``: its bytes are others. ``invalid``: the credentials themselves
are wrong. ``unsigned``: it has none. ``unreadable``: it, or they, cannot be read."""

_UNTRUSTED = "signingCredential.untrusted"
_MISMATCHES = ("assertion.dataHash.mismatch", "assertion.bmffHash.mismatch", "assertion.boxesHash.mismatch")
_ACTIONS = ("c2pa.actions.v2", "c2pa.actions")
_MOST_CHARACTERS = 300
_ELSEWHERE = "it is an address, and only files of this machine are read: download it first"


@dataclass(frozen=True, slots=True)
class SignedAction:
    """Something that was done to a file, as its credentials say.

    Attributes:
        action: C2PA's name of it, such as ``c2pa.edited``.
        source_type: IPTC's digital source type, without its address; empty where none is said.
        by: The program that did it.
        at: Moment, ISO 8601.
        description: In words.
    """

    action: str
    source_type: str = ""
    by: str = ""
    at: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class SignedIngredient:
    """A file of which another was made, as its credentials say.

    Attributes:
        title: Its name.
        relationship: ``parentOf`` for the one that was edited, ``componentOf`` for one that was put in.
        made_by: The program that signed its own credentials; empty where it had none.
        signed_by: Whoever signed them.
        verdict: Whether it was still the file that they had signed when it was used.
    """

    title: str
    relationship: str
    made_by: str = ""
    signed_by: str = ""
    verdict: CredentialsVerdict = "unsigned"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCredentials:
    """Findings about a file's credentials.

    Attributes:
        file: The file.
        verdict: Whether it is still the one that was signed.
        problems: Reasons for a verdict that is not ``valid``.
        signed_by: Whoever signed it, by the certificate; None without credentials.
        organisation: Organisation of theirs.
        is_trusted: The certificate is one of those that were said to be trusted, or was issued by one.
        algorithm: Of the signature.
        signed_at: Moment that a time-stamp authority vouches for; None where none was asked.
        made_by: The program that made the file, with its version.
        title: Name of the file when it was signed.
        actions: What was done to it.
        ingredients: Of what it was made.
        models: Models that took part; of files of this program only.
        made_at: Moment of its making, by the clock of the machine; of files of this program only.
        row: Id of its row; of files of this program only.
        language: Of its new audio; of files of this program only.
        job: Its job; of files of this program only.
        side_car: File with the credentials; None where they lie in the file.
    """

    file: str
    verdict: CredentialsVerdict
    problems: tuple[str, ...] = ()
    signed_by: str | None = None
    organisation: str = ""
    is_trusted: bool = False
    algorithm: str = ""
    signed_at: str | None = None
    made_by: str = ""
    title: str = ""
    actions: tuple[SignedAction, ...] = ()
    ingredients: tuple[SignedIngredient, ...] = ()
    models: tuple[UsedModel, ...] = ()
    made_at: str | None = None
    row: str | None = None
    language: str | None = None
    job: str | None = None
    side_car: str | None = None

    def passes(self, *, needs_trust: bool) -> bool:
        """Tell whether the file is the one that was signed, where asked for by somebody who is trusted.

        Args:
            needs_trust: Certificates that are trusted were given.
        """
        return self.verdict == "valid" and (self.is_trusted or not needs_trust)


def verify(file: str | Path, *, trust: str | Path | None = None) -> FileCredentials:
    """Read the content credentials of a video, audio file or image, whoever made them, and check them.

    Credentials beside a file (``film.mkv.c2pa``, or ``film.c2pa``) are read where it has none in itself. No server is
    asked.

    Args:
        file: The file.
        trust: A file of certificates (PEM) that are trusted.

    Returns:
        The findings. A file that is wrong, not there or not readable raises nothing.

    Raises:
        SettingsError: The extra `c2pa` is not installed, or `trust` cannot be used.
    """
    path, trusted = Path(file), None if trust is None else Path(trust)
    address = "" if isinstance(file, Path) or is_local(file) else file
    if not is_installed():
        raise SettingsError(
            "no_c2pa", "verify", got="c2pa-python is not installed", do="`pip install 'lipwise-ray[c2pa]'`"
        )
    if trusted is not None:
        _check_trust(trusted)
    if problem := _ELSEWHERE if address else _unreadable(path):
        return FileCredentials(file=shown(address) if address else str(path), verdict="unreadable", problems=(problem,))
    beside = (path.with_name(path.name + SIDE_CAR), path.with_suffix(SIDE_CAR))
    side_car = next((one for one in beside if one != path and _is_file(one)), None)
    found = FoundCredentials() if is_beside(path) else read_credentials(path, None, trusted)
    if isinstance(found, FoundCredentials) and found.store is None and side_car is None:
        kind = type_of_contents(path)  # the name may be another's
        if kind not in ("", media_type(path)):
            again = read_credentials(path, None, trusted, kind)
            found = found if isinstance(again, NativeFailure) else again
    if isinstance(found, NativeFailure) or found.store is not None or side_car is None:
        return _verification(path, None, found)
    return _verification(path, side_car, read_credentials(path, side_car, trusted))


def _verification(path: Path, side_car: Path | None, found: FoundCredentials | NativeFailure) -> FileCredentials:
    beside = None if side_car is None else str(side_car)
    if isinstance(found, NativeFailure):
        return FileCredentials(file=str(path), verdict="unreadable", problems=(found.why,), side_car=beside)
    if found.store is None:
        return FileCredentials(file=str(path), verdict="unsigned", problems=("it has no content credentials",))
    store = _Node(json.loads(found.store))
    manifests = store.at("manifests")
    active = manifests.at(store.text("active_manifest"))
    results = store.at("validation_results").at("activeManifest")
    failures = [one for one in results.each("failure") if one.text("code") != _UNTRUSTED]
    # Those of what it was made of are told where they came up anew since it was signed.
    deltas = [one.at("validationDeltas") for one in store.at("validation_results").each("ingredientDeltas")]
    failures += [one for delta in deltas for one in delta.each("failure") if one.text("code") != _UNTRUSTED]
    codes = [one.text("code") for one in failures]
    is_bad = found.state not in ("Valid", "Trusted") or bool(codes)
    facts = next((one.at("data") for one in active.each("assertions") if one.text("label") == FACTS_LABEL), _Node({}))
    signature = active.at("signature_info")
    return FileCredentials(
        file=str(path),
        verdict=_verdict(codes, is_bad=is_bad),
        problems=tuple(dict.fromkeys(f"{one.text('explanation')} ({one.text('code')})" for one in failures)),
        signed_by=signature.text("common_name") or signature.text("issuer") or None,
        organisation=signature.text("issuer"),
        is_trusted=found.state == "Trusted",
        algorithm=signature.text("alg").lower(),
        signed_at=signature.text("time") or None,
        made_by=_generator(active),
        title=active.text("title"),
        actions=tuple(_actions(active)),
        ingredients=tuple(_ingredients(active, manifests)),
        models=tuple(
            UsedModel(one.text("role"), one.text("name"), one.text("sha256"), one.text("licence"))
            for one in facts.each("models")
            if one.text("name")
        ),
        made_at=facts.text("made_at") or None,
        row=facts.text("row") or None,
        language=facts.text("language") or None,
        job=facts.text("job") or None,
        side_car=beside,
    )


class _Node:
    """An object of somebody's JSON, of which nothing is certain.

    Args:
        value: The object, or whatever is in its place.
    """

    def __init__(self, value: object) -> None:
        self._value = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}

    def at(self, key: str) -> _Node:
        """Return the object under a key; an empty one where there is none."""
        return _Node(self._value.get(key))

    def text(self, key: str) -> str:
        """Return the text under a key; empty where there is none."""
        found = self._value.get(key)
        return found[:_MOST_CHARACTERS] if isinstance(found, str) else ""

    def each(self, key: str) -> Iterator[_Node]:
        """Yield the objects of the list under a key."""
        found: object = self._value.get(key)
        if isinstance(found, list):
            yield from map(_Node, cast("list[object]", found))


def _generator(manifest: _Node) -> str:
    told = next(manifest.each("claim_generator_info"), None)
    if told is None or not told.text("name"):
        return manifest.text("claim_generator")
    return f"{told.text('name')} {told.text('version')}".strip()


def _actions(manifest: _Node) -> Iterator[SignedAction]:
    for assertion in manifest.each("assertions"):
        if not assertion.text("label").startswith(_ACTIONS):
            continue
        for one in assertion.at("data").each("actions"):
            agent = one.at("softwareAgent")
            by = f"{agent.text('name')} {agent.text('version')}".strip() or one.text("softwareAgent")
            source_type = one.text("digitalSourceType").rpartition("/")[2]
            yield SignedAction(one.text("action"), source_type, by, one.text("when"), one.text("description"))


def _ingredients(manifest: _Node, manifests: _Node) -> Iterator[SignedIngredient]:
    for one in manifest.each("ingredients"):
        own = manifests.at(one.text("active_manifest"))
        signature = own.at("signature_info")
        signed_by = signature.text("common_name") or signature.text("issuer")
        results = (one.at("validation_results").at("activeManifest").each("failure"), one.each("validation_status"))
        codes = [failure.text("code") for failures in results for failure in failures]
        codes = [code for code in codes if code != _UNTRUSTED]
        verdict = _verdict(codes, is_bad=bool(codes)) if signed_by else "unsigned"
        yield SignedIngredient(one.text("title"), one.text("relationship"), _generator(own), signed_by, verdict)


def _verdict(codes: Collection[str], *, is_bad: bool) -> CredentialsVerdict:
    """Return the verdict of failures by their codes, without those of trust."""
    if not is_bad:
        return "valid"
    return "changed" if any(code in _MISMATCHES for code in codes) else "invalid"


def _unreadable(path: Path) -> str:
    """Return the reason why a file cannot be read; empty where it can."""
    try:
        if path.is_dir():
            return "it is a folder"
        if path.exists() and not path.is_file():  # whoever opened a named pipe would wait for somebody to write to it
            return "it is not a file"
        with path.open("rb") as file:
            return "" if file.read(1) else "it is empty"
    except OSError as error:
        return f"it cannot be read: {os_reason(error)}"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no file can have so long a name
        return False


def _check_trust(trust: Path) -> None:
    from cryptography import x509

    try:
        x509.load_pem_x509_certificates(trust.read_bytes())
    except OSError as error:
        raise SettingsError(
            "bad_trust", str(trust), got=f"cannot be read: {os_reason(error)}", do="Check the path"
        ) from error
    except ValueError as error:
        got = "holds no certificate in PEM form"
        raise SettingsError("bad_trust", str(trust), got=got, do="Name a file of certificates") from error
