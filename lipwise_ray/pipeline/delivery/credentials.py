"""Content credentials of a finished file: signed after its last byte is written, before it is published."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lipwise_ray.credentials.claim import SIDE_CAR, Claim, UsedMedia, UsedModel, is_beside
from lipwise_ray.credentials.native import sign_file
from lipwise_ray.credentials.signer import Signer, signer_of
from lipwise_ray.errors import InputError, OutputError, SettingsError, SignerError, StorageError
from lipwise_ray.media.container import write_problem
from lipwise_ray.pipeline.delivery.outputs import output_at
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.task_parts import JobPayload
from lipwise_ray.pipeline.inputs.made import made_key
from lipwise_ray.pipeline.manifest.background import background_file
from lipwise_ray.state import layout
from lipwise_ray.state.credentials_record import CredentialsRecord
from lipwise_ray.state.job_result import DubResult
from lipwise_ray.state.speech_record import SpokenBy
from lipwise_ray.state.store import Store
from lipwise_ray.storage.address import file_name, shown
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.storage.stream_choice import file_of
from lipwise_ray.version import __version__

_SPEECH = "speech of a text"
_MOST_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class SignedDelivery:
    """Outcome of signing a finished file.

    Attributes:
        record: For the result; None where nothing is to be signed.
        side_car: Bytes of the file that has to lie beside it, or None.
    """

    record: CredentialsRecord | None = None
    side_car: bytes | None = None


def side_car_of(address: str) -> str:
    """Return the address of the side-car of an output."""
    return f"{address}{SIDE_CAR}"


def check_side_car(job: JobSpec, scratch: Path) -> None:
    """Find out before any work whether the side-car of an output, if it has to have one, can be put there.

    Args:
        job: The row's job.
        scratch: Folder for temporary files.

    Raises:
        OutputError: It cannot.
        StorageError: The store refused.
    """
    if job.settings.marking.is_needed and job.window is None and is_beside(Path(job.output)):
        output_at(side_car_of(job.output_address), scratch).check()


def publish_side_car(job: JobContext, scratch: Path, job_id: str, signed: SignedDelivery) -> None:
    """Put the side-car of an output into its place, and keep a copy of it in the state.

    One that lies there of an earlier file goes where the new file has none, which would look changed beside it.

    Args:
        job: The job.
        scratch: Folder for temporary files.
        job_id: The job's id.
        signed: What signing came to.

    Raises:
        OutputError: Its place cannot be written.
        StorageError: The disk is full, or the store refused.
    """
    if signed.side_car is None:
        if is_beside(Path(job.spec.output)):
            output_at(side_car_of(job.spec.output_address), scratch).remove()
        return
    job.store.write(layout.side_car(job_id), signed.side_car)
    _put_side_car(job.spec.output_address, scratch, job_id, signed.side_car)


def side_car_problem(store: Store, result: DubResult, address: str, scratch: Path) -> str:
    """Put the side-car of a published output back where it is not, or is another; from the copy in the state.

    Args:
        store: The state.
        result: The published result.
        address: Address of the output.
        scratch: Folder for temporary files.

    Returns:
        Words for people where there is no such copy; else empty.

    Raises:
        OutputError: Its place cannot be written.
        StorageError: The store refused.
    """
    record = result.c2pa
    if record is None or record.side_car_sha256 is None:
        return ""
    beside = output_at(side_car_of(address), scratch)
    if beside.sha256(lambda: None) == record.side_car_sha256:
        return ""
    data = store.read(layout.side_car(result.job_id))
    if data is None or hashlib.sha256(data).hexdigest() != record.side_car_sha256:
        return f"{shown(side_car_of(address))}: is missing or another file, so the video is made again."
    _put_side_car(address, scratch, result.job_id, data)
    return ""


def _put_side_car(address: str, scratch: Path, job_id: str, data: bytes) -> None:
    with output_at(side_car_of(address), scratch).written(job_id) as temporary:
        try:
            temporary.write_bytes(data)
        except OSError as error:
            raise write_problem(temporary, error) from error


def sign_delivery(
    job: JobContext,
    scratch: Path,
    payload: JobPayload,
    file: Path,
    language: str | None,
    spoken_by: tuple[SpokenBy, ...] | None,
) -> SignedDelivery:
    """Sign a finished file in its place, or make its side-car.

    Args:
        job: The job.
        scratch: Folder for temporary files.
        payload: Facts about it.
        file: The file, written to its end and checked; it is replaced by its signed copy.
        language: Of its audio; None where nobody said.
        spoken_by: Engines and voices that spoke the row's texts; None where it had audio.

    Raises:
        SettingsError: It has to be signed, and cannot be: the extra, the certificate or the key is wrong.
        OutputError: It has to have a side-car, for which there is no place.
        StorageError: The disk is full, or refused.
        SignerError: It has to be signed, and was not.
    """
    marking = job.spec.settings.marking
    if marking.c2pa == "off" or job.spec.window is not None:  # a preview is not delivered
        return SignedDelivery()
    # By its name the next attempt finds it, as it finds the file, should this process be killed.
    into = file.with_name(f"{file.stem.removesuffix('.part')}.signed.part{file.suffix}")
    try:
        signer = signer_of(marking)
        if is_beside(file):
            output_at(side_car_of(job.spec.output_address), scratch).check()
        sign_file(file, _claim(job, payload, language, spoken_by), signer, into)
        if not is_beside(file):
            into.replace(file)
            return SignedDelivery(_record(signer))
        data = into.read_bytes()
        side_car = side_car_of(job.spec.output_address)
        return SignedDelivery(_record(signer, side_car, sha256_of(into)), data)
    except StorageError:
        raise
    except (SettingsError, OutputError, SignerError) as error:
        if marking.is_needed:
            raise
        return SignedDelivery(CredentialsRecord(signed=False, why=str(error)[:_MOST_CHARACTERS]))
    finally:
        into.unlink(missing_ok=True)


def _record(signer: Signer, side_car: str | None = None, sha256: str | None = None) -> CredentialsRecord:
    return CredentialsRecord(
        signed=True,
        signed_by=signer.name.name,
        self_made=signer.is_self_made or None,
        algorithm=signer.algorithm,
        side_car=side_car,
        side_car_sha256=sha256,
    )


def _claim(job: JobContext, payload: JobPayload, language: str | None, spoken_by: tuple[SpokenBy, ...] | None) -> Claim:
    return Claim(
        title=file_name(job.spec.output),
        version=__version__,
        made_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        job=payload.probed.job_id,
        row=job.spec.row_id,
        language=language,
        models=tuple(
            UsedModel(role, one.name, one.sha256, one.licence)
            for role in payload.row.weights.by_role
            for one in payload.row.weights.all(role)
        ),
        media=tuple(_media(job, payload)),
        spoken_by=tuple(" ".join(filter(None, (one.engine, one.voice))) for one in spoken_by or ()),
    )


def _media(job: JobContext, payload: JobPayload) -> Iterator[UsedMedia]:
    """Yield the media of which the file is made, each once: the source video, and files that are heard."""
    source, identity = job.video.info.path, payload.probed.identity
    yield UsedMedia(
        file_name(file_of(job.spec.video)),
        source if source.is_file() else None,
        payload.probed.video_id,
        is_source=True,
    )
    seen = {str(identity["video"])}
    for address, told in _sounds(job, payload):
        if told in seen:
            continue
        seen.add(told)
        try:
            path = job.media.local(address, told)
        except (InputError, StorageError):  # it is prepared already, and only its own credentials would be read
            path = None
        yield UsedMedia(_SPEECH if made_key(address) else file_name(file_of(address)), path, told, is_source=False)


def _sounds(job: JobContext, payload: JobPayload) -> Iterator[tuple[str, str]]:
    """Yield address and identity of each file that is heard in the output."""
    spec, identity = job.spec, payload.probed.identity
    if spec.audio is not None:
        yield spec.audio, str(identity["audio"])
    for speaker, told in zip(spec.speakers, identity.get("speakers", ()), strict=False):
        if speaker.audio:
            yield speaker.audio, str(told["audio"])
    for further, told in zip(spec.beside, identity.get("beside", ()), strict=False):
        yield further.audio, str(told[1])
    if file := background_file(spec.background):
        yield file, str(identity["background"]["audio"])
