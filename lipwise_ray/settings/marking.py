"""Settings of what a delivered file tells of itself: signed content credentials (C2PA)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lipwise_ray.settings.execution import Section

SignatureAlgorithm = Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"]


class MarkingSettings(Section):
    """Content credentials (C2PA) of delivered files: who made them, when, of what, with which models, and signed."""

    c2pa: Literal["auto", "require", "off"] = "auto"
    """``auto`` signs where the extra `c2pa` is installed, and says in the result why where it does not; ``require``
    delivers nothing unsigned; ``off`` signs nothing. Files that are delivered already stay as they are, but ``require``
    makes those again that are not signed."""
    certificate: str | None = None
    """File of the signer's certificate and its chain (PEM, the signer's first), on every machine; nothing for a
    self-made one, which nobody else knows. Whoever names one gets no unsigned file from ``auto`` either."""
    key: str | None = None
    """File of the certificate's private key (PEM, without a passphrase), on every machine."""
    sign_command: tuple[str, ...] = ()
    """A program and its arguments in place of the key, for a key that a service keeps: it reads bytes from standard
    input and writes their signature to standard output, as DER or as it stands. No shell sees it."""
    algorithm: Literal["auto"] | SignatureAlgorithm = "auto"
    """Of the signature; ``auto`` goes by the certificate's key: ``es256`` to ``es512`` by its curve, ``ps256`` for RSA,
    ``ed25519``."""
    timestamp_authority: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = None
    """Address of a time-stamp authority (RFC 3161), which is asked once a file and is told a hash; nothing asks none.
    With its stamp a signature stays valid after its certificate has expired."""
    folder: str | None = None
    """Folder of the self-made certificate; else ``~/.config/lipwise-ray`` of each machine's user. A folder that all
    machines share gives them one."""

    @model_validator(mode="after")
    def _signer_is_whole(self) -> Self:
        keys = [name for name, told in (("key", self.key), ("sign_command", self.sign_command)) if told]
        if len(keys) > 1:
            raise ValueError("key and sign_command exclude each other")
        if bool(keys) != (self.certificate is not None):
            raise ValueError("a certificate needs its key or a sign_command, and they need the certificate")
        return self

    @property
    def is_needed(self) -> bool:
        """True where a file that cannot be signed is not to be delivered."""
        return self.c2pa == "require" or (self.c2pa == "auto" and self.certificate is not None)
