"""Record of the content credentials that a file was delivered with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from lipwise_ray.state.shapes import STRICT, Maybe, Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsRecord:
    """Content credentials of a delivered file.

    Attributes:
        signed: It is signed; else ``why`` says why it is not.
        why: Reason for which it was delivered unsigned.
        signed_by: Whoever signed it, by the certificate.
        self_made: This program made the certificate: it is on nobody's list of those that are trusted.
        algorithm: Of the signature.
        side_car: Address of the file that holds the credentials; absent where the video holds them.
        side_car_sha256: Hash of that file.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    signed: bool
    why: Maybe[Annotated[str, Field(max_length=1000)]] = None
    signed_by: Maybe[str] = None
    self_made: Maybe[bool] = None
    algorithm: Maybe[str] = None
    side_car: Maybe[str] = None
    side_car_sha256: Maybe[Sha256] = None
