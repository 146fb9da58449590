"""c2pa's native library in a process of its own: it reads files of anybody, and a crash ends only this process.

``python -m lipwise_ray.credentials.native_process`` reads a `SignRequest` or a `ReadRequest` (JSON) from standard input
and answers on standard output with one line of JSON: ``done`` or ``failed``. What the library prints goes to standard
error. It asks no server: neither for manifests that a file says are elsewhere, nor about certificates; only the
time-stamp authority that the settings name.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from lipwise_ray.credentials.claim import IngredientFile
from lipwise_ray.credentials.leaves import hashed_in_blocks
from lipwise_ray.credentials.signature import NotSignedError, signing

_OFFLINE = {"remote_manifest_fetch": False, "ocsp_fetch": False}
_HAVE_NONE = ("ManifestNotFound", "NotSupported")
_MOST_HELD_MB = 16  # more of a file than that is kept on the disk
_UNREADABLE = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignRequest:
    """A file to be signed.

    Attributes:
        file: The file, which stays as it is.
        kind: Its media type.
        target: File that gets the signed copy; empty where the credentials lie in a side-car.
        side_car: File that gets them; empty where they lie in the copy.
        manifest: Definition of the manifest, as c2pa's builder takes it, JSON.
        ingredients: What the file is made of.
        certificate: File of the signer's certificate and its chain.
        key: File of its key; empty where a command signs.
        command: Program and arguments that sign.
        algorithm: Of the signature.
        authority: Address of a time-stamp authority; empty for none.
    """

    file: str
    kind: str
    target: str
    side_car: str
    manifest: str
    ingredients: list[IngredientFile]
    certificate: str
    key: str
    command: tuple[str, ...]
    algorithm: str
    authority: str
    task: Literal["sign"] = "sign"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRequest:
    """A file whose credentials are to be read and checked.

    Attributes:
        file: The file.
        kind: Its media type.
        side_car: File with its credentials; empty where they lie in the file.
        trust: Certificates (PEM) that are trusted; empty for none.
    """

    file: str
    kind: str
    side_car: str
    trust: str
    task: Literal["read"] = "read"


@dataclass(frozen=True, slots=True)
class FoundCredentials:
    """Credentials that were read.

    Attributes:
        state: ``Invalid``, ``Valid`` or ``Trusted``, as c2pa says.
        store: The manifests and the results of checking them, as c2pa's reader gives them, JSON; None where
            there are none.
    """

    state: str = ""
    store: str | None = None


@dataclass(frozen=True, slots=True)
class NativeFailure:
    """Failure of the library.

    Attributes:
        why: In words.
        errno: The system's number where what was to be written was refused; 0 where nothing was.
        is_of_signer: The key, the command or the certificate failed, and no file.
    """

    why: str
    errno: int = 0
    is_of_signer: bool = False


@dataclass(frozen=True, slots=True)
class NativeAnswer:
    """Answer to a request: one of these."""

    done: FoundCredentials | None = None
    failed: NativeFailure | None = None


_REQUEST: TypeAdapter[SignRequest | ReadRequest] = TypeAdapter(SignRequest | ReadRequest)


class _RefusedError(Exception):
    """Refusal of what was to be written: that alone is a fault of the output's folder or its disk."""

    def __init__(self, why: OSError) -> None:
        super().__init__(str(why))
        self.why = why


@contextmanager
def _refusals() -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise _RefusedError(error) from error


class _Written:
    """A file that is written by the library, which tells nothing of what a disk answers."""

    def __init__(self, file: io.BufferedRandom) -> None:
        self._file = file
        self.problem: OSError | None = None
        self.read, self.readinto, self.seek, self.tell = file.read, file.readinto, file.seek, file.tell

    def write(self, data: bytes) -> int:
        with self._kept():
            return self._file.write(data)

    def flush(self) -> None:
        with self._kept():
            self._file.flush()

    @contextmanager
    def _kept(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            self.problem = self.problem or error
            raise


class _Discarded(io.RawIOBase):
    """A file that nobody wants: the library copies a file also where its credentials lie beside it."""

    _at = _end = 0

    def write(self, data: object) -> int:
        size = len(memoryview(data))  # type: ignore[arg-type]  # bytes
        self._at += size
        self._end = max(self._end, self._at)
        return size

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = (0, self._at, self._end)[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, _buffer: object) -> int:
        return 0


def _sign(request: SignRequest) -> NativeAnswer:
    import c2pa

    problems: list[str] = []
    try:
        chain = Path(request.certificate).read_bytes()
        sign = signing(chain, request.key, request.command, request.algorithm)
    except OSError as error:
        return NativeAnswer(failed=NativeFailure(f"{error.filename}: {_reason(error)}", is_of_signer=True))

    def answer(data: bytes) -> bytes:
        try:
            return sign(data)
        except (NotSignedError, OSError) as error:  # the library forgets what was raised
            problems.append(str(error))
            raise

    written: _Written | None = None
    blocks = hashed_in_blocks(Path(request.file), request.kind)
    settings = {
        "verify": {**_OFFLINE, "verify_after_sign": True},
        "builder": {"thumbnail": {"enabled": False}},
        "core": {"backing_store_memory_threshold_in_mb": _MOST_HELD_MB, **blocks},
    }
    try:
        with ExitStack() as stack:
            context = stack.enter_context(c2pa.Context.from_dict(settings))
            algorithm = c2pa.C2paSigningAlg[request.algorithm.upper()]
            authority = request.authority or None
            signer = stack.enter_context(c2pa.Signer.from_callback(answer, algorithm, _certificates(chain), authority))
            builder = stack.enter_context(c2pa.Builder(request.manifest, context=context))
            for one in request.ingredients:
                _add(builder, one)
            source = stack.enter_context(Path(request.file).open("rb"))
            if request.target:
                with _refusals():
                    target = stack.enter_context(Path(request.target).open("w+b"))
                written = _Written(target)
                builder.sign(signer, request.kind, source, written)
                with _refusals():
                    written.flush()
            else:
                builder.set_no_embed()
                made = builder.sign(signer, request.kind, source, _Discarded())
                with _refusals():
                    Path(request.side_car).write_bytes(made)
    except c2pa.C2paError as error:
        if written is not None and written.problem is not None:
            raise _RefusedError(written.problem) from error
        why = problems[-1] if problems else str(error)
        return NativeAnswer(failed=NativeFailure(why, is_of_signer=bool(problems)))
    return NativeAnswer(done=FoundCredentials())


def _certificates(data: bytes) -> str:
    """Return the certificates of a file in PEM form, without the text around them, which may be in any encoding."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    return b"".join(one.public_bytes(Encoding.PEM) for one in x509.load_pem_x509_certificates(data)).decode()


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _add(builder: object, one: IngredientFile) -> None:
    """Add an ingredient with its own credentials; where those cannot be read it is named without."""
    import c2pa

    assert isinstance(builder, c2pa.Builder)
    if one.path:
        try:
            with Path(one.path).open("rb") as file:
                builder.add_ingredient(one.about, one.kind, file)
        except (c2pa.C2paError, OSError) as error:
            sys.stderr.write(f"{one.about}: {error}\n")
        else:
            return
    builder.add_ingredient(one.about, _UNREADABLE, io.BytesIO())


def _read(request: ReadRequest) -> NativeAnswer:
    import c2pa

    settings: dict[str, object] = {"verify": {**_OFFLINE, "verify_trust": True}}
    if request.trust:
        settings["trust"] = {"user_anchors": _certificates(Path(request.trust).read_bytes())}
    beside = Path(request.side_car).read_bytes() if request.side_car else None
    try:
        with ExitStack() as stack:
            context = stack.enter_context(c2pa.Context.from_dict(settings))
            file = stack.enter_context(Path(request.file).open("rb"))
            reader = stack.enter_context(
                c2pa.Reader(request.kind, file, manifest_data=beside, context=context)
                if beside is not None
                else c2pa.Reader(request.kind, file, context=context)
            )
            return NativeAnswer(FoundCredentials(reader.get_validation_state() or "", reader.json()))
    except c2pa.C2paError as error:
        if beside is None and str(error).startswith(_HAVE_NONE):
            return NativeAnswer(FoundCredentials())
        return NativeAnswer(failed=NativeFailure(str(error)))


def _answer() -> None:
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = _REQUEST.validate_json(sys.stdin.buffer.read())
    try:
        found = _sign(request) if isinstance(request, SignRequest) else _read(request)
    except _RefusedError as error:
        found = NativeAnswer(failed=NativeFailure(_reason(error.why), error.why.errno or 0))
    except OSError as error:
        found = NativeAnswer(failed=NativeFailure(_reason(error)))
    answer.write(f"{json.dumps(asdict(found))}\n")
    answer.flush()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _answer()
