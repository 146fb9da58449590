"""What is said of a site's refusals: yt-dlp's words as they are, told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.errors import InputError, MediaError, StorageError
from lipwise_ray.pipeline.inputs.site_failures import SiteFailure, site_fault

NO_DENO = (
    "No supported JavaScript runtime could be found. Only deno is enabled by default; to use another runtime add"
    "  --js-runtimes RUNTIME[:PATH]  to your command/config."
)


def _failure(text: str, *kinds: str, status: int | None = None, warnings: list[str] | None = None) -> SiteFailure:
    return SiteFailure(["ExtractorError", *kinds], status, None, text, warnings or [])


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (_failure("Private video. Sign in if you've been granted access to this video. Use --cookies"), "site_private"),
        (_failure("Sign in to confirm your age. This video may be inappropriate for some users."), "site_login"),
        (_failure("This video is only available for registered users. Use --cookies-from-browser"), "site_login"),
        (_failure("The uploader has not made this video available in your country"), "site_region"),
        (_failure("This video is not available from your location", "GeoRestrictedError"), "site_region"),
        (_failure("This video has been removed by the uploader"), "site_gone"),
        (_failure("Video unavailable"), "site_gone"),
        (_failure("This live event will begin in 3 hours."), "site_live"),
        (_failure("The channel is not currently live", "UserNotLive"), "site_live"),
        (_failure("This video is DRM protected"), "site_drm"),
        (_failure("Requested format is not available", warnings=[NO_DENO]), "site_script"),
        (_failure("Requested format is not available"), "site_unreadable"),
        (_failure("Unsupported URL: https://video.test/?key=c0ffee", "UnsupportedError"), "site_unsupported"),
        (_failure("Unable to extract uploader; please report this issue on  https://github.com"), "site_unreadable"),
    ],
)
def test_faults_of_a_video_are_told_apart(failure: SiteFailure, code: str) -> None:
    """Each is the row's own, with a code; hints for a command line and secrets are left out."""
    error = site_fault("https://video.test/", failure, [], None)
    assert isinstance(error, MediaError)
    assert error.code == code
    assert not any(word in str(error) for word in ("--", "c0ffee", "report this issue"))


def test_a_refused_host_is_named() -> None:
    """With what to do, though yt-dlp only knows that something did not arrive."""
    refusal = InputError("host_refused", "https://cdn.test/", got="cdn.test is not among the hosts that may be asked")
    failure = _failure("Unable to connect to proxy", "TransportError", "ProxyError")
    error = site_fault("https://video.test/", failure, [refusal], None)
    assert (error.code, error.where) == ("host_refused", "https://video.test/")
    assert "cdn.test" in error.got
    assert "paths.hosts" in error.do


def test_what_may_pass_is_tried_again(tmp_path: Path) -> None:
    """A network's failure, a busy site, and whatever is refused in the middle of a file: its address may be too old."""
    for failure, target in (
        (_failure("timed out", "TransportError"), None),
        (_failure("HTTP Error 429: Too Many Requests", "HTTPError", status=429), None),
        (_failure("HTTP Error 403: Forbidden", "HTTPError", status=403), tmp_path / "part"),
        (SiteFailure(["OSError"], None, 28, "No space left on device", []), tmp_path / "part"),
    ):
        assert isinstance(site_fault("https://video.test/", failure, [], target), StorageError)
    untrusted = _failure("certificate verify failed", "TransportError", "CertificateVerifyError")
    assert site_fault("https://video.test/", untrusted, [], None).code == "untrusted_host"
