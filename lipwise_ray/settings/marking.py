"""Settings of what tells people, and their programs, that an output was dubbed."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lipwise_ray.settings.execution import Section

LabelCorner = Literal["top-left", "top-right", "bottom-left", "bottom-right"]
SignatureAlgorithm = Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"]


class MarkingSettings(Section):
    """Marks on delivered files: a visible sign, and content credentials (C2PA): signed, who made a file and of what."""

    label: Literal["off", "start", "always"] = "off"
    """A sign in a corner of the frames that says what they are: at the ``start``, all along (``always``), or none. Its
    letters are a twentieth as high as the frame's shorter side, white on a dark plate."""
    label_text: Annotated[str, Field(min_length=1, max_length=40)] = "AI"
    """Text of the sign, on one line; a long one is made smaller, so that it fits into the frame."""
    label_corner: LabelCorner = "top-left"
    """Its corner, for who watches."""
    label_s: Annotated[float, Field(gt=0, le=86_400)] = 5.0
    """Seconds from the output's first frame on in which ``start`` shows it."""
    label_font: str | None = None
    """A file of a font (TrueType or OpenType) that every worker reads at this path. The one that is there without has
    letters without accents, digits and signs alone."""
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
    """Folder of the self-made certificate; else that of the user's settings, ``~/.config/lipwise-ray`` on Linux. All
    machines have one where they share it."""

    @model_validator(mode="after")
    def _label_can_be_drawn(self) -> Self:
        text = self.label_text
        if not text.isprintable() or not text.strip():
            raise ValueError("marking.label_text must be one line that shows something")
        if self.label_font is None and not text.isascii():
            odd = next(letter for letter in text if not letter.isascii())
            raise ValueError(f"marking.label_text has {odd!r}: name a font that has it in marking.label_font")
        return self

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
