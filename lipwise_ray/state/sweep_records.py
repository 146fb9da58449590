"""Tables of a comparison of lip models: a line of `rows.csv`, and one of `summary.csv`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

from lipwise_ray.state.shapes import STRICT, Count, Figure, NonNegative

ColumnKind = Literal["model", "files"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """A row of the manifest in one column; what is not known is empty.

    Attributes:
        row_id: The row's id in the manifest.
        column: Label of the model, or of the folder of files.
        kind: ``model`` for videos that were dubbed here, ``files`` for other tools' videos.
        status: ``done``, ``failed`` or ``absent``.
        message: Why it is not done, or why figures are missing.
        video: The video.
        language: The row's.
        tags: The row's, joined by commas.
        judge: The network that scored the lips.
        lse_d: Distance of lips and audio by SyncNet, smaller is better.
        lse_c: Its certainty, larger is better.
        sync_distance, sync_confidence: The same of another network, whose figures are no LSE.
        off_sync: By how many frames of 1/25 s the lips are early or late.
        psnr, face_psnr: Of the luma of whole frames and of faces beside the original, in dB.
        ssim, face_ssim: The same, up to 1.
        identity_distance: Mean cosine distance of the faces from the original person.
        mouth_distance: Mean distance of the lips' edges from the original ones, in hundredths of that of the eyes.
        sharpness: Edges of the mouths over those of the original ones, 1 for as sharp.
        flicker: Mean flicker of the faces, in levels of 255.
        faces: Faces that were compared with the original.
        seconds_a_frame: Busy seconds of a worker's stages (decoding, drawing, encoding) for a frame; they may overlap,
            and models are loaded before. Empty for files.
        lag_s: By so much the video was found to come later than the original.
        compared_s: Length of the part that was compared.
        video_s: Length of the video.
        fitted: The sizes that it was brought from and to.
        terms: Licences of the networks that drew it.
        commercial: Whether all of them allow commercial use: ``yes``, ``no`` or ``unclear``; empty for files.
        job_id: Names its measurement in the state.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    row_id: str
    column: str
    kind: ColumnKind
    status: str
    message: str | None = None
    video: str | None = None
    language: str | None = None
    tags: str = ""
    judge: str | None = None
    lse_d: Figure | None = None
    lse_c: Figure | None = None
    sync_distance: Figure | None = None
    sync_confidence: Figure | None = None
    off_sync: Figure | None = None
    psnr: Figure | None = None
    face_psnr: Figure | None = None
    ssim: Figure | None = None
    face_ssim: Figure | None = None
    identity_distance: Figure | None = None
    mouth_distance: Figure | None = None
    sharpness: Figure | None = None
    flicker: Figure | None = None
    faces: Count | None = None
    seconds_a_frame: NonNegative | None = None
    lag_s: Figure | None = None
    compared_s: NonNegative | None = None
    video_s: NonNegative | None = None
    fitted: str | None = None
    terms: str | None = None
    commercial: str | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepFigure:
    """A figure of one column over a group of rows, beside that of the first column.

    Attributes:
        group: ``all``, a language as ``language:de``, or one of the 20 most frequent tags as ``tag:news``.
        column: Label of the column.
        figure: A figure of `SweepRow`; or ``fid`` or ``kid``, the Fréchet and the kernel inception distance over all
            faces of the group.
        better: ``lower``, ``higher``, or ``near 1``.
        rows: Rows that have it.
        mean, median: Over these rows; of ``fid`` and ``kid`` the mean is the figure itself, and there is no median.
        pairs: Rows that have it in the first column too.
        difference: Mean of the column's figure less the first column's, over these rows.
        low, high: Bounds of 95 % of such means when these rows are drawn again and again (paired bootstrap, 10,000
            draws, percentiles); empty for fewer than two rows, and for ``fid`` and ``kid``.
        faces: Of ``fid`` and ``kid``, the faces on either side.
        note: What to be careful about, such as too few faces.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    group: str
    column: str
    figure: str
    better: str
    rows: Count
    mean: Figure | None = None
    median: Figure | None = None
    pairs: Count = 0
    difference: Figure | None = None
    low: Figure | None = None
    high: Figure | None = None
    faces: Count | None = None
    note: str | None = None

    @property
    def is_clear(self) -> bool:
        """Tell whether the interval leaves out no difference."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)
