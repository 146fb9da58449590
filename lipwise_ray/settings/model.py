"""Run settings: TOML sections, strict. Defaults are the `quality` preset.

The sections `engine`, `paths` and `limits` are in `execution`, `composite` and `restore` in `picture`, `mix` and
`encode.audio` in `sound`, `compare`, `lipsync` and `service` in modules of their names.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from lipwise_ray.settings.compare import CompareSettings
from lipwise_ray.settings.execution import EngineSettings, LimitsSettings, PathsSettings, Section
from lipwise_ray.settings.lipsync import LipsyncSettings
from lipwise_ray.settings.marking import MarkingSettings
from lipwise_ray.settings.picture import MIN_RESTORED_PX, CompositeSettings, RestoreSettings, Share
from lipwise_ray.settings.service import ServiceSettings
from lipwise_ray.settings.sound import AudioEncodeSettings, MixSettings
from lipwise_ray.settings.unions import NUMBER, UNION_TAG, Auto, text_or_number

_MOST_FRAMES_A_SECOND = 240
_DECIDE_NOTHING = [
    *("engine", "paths", "limits", "manifest", "service"),
    *("score", "compare", "gate", "asr", "diarise", "tts", "mix", "marking"),
]
"""Sections that are no part of a job's id by themselves: texts count by their speech, the mix where there is a
background, a sign where frames show it; whoever signs a file changes no packet of it."""

Pads = tuple[int, int, int, int]
Kept = Annotated[int, Field(ge=0)]
Edge = Annotated[int, Field(ge=-1)]
PadShare = Annotated[float, Field(ge=-0.5, le=2.0)]
Keep = Literal["subtitles", "chapters", "metadata", "other_audio", "attachments", "timecode", "cover_art"]
KEEPS: tuple[Keep, ...] = get_args(Keep)

Codec = Literal[
    "auto", "libx264", "libx265", "libsvtav1", "libvpx-vp9", "h264_nvenc", "hevc_nvenc", "prores_ks", "ffv1"
]


def _one_or_several(value: object) -> str:
    return f"{UNION_TAG}several" if isinstance(value, list | tuple) else f"{UNION_TAG}one"


Codecs = Annotated[
    Annotated[Codec, Tag(f"{UNION_TAG}one")]
    | Annotated[tuple[Codec, ...], Field(min_length=1), Tag(f"{UNION_TAG}several")],
    Discriminator(_one_or_several),
]


ChunkLength = Annotated[Annotated[float, Field(gt=0, le=3600), Tag(NUMBER)] | Auto, Discriminator(text_or_number)]


class DetectSettings(Section):
    """Face detection."""

    detector: Literal["auto", "yunet", "s3fd", "tiny"] = "auto"
    """``auto`` takes s3fd on a GPU where its weights are installed, else yunet; ``tiny`` is the bundled
    one, for drawn faces."""
    size_px: Annotated[int, Field(ge=0, le=8192)] = 640
    """Longer side of the image that is searched; 0 searches the full frame."""
    stride: Annotated[int, Field(ge=1, le=50)] = 3
    """Every how many frames are searched; between them boxes are interpolated."""
    min_score: Share = 0.7
    """Smallest score at which a detection counts as a face, at the first look or from near."""
    min_size_px: Annotated[float, Field(ge=0)] = 16.0
    """Smallest face, in pixels of the searched image."""
    batch_frames: Annotated[int, Field(ge=1, le=256)] = 8
    """Images a network call."""
    cut_threshold: Annotated[float, Field(gt=0, le=255)] = 27.0
    """Content change between frames that counts as a cut."""
    checkpoint: str | None = None
    """A file instead of the registry's: of yunet, or with ``detector = "tiny"`` of that network."""


class FacesSettings(Section):
    """Selection of the face that is dubbed."""

    select: str = "largest"
    """``largest``, ``all``, ``left``, ``right``, ``center``, ``index:N``, ``speaking``, ``like:IMAGE``,
    ``at:FRAME,X,Y`` or ``box:top,bottom,left,right``."""
    active_speaker: str = "auto"
    """Tells whose lips move as in speech, for ``speaking``: a name of the registry, ``none``, or ``auto`` for
    lr_asd_talkset where that is installed."""
    active_speaker_checkpoint: str | None = None
    """A file instead of the registry's."""
    expert: str = "lipsync_expert"
    """Tells who speaks, for ``speaking``, where several people's lips move or there is no active_speaker: a name of the
    registry."""
    expert_checkpoint: str | None = None
    """A file instead of the registry's."""
    embedder: str = "auto"
    """Tells people apart: a name of the registry, ``none``, or ``auto`` for sface where that is installed.
    ``like:IMAGE`` cannot do without."""
    embedder_checkpoint: str | None = None
    """A file instead of the registry's: of sface, or as .pth of mobilefacenet."""
    landmarks: str = "auto"
    """Sees where jaws end, for ``composite.mask = "face"``: face_landmarker, fan_2d (with the extra ``s3fd``, for
    GPUs), ``none``, or ``auto`` for face_landmarker where that and the extra ``landmarks`` are installed. Without, the
    mask is a typical face's."""
    landmarks_checkpoint: str | None = None
    """A file instead of the registry's: of face_landmarker, as .onnx of that (1 x 256 x 256 x 3 or 1 x 3 x 256 x 256 to
    478 x 3), or as .pth or .tar of fan_2d."""
    follow: Literal["auto", "shot", "video"] = "auto"
    """Reach of ``largest``, ``left`` and the like: they name somebody of each shot, or of the whole video, who is
    followed over cuts. That takes an embedder: ``auto`` follows where there is one, and so does ``video``, whose result
    says so where there is none."""
    min_likeness: Annotated[float, Field(ge=-1, le=1)] = 0.363
    """Smallest cosine between a person's faces and the portrait's; the default is the one published for sface."""
    min_confidence: Share = 0.6
    """Least confidence that something is a face, in the mean over the frames in which it is followed without a break;
    others are left alone and counted. What is large and comes and goes within 25 frames of
    a shot needs a third more."""
    on_no_face: Literal["pass", "skip", "fail"] = "pass"
    """Frames without the chosen face: ``pass`` leaves them as they are, ``skip`` leaves them out, ``fail`` fails the
    row."""
    min_face_share: Share = 0.01
    """Share of the frames that must show the chosen face; with fewer the row fails."""
    pads: Pads = (0, 0, 0, 0)
    """Pixels added to the box at top, bottom, left, right. A row's `pads` set `pads_share` to zeros too."""
    pads_share: tuple[PadShare, PadShare, PadShare, PadShare] = (0.0, 0.08, 0.0, 0.0)
    """The same as shares of the face's height and width; both are added. Below, so much is left for an open jaw."""
    align: bool = False
    """Turn the network's crop with the head, for people who lie or lean far; upright heads gain nothing by it."""
    min_face_px: Annotated[float, Field(ge=0)] = 24.0
    """Faces whose shorter side is smaller, in pixels of the shown frame, stay as they are; with 8 % of hysteresis."""
    max_yaw_deg: Annotated[float, Field(ge=0, le=90)] = 70.0
    """Faces turned further to a side stay as they are, with 4 degrees of hysteresis either way; 90 dubs them all."""
    smooth_s: Annotated[float, Field(ge=0, le=5)] = 0.2
    """Boxes and landmarks are as calm as means over this time; 0 leaves them as they are."""
    smoothing: Literal["centred", "reference"] = "centred"
    """``centred`` smooths around each frame; ``reference`` smooths as the original does, whatever `smooth_s` is."""
    max_gap_s: Annotated[float, Field(ge=0, le=60)] = 0.5
    """A face unseen for longer starts a new track; over shorter gaps its box is interpolated."""


class SourceSettings(Section):
    """Preparation of the source frames."""

    on_error: Literal["fail", "salvage"] = "fail"
    """Damaged inputs: ``fail`` fails their rows, ``salvage`` dubs what decodes."""
    crop: tuple[Kept, Edge, Kept, Edge] | None = None
    """Part of the shown frame that is kept: top, bottom, left, right; bottom or right -1 for the edge."""
    rotate: Literal[0, 90, 180, 270] = 0
    """Further degrees clockwise by which the result is shown."""
    resize_factor: Annotated[int, Field(ge=1, le=16)] = 1
    """Divides the width and height of the frames."""
    deinterlace: Literal["none", "bwdif"] = "none"
    """Make whole frames of interlaced ones, each at its own time; ``none`` keeps both fields and says so."""
    static: bool = False
    """Show the first used frame all the time."""
    still_rate: Annotated[str, Field(pattern=r"^0*[1-9]\d{0,6}(/0*[1-9]\d{0,5}|\.\d{1,6})?$")] = "25"
    """Frames a second of a video made from a still image, at most 240."""

    @field_validator("still_rate")
    @classmethod
    def _sane_rate(cls, value: str) -> str:
        if Fraction(value) > _MOST_FRAMES_A_SECOND:
            raise ValueError(f"it must be at most {_MOST_FRAMES_A_SECOND}")
        return value

    @property
    def salvage(self) -> bool:
        """True where whatever decodes of damaged inputs is dubbed."""
        return self.on_error == "salvage"


class TimingSettings(Section):
    """Length of the output."""

    length: Literal["audio", "video", "shortest", "longest", "fit"] = "audio"
    """The output lasts as long as the audio, the video, or the shorter or longer of them; with ``fit`` they are made
    equally long, and what each of a row's speakers says is made as long as the time from its start to its end."""
    fit: Literal["audio", "video", "both"] = "audio"
    """Made longer or shorter by ``fit``: the audio, at its own pitch; the video, by frames that are shown twice or left
    out, at cuts and in pauses first; or both by the same factor. Where speakers' audio and cues have times, the video
    is stretched in these, and what follows comes later or earlier; turns of a diarisation file stretch the audio."""
    max_stretch: Annotated[float, Field(ge=1, le=2)] = 1.25
    """Largest factor by which ``fit`` makes something longer or shorter; rows that need more fail. A change of tempo is
    heard from about 5 % on (Quené 2007), and speech is understood up to about 1.5 (Foulke and Sticht 1969)."""
    extend: Literal["pingpong", "loop", "hold"] = "pingpong"
    """A video that is too short runs back and forth (``pingpong``), starts again, or holds its last frame."""


class ScoreSettings(Section):
    """The agreement of lips and audio is measured in finished videos."""

    judge: str = "auto"
    """A name of the registry: ``auto`` takes syncnet_v2 where it is installed, else the bundled tiny_judge; ``none``
    measures nothing."""
    checkpoint: str | None = None
    """A file of SyncNet v2 instead of the registry's."""
    stride: Annotated[int, Field(ge=1, le=25)] = 5
    """Of the 25 windows that begin in a second every so many is looked at; 5 sees each frame once, 1 is what figures of
    papers are made of. `evaluate` looks at all."""
    compare_hz: Annotated[float, Field(ge=0, le=240)] = 5.0
    """Frames a second that `evaluate` compares with a reference; 0 compares every frame."""
    inception: str = "inception_fid"
    """Gives the features of the Fréchet inception distance: a name of the registry."""
    inception_checkpoint: str | None = None
    """A file instead of the registry's."""


class AsrSettings(Section):
    """Telling what is said, and in which language; needs the extra `asr`."""

    model: str | None = None
    """Folder of a Whisper model for faster-whisper: rows whose `language` is ``auto`` need it, `inspect` uses it."""


class TtsSettings(Section):
    """Speech made of the texts of rows, in place of their audio."""

    engine: Literal["auto", "supertonic", "pocket", "espeak", "command"] = "auto"
    """``auto`` is supertonic where it is installed (the extra `supertonic` and its networks), else espeak (the extra
    `espeak`, GPL-3); ``pocket`` is Pocket TTS (the extra `pocket`); ``command`` runs a program of yours."""
    command: tuple[str, ...] = ()
    """The program and its arguments, for ``command``: it reads a text from standard input and writes a WAV file to
    standard output, or to the file whose name takes the place of ``{output}``; ``{voice}`` and ``{language}`` are the
    row's. No shell sees it. Equal texts are spoken once: change a word of it when the program speaks otherwise."""
    voices: tuple[str, ...] = ()
    """Names of the voices that the program has, for `validate`; none for any."""
    voice: str = ""
    """Voice of rows that name none: of supertonic F1 to F5 and M1 to M5, of pocket a file of its model (``lola``), of
    espeak a name (``es``, ``en-us+f3``) or a variant of the row's language (``+f3``). Empty for the engine's usual
    one."""
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 120.0
    """Bound on the time that espeak or the program takes for a text."""
    model: str | None = None
    """Folder with supertonic's files as they are published, in place of the registry's; with ``pocket`` that of one
    model, as ``languages/german``: its name says what is in it. The registry has pocket's Spanish one."""


class DiariseSettings(Section):
    """Telling who speaks when, for `lipwise-ray diarise`; needs the extra `diarise`."""

    segmentation: str | None = None
    """A pyannote segmentation network, as an ONNX file for sherpa-onnx."""
    embedding: str | None = None
    """A network that tells voices apart, as an ONNX file for sherpa-onnx: 3D-Speaker, WeSpeaker or NeMo."""
    threshold: Annotated[float, Field(gt=0, le=2)] = 0.5
    """Cosine distance from which voices are two speakers, where their number is not given; smaller finds more."""
    min_duration_on_s: Annotated[float, Field(ge=0, le=60)] = 0.3
    """Shorter turns are left out."""
    min_duration_off_s: Annotated[float, Field(ge=0, le=60)] = 0.5
    """Over shorter pauses a speaker's turn goes on."""


class GateSettings(Section):
    """Requirements that a finished video must meet to pass; what is not set is not asked for."""

    min_lse_c: float | None = None
    max_offset: Annotated[int, Field(ge=0, le=15)] | None = None
    """Frames of 1/25 s that lips may be early or late."""
    max_no_face_share: Share | None = None
    """Of the frames."""
    max_undubbed_share: Share = 0.05
    """Share of the frames in which the person is seen, or may be, that may be left as they are; 1 asks for nothing."""
    max_flicker: float | None = None
    """Levels of 255 by which dubbed faces may flicker more than the original ones."""
    min_sharpness: Annotated[float, Field(ge=0, le=8)] | None = None
    """Sharpness of dubbed mouths beside the original ones: 1 is as sharp, a mouth blurred by a pixel has 0.5 to 0.7."""
    max_length_error_s: Annotated[float, Field(ge=0)] | None = None
    """Between video and audio."""
    retry: tuple[dict[str, Any], ...] = ()
    """Settings to try, one after another, with a row that does not pass; the best attempt is published. Where too many
    undubbed frames are all that is wrong, only those of `faces`, `detect` and `source` are tried."""


class EncodeSettings(Section):
    """The delivered video."""

    deliver: Literal["source", "compatible"] = "source"
    """``source`` keeps the source's bit depth, chroma, colours and layers as far as the codec can; ``compatible`` makes
    what every player shows: H.264 of 8 bits, 4:2:0, limited range, standard dynamic range, with AAC."""
    codec: Codecs = "auto"
    """``auto`` is libx264, libx265 where the source has a high dynamic range, and libsvtav1 in WebM; with transparency
    prores_ks in MOV, ffv1 in Matroska, libvpx-vp9 in WebM. Several are in the order of preference: all of a video is
    encoded by the first that a worker opens."""
    quality: Annotated[int, Field(ge=0, le=63)] | None = None
    """Constant rate factor (``cq`` of nvenc), smaller is better; nothing for the encoder's usual one."""
    preset: str = "medium"
    """Speed of the encoder, by x264's names."""
    keyframe_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Longest time from a key frame to the next."""
    pixel_format: str = "source"
    """FFmpeg's name of it, or ``source``."""
    keep: tuple[Keep, ...] = KEEPS
    """Parts of the source's container that go along, where the output's can hold them; the result lists the rest."""
    tracks: Literal["one", "all"] = "one"
    """Of a row with audio by language: ``one`` makes a video a language; ``all`` one file, whose first audio the lips
    follow and whose others are further soundtracks."""
    audio: AudioEncodeSettings = AudioEncodeSettings()

    @property
    def codecs(self) -> tuple[str, ...]:
        """The encoders in the order of preference."""
        return (self.codec,) if isinstance(self.codec, str) else self.codec


class ChunkSettings(Section):
    """Length of the chunks into which videos are cut for the workers."""

    length_s: ChunkLength = 10.0
    """Seconds; ``auto`` is a 120th of the video, from 10 s to a minute, so that films leave few records. A chunk may be
    longer or shorter by a quarter, to begin where little has to be decoded before it."""
    frames: Annotated[int, Field(ge=0)] = 0
    """Exact chunk length in frames; 0 goes by `length_s`."""


class ManifestSettings(Section):
    """Rules for manifests."""

    extra: Literal["error", "keep"] = "error"
    """Columns that are not known: ``error`` refuses them, as slips of the pen; ``keep`` takes them into the results."""


class Settings(Section):
    """All settings of a run."""

    lipsync: LipsyncSettings = LipsyncSettings()
    detect: DetectSettings = DetectSettings()
    faces: FacesSettings = FacesSettings()
    source: SourceSettings = SourceSettings()
    timing: TimingSettings = TimingSettings()
    composite: CompositeSettings = CompositeSettings()
    restore: RestoreSettings = RestoreSettings()
    score: ScoreSettings = ScoreSettings()
    compare: CompareSettings = CompareSettings()
    gate: GateSettings = GateSettings()
    asr: AsrSettings = AsrSettings()
    diarise: DiariseSettings = DiariseSettings()
    tts: TtsSettings = TtsSettings()
    mix: MixSettings = MixSettings()
    encode: EncodeSettings = EncodeSettings()
    marking: MarkingSettings = MarkingSettings()
    chunk: ChunkSettings = ChunkSettings()
    engine: EngineSettings = EngineSettings()
    paths: PathsSettings = PathsSettings()
    limits: LimitsSettings = LimitsSettings()
    manifest: ManifestSettings = ManifestSettings()
    service: ServiceSettings = ServiceSettings()

    @model_validator(mode="after")
    def _gate_can_be_passed(self) -> Self:
        is_judged = self.score.judge != "none" or self.score.checkpoint is not None
        if not is_judged and (self.gate.min_lse_c is not None or self.gate.max_offset is not None):
            raise ValueError("gate.min_lse_c and gate.max_offset need a judge, but score.judge is none")
        return self

    def identity(self) -> dict[str, Any]:
        """Return the settings that decide what a finished file looks like.

        Names and files of checkpoints are among them; in the ids of jobs their hashes stand instead.
        """
        # A bound that nobody set decides nothing that the version of the pipeline does not.
        bound = {"min_face_px"} if self.restore.min_face_px == MIN_RESTORED_PX else set[str]()
        fit = {"max_stretch"} if self.timing.length == "fit" else {"max_stretch", "fit"}
        loudness = {"loudness_lufs", "true_peak_dbtp"} if self.encode.audio.loudness_lufs is None else set[str]()
        found = self.model_dump(
            mode="json",
            exclude={
                **dict.fromkeys(_DECIDE_NOTHING, True),
                "encode": {"tracks": True, "audio": loudness},  # what tracks make of a row counts by itself
                "timing": fit,  # a bound only decides whether there is a result
                "lipsync": self.lipsync.idle_keys(),
                "detect": {"batch_frames"},
                "restore": {"batch_faces", *bound},
            },
        )
        drawn_px = self.lipsync.drawn_px()
        if drawn_px is not None:  # a file of the user's own may be drawn at either size
            found["lipsync"]["drawn_px"] = drawn_px
        return found
