"""Signing and reading of credentials by c2pa, in a process that may fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from lipwise_ray.credentials import native_process
from lipwise_ray.credentials.claim import Claim, ingredients_of, is_beside, manifest_of, media_type
from lipwise_ray.credentials.native_process import (
    FoundCredentials,
    NativeAnswer,
    NativeFailure,
    ReadRequest,
    SignRequest,
)
from lipwise_ray.credentials.signer import Signer
from lipwise_ray.errors import SignerError
from lipwise_ray.media.container import write_problem

_LEAST_S, _BYTES_A_SECOND = 180, 4 << 20
_MOST_ANSWER_BYTES = 64 << 20
_SHOWN = 300
_KIND = "Signature: "
"""Beginning of the library's errors of signing: texts that are kept are rid of what stands behind such a word."""
_AGAIN = "Check what signs; with marking.c2pa = off nothing is signed"
_ANSWER = TypeAdapter(NativeAnswer)
_REQUEST: TypeAdapter[SignRequest | ReadRequest] = TypeAdapter(SignRequest | ReadRequest)


def sign_file(file: Path, claim: Claim, signer: Signer, into: Path) -> None:
    """Sign a file that is written to its end.

    Args:
        file: The file, which stays as it is.
        claim: What it says of its making.
        signer: Who signs it.
        into: Gets the signed copy, or the side-car of a file whose container has no place for credentials.

    Raises:
        OutputError: `into` cannot be written.
        StorageError: The disk is full, or refused.
        SignerError: It was not signed: the key or the command failed, or the library did.
    """
    beside = is_beside(file)
    request = SignRequest(
        file=str(file),
        kind=media_type(file),
        target="" if beside else str(into),
        side_car=str(into) if beside else "",
        manifest=manifest_of(claim),
        ingredients=ingredients_of(claim),
        certificate=signer.certificate,
        key=signer.key,
        command=signer.command,
        algorithm=signer.algorithm,
        authority=signer.authority,
    )
    read = [file, *(one.path for one in claim.media if one.path is not None)]
    failed = _run(request, sum(one.stat().st_size for one in read if one.is_file()), into.parent).failed
    if failed is None:
        return
    into.unlink(missing_ok=True)
    if failed.errno:
        raise write_problem(into, OSError(failed.errno, failed.why))
    who = "the signer" if failed.is_of_signer else "c2pa"
    why = failed.why.removeprefix(_KIND)
    raise SignerError("not_signed", claim.title, got=f"it was not signed: {who}: {why}", do=_AGAIN)


def read_credentials(
    file: Path, side_car: Path | None, trust: Path | None, kind: str = ""
) -> FoundCredentials | NativeFailure:
    """Return the credentials of a file, or why they cannot be read.

    Args:
        file: The file.
        side_car: File with its credentials; None where they lie in the file.
        trust: Certificates (PEM) that are trusted, or None.
        kind: Its media type; empty where its name's ending tells.
    """
    request = ReadRequest(
        file=str(file),
        kind=kind or media_type(file),
        side_car="" if side_car is None else str(side_car),
        trust="" if trust is None else str(trust),
    )
    answer = _run(request, file.stat().st_size)
    return answer.failed or answer.done or NativeFailure("the library said nothing")


@dataclass(frozen=True, slots=True)
class _Ended:
    status: int
    answer: bytes
    errors: str


def _run(request: SignRequest | ReadRequest, bytes_read: int, scratch: Path | None = None) -> NativeAnswer:
    """Return the answer of the process; a crash, and one that stands still, are failures like others.

    Args:
        request: To it.
        bytes_read: It reads so much.
        scratch: Folder for what it keeps for a while; None for the system's.
    """
    limit_s = _LEAST_S + bytes_read // _BYTES_A_SECOND
    words = [sys.executable, "-P", "-m", native_process.__name__]
    environment = os.environ if scratch is None else {**os.environ, "TMPDIR": str(scratch)}
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as errors:
        given.write(_REQUEST.dump_json(request))
        given.seek(0)
        process = subprocess.Popen(  # noqa: S603  # a module of this package, in this interpreter
            words, stdin=given, stdout=told, stderr=errors, start_new_session=True, env=environment
        )
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return NativeAnswer(failed=NativeFailure(f"it did not end within {limit_s} s"))
        finally:
            with suppress(ProcessLookupError):  # with a command of the signer's
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        told.seek(0)
        errors.seek(0)
        ended = _Ended(status, told.read(_MOST_ANSWER_BYTES), errors.read().decode("utf-8", "replace"))
    if ended.status == 0:
        return _ANSWER.validate_json(ended.answer)
    lines = [line.strip() for line in ended.errors.splitlines() if line.strip()]
    how = f"signal {-status}" if status < 0 else f"status {status}"
    last = f": {lines[-1][:_SHOWN]}" if lines and status > 0 else ""
    return NativeAnswer(failed=NativeFailure(f"its process ended with {how}{last}"))
