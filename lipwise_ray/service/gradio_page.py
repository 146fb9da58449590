"""The Gradio page: settings, video and audio, and texts that are spoken, over the service's own queue."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self, TypeAlias

from starlette.middleware import Middleware

from lipwise_ray.errors import LipwiseError, RequestError, SetupError
from lipwise_ray.runs.load_settings import LoadedSettings, load_settings
from lipwise_ray.service.asset_store import AssetStore
from lipwise_ray.service.changes import JobProgress
from lipwise_ray.service.gradio_files import GradioFiles
from lipwise_ray.service.gradio_names import FileNames
from lipwise_ray.service.gradio_watch import JobWatch
from lipwise_ray.service.job_record import JobDraft, JsonObject, ServiceJob
from lipwise_ray.service.page_policy import PagePolicy
from lipwise_ray.service.service import Service
from lipwise_ray.service.studio.settings_text import overrides_of
from lipwise_ray.service.web_errors import PlainWords
from lipwise_ray.settings.layers import preset_names
from lipwise_ray.settings.reference import Setting, settings_of
from lipwise_ray.storage.address import bucket_and_key, file_name, is_local
from lipwise_ray.storage.objects import Bucket

DOOR = "gradio"
_MAIN_KEYS = (
    "lipsync.model",
    "lipsync.silence",
    "lipsync.audio_offset_ms",
    "restore.model",
    "restore.strength",
    "faces.on_no_face",
    "composite.mask",
    "composite.grain",
    "composite.occlusion",
    "encode.quality",
)
_AS_SERVER = "as the server"
_SWEPT_S, _KEPT_S = 3600, 86_400
"""Gradio's own copies of what was sent and shown go after a day."""
_AT_ONCE = 16
"""Jobs that pages watch at once; others wait in Gradio's queue."""

PageAnswer: TypeAlias = tuple[str, str, str | None]
"""A job's id, where it stands, and the file of its video."""


class GradioPage:
    """Answers of the page: a job of what its fields hold, and how that goes.

    Args:
        service: The queue.
        assets: Takes files.
    """

    def __init__(self, service: Service, assets: AssetStore) -> None:
        self._service = service
        self._assets = assets
        self._plain = PlainWords(service.folders)
        self.presets = [_AS_SERVER, *preset_names(service.source.presets)]
        known = {one.name: one for one in settings_of()}
        self.settings: list[Setting] = [known[name] for name in _MAIN_KEYS]

    def dub(self, video: str | None, audio: str | None, preset: str, faces: str, *values: Any) -> Iterator[PageAnswer]:
        """Dub a video with an audio file, and yield how it goes.

        Args:
            video: Path of the file that was sent, or None.
            audio: The same of the audio.
            preset: Name of a preset.
            faces: Rule for the face; empty for the server's.
            *values: Of the settings, in their order, and at last the others as TOML.

        Raises:
            LipwiseError: It cannot be a job.
        """
        return self._run(video, lambda: {"audio": self._taken(audio, "the audio")}, preset, faces, values)

    def speak(
        self, video: str | None, text: str, voice: str, preset: str, faces: str, *values: Any
    ) -> Iterator[PageAnswer]:
        """Dub a video with a text that is spoken; the other arguments and errors are those of `dub`.

        Args:
            video: Path of the file that was sent, or None.
            text: What is said.
            voice: Name of a voice; empty for the server's.
            preset: Name of a preset.
            faces: Rule for the face; empty for the server's.
            *values: As for `dub`.
        """
        said = text.strip()
        if not said:
            raise RequestError("bad_request", "the text", got="is empty", do="Write what is to be said")
        if said.startswith("@"):
            raise RequestError(
                "bad_request", "the text", got="begins with @, which is not spoken", do="Leave the @ out"
            )
        return self._run(video, lambda: {"text": said, "voice": voice.strip() or None}, preset, faces, values)

    def cancel(self, job_id: str) -> str:
        """Cancel a job, and return a sentence on it.

        Args:
            job_id: Its id.

        Raises:
            InputError: There is none, or it has ended.
            StorageError: The state cannot be written.
        """
        if not job_id:
            raise RequestError("bad_request", "the job", got="none was started here yet", do="Start one first")
        job = self._service.cancel(job_id)
        return "Cancelled." if job.status == "cancelled" else "It is being stopped."

    def words(self, error: LipwiseError) -> str:
        """Return the sentence of an error, without this machine's folders."""
        return self._plain(str(error))

    def _run(
        self,
        video: str | None,
        spoken: Callable[[], JsonObject],
        preset: str,
        faces: str,
        values: Sequence[Any],
    ) -> Iterator[PageAnswer]:
        columns = self._columns(preset, faces, values)
        columns |= {"video": self._taken(video, "the video")}
        columns |= spoken()
        name = Path(video or "video").stem[:100]
        safe = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name).strip("-")
        job = self._service.submit(JobDraft(columns=columns, door=DOOR, name=f"{safe or 'video'}-dubbed"))
        yield job.id, self._plain(self._service.problem) or "Waiting.", None
        for progress in JobWatch(self._service, job.id).until_end():
            yield job.id, _words_of(progress), None
        job = self._service.job(job.id)
        yield job.id, self._ended(job), self._shown(job)

    def _ended(self, job: ServiceJob) -> str:
        if job.status == "failed":
            return self._plain(f"Failed: {job.message or job.code}")
        return "Done." if job.status == "completed" else "Cancelled."

    def _columns(self, preset: str, faces: str, values: Sequence[Any]) -> JsonObject:
        *chosen, written = values
        columns: JsonObject = {} if preset in ("", _AS_SERVER) else {"preset": preset}
        columns |= {"faces": faces.strip()} if faces.strip() else {}
        for setting, value in zip(self.settings, chosen, strict=True):
            if value is not None and value != "":
                columns[setting.name] = _typed(setting, value)
        return columns | overrides_of(str(written or ""))

    def _taken(self, path: str | None, what: str) -> str:
        """Return the place of a file that was sent, as the rows of jobs may name it.

        Raises:
            InputError: There is none, or it is no media file.
            StorageError: The disk refuses.
        """
        if not path:
            raise RequestError("bad_request", what, got="is missing", do="Choose a file")
        with Path(path).open("rb") as file:
            asset = self._assets.add(file, Path(path).name, "")
        return str(self._assets.path(asset.id))

    def _shown(self, job: ServiceJob) -> str | None:
        """Return a copy of a job's video that Gradio may send: it sends nothing that lies elsewhere."""
        if job.status != "completed" or job.output is None:
            return None
        target = Path(tempfile.mkdtemp(prefix="shown-")) / file_name(job.output)
        if is_local(job.output):
            shutil.copyfile(job.output, target)
        else:
            root, key = bucket_and_key(job.output)
            Bucket(root).download(key, target)
        return str(target)


class LaunchedPage:
    """A page that is open, for a notebook: its queue and its address.

    Attributes:
        url: Its address.
        service: Its queue.
    """

    def __init__(self, service: Service, url: str, stack: ExitStack) -> None:
        self.service = service
        self.url = url
        self._stack = stack

    def close(self) -> None:
        """Close the page; jobs that have not ended go on when it is launched again."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def launch_page(
    folder: str | Path = "lipwise-page",
    settings: LoadedSettings | None = None,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    inline: bool | None = None,
) -> LaunchedPage:
    """Open the page alone, as in a notebook, with a queue of its own; nothing of it is shared with others.

    Args:
        folder: Folder of its queue: uploads, state, outputs.
        settings: What `load_settings` returned; None for the defaults.
        host: Where to listen.
        port: Port; None for one that is free.
        inline: Show it in the notebook; None where there is one.

    Raises:
        SetupError: The extra is not installed, or folder, state or settings cannot be used.
        StorageError: A disk or store refused.
    """
    _gradio()
    with ExitStack() as stack:
        service = Service.open(folder, settings or load_settings())
        stack.callback(service.close)
        most_bytes = int(service.settings.service.upload_gb * 1e9)
        page = make_page(service, AssetStore(service.store, service.uploads, most_bytes, service.side_work.facts))
        stack.callback(page.close, verbose=False)
        _, url, _ = page.launch(
            share=False,
            inline=inline,
            server_name=host,
            server_port=port,
            prevent_thread_lock=True,
            quiet=True,
            **bounds(page, most_bytes, Middleware(PagePolicy, is_framed=True)),
            theme=theme(),
        )
        return LaunchedPage(service, url, stack.pop_all())


def bounds(page: Any, most_bytes: int, *layers: Middleware) -> dict[str, Any]:  # noqa: ANN401  # Gradio is an extra
    """Return the arguments by which Gradio serves nothing but its page, and no path of this machine.

    Args:
        page: The page.
        most_bytes: Of a file that is sent.
        *layers: Layers around it.
    """
    names = Middleware(FileNames, files=GradioFiles(page.GRADIO_CACHE))
    return {
        "app_kwargs": {"middleware": [*layers, names]},
        "allowed_paths": [],
        "max_file_size": most_bytes,
        "show_error": False,
        "ssr_mode": False,
        "mcp_server": False,
        "pwa": False,
        "enable_monitoring": False,
        "footer_links": [],
        "run_history": False,
    }


def make_page(service: Service, assets: AssetStore) -> Any:  # noqa: ANN401  # Gradio is an extra
    """Return the page as Gradio's blocks.

    Args:
        service: The queue.
        assets: Takes the files that are sent.

    Raises:
        SetupError: The extra is not installed.
    """
    gr, page = _gradio(), GradioPage(service, assets)
    files = GradioFiles(gr.utils.get_upload_folder())

    def said(answers: Callable[..., Iterator[PageAnswer]], taken: int) -> Callable[..., Iterator[PageAnswer]]:
        def run(*values: Any) -> Iterator[PageAnswer]:
            if any(files.shows_in(str(value)) for value in values[taken:]):  # it would be a job's text, with its path
                raise gr.Error("A file stands where a text belongs.", print_exception=False)
            try:
                yield from answers(*values)
            except LipwiseError as error:
                raise gr.Error(page.words(error), duration=None, print_exception=False) from None

        return run

    def cancel(job_id: str) -> str:
        try:
            return page.cancel(job_id)
        except LipwiseError as error:
            raise gr.Error(page.words(error), print_exception=False) from None

    def outcome(name: str, sent: list[Any], inputs: list[Any], answers: Callable[..., Iterator[PageAnswer]]) -> None:
        with gr.Row():
            start, stop = gr.Button("Dub", variant="primary"), gr.Button("Cancel")
        job = gr.Textbox(label="Job", interactive=False)
        state = gr.Textbox(label="Progress", interactive=False)
        shown = gr.Video(label="Dubbed video", interactive=False, buttons=["download"])
        begin = said(answers, len(sent))
        start.click(begin, [*sent, *inputs], [job, state, shown], api_name=name, concurrency_limit=_AT_ONCE)
        stop.click(cancel, job, state, api_name=f"{name}_cancel", queue=False)

    with gr.Blocks(title="lipwise-ray", analytics_enabled=False, delete_cache=(_SWEPT_S, _KEPT_S)) as blocks:
        gr.Markdown("# lipwise-ray\nA video and new audio in; the same video with lips that follow it out.")
        with gr.Tab("Settings"):
            gr.Markdown("What is left empty is as the server has it. These count for both other tabs.")
            preset = gr.Dropdown(page.presets, value=_AS_SERVER, label="Preset")
            faces = gr.Textbox(
                "", label="Face", info="largest, left, right, center, speaking, all; empty for the server's"
            )
            fields = [preset, faces, *(_field(gr, one) for one in page.settings)]
            fields.append(gr.Textbox("", label="Any other settings, as TOML", info="detect.stride = 2", lines=3))
        with gr.Tab("Video and audio"):
            with gr.Row():
                video = gr.Video(label="Video", sources=["upload"])
                audio = gr.Audio(
                    label="New audio", sources=["upload", "microphone"], type="filepath", buttons=["download"]
                )
            outcome("dub", [video, audio], fields, page.dub)
        with gr.Tab("Speech"):
            video = gr.Video(label="Video", sources=["upload"])
            text = gr.Textbox("", label="Text", lines=4, max_length=10_000)
            voice = gr.Textbox("", label="Voice", info="Empty for the server's. It needs an engine: tts.engine.")
            outcome("speak", [video], [text, voice, *fields], page.speak)
    blocks.queue(max_size=service.settings.service.queue)
    return blocks


def theme() -> Any:  # noqa: ANN401  # Gradio is an extra
    """Return Gradio's plain theme with the fonts of the reader's machine: others would come from elsewhere."""
    return _gradio().themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


def is_gradio_installed() -> bool:
    """Tell whether the extra is installed; nothing of it is loaded."""
    from importlib.util import find_spec

    return find_spec("gradio") is not None


def _gradio() -> ModuleType:
    """Return the package, which asks nobody for newer versions and tells nobody of its use.

    Raises:
        SetupError: It is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when it is imported
    try:
        return import_module("gradio")
    except ImportError as error:
        got = f"{error.name or 'a package of it'} is not installed"
        raise SetupError("no_extra", "gradio", got=got, do="Run `pip install 'lipwise-ray[gradio]'`") from error


def _field(gr: ModuleType, setting: Setting) -> Any:  # noqa: ANN401  # Gradio is an extra
    about = f"{setting.about} Default: {setting.default}"
    if choices := _choices(setting):
        return gr.Dropdown(["", *choices], value="", label=setting.name, info=about)
    return gr.Textbox("", label=setting.name, info=about)  # numbers too: an empty number is 0 in Gradio's field


def _choices(setting: Setting) -> list[str]:
    if setting.kind == "true or false":
        return ["true", "false"]
    return [one.strip("`") for one in setting.kind.split(", ")] if setting.kind.startswith("`") else []


def _typed(setting: Setting, value: Any) -> str | float | int | bool:  # noqa: ANN401  # what a form holds
    if setting.kind == "true or false":
        return value is True or value == "true"
    if "number" in setting.kind:  # where it is none, the row's check says so
        with suppress(ValueError):
            return int(value) if setting.kind.startswith("whole") else float(value)
    return str(value)


def _words_of(progress: JobProgress | None) -> str:
    if progress is None:
        return "Working."
    frames = f": {progress.frames_done} of {progress.frames_total} frames" if progress.frames_total else ""
    left = f", about {progress.eta_s:.0f} s left" if progress.eta_s is not None else ""
    return f"{progress.stage}{frames}{left}"
