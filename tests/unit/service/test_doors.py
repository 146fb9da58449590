"""What every door holds to: no path of the server in its answers, and no promise that cannot be kept."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from lipwise_ray.service.studio.studio_door import studio_door
from lipwise_ray.service.sync_api.door import sync_door
from tests.support.service_site import Site, clip, running, tone


@pytest.fixture
def site(tmp_path: Path) -> Generator[Site]:
    doors = [sync_door(), studio_door(None)]
    root = tmp_path / "films of a client"
    with running(tmp_path / "my s", f'paths.roots=["{root}"]', doors=doors, out=str(tmp_path / "out put")) as one:
        yield one


def test_a_job_that_fails_names_no_path(site: Site, tmp_path: Path) -> None:
    """Its reason has the names of files, with the folders of none: those of settings have spaces here."""
    job_id = site.asked("POST", "/plain", json=site.columns()).json()["id"]
    places = (site.service.uploads, site.service.store.address, site.service.out, *site.service.settings.paths.roots)
    message = "; ".join(f"{place}/sub folder/x.mp4: is gone" for place in places)
    service = site.service
    service._change(service.job(job_id), status="failed", code="no_file", message=f"{message}; /var/lib/a/b.mp4")
    answers = [
        site.asked("GET", path)
        for path in (f"/v2/generate/{job_id}", "/v2/generations", "/queue", f"/rows/{job_id}", "/cluster", "/models")
    ]
    assert [one.status_code for one in answers] == [200] * 6
    assert all("x.mp4: is gone" in one.text for one in answers[:4])
    for one in answers:
        assert str(tmp_path) not in one.text
        assert "/var/lib" not in one.text


@pytest.mark.parametrize("address", ["https://user:s3cret@hook.test/", "http://", "ftp://hook.test/", "hook.test"])
def test_an_address_that_can_never_be_called_is_refused(site: Site, address: str) -> None:
    """At once, with the field's name and without the password; a batch's too."""
    given = {"video": ("v.mp4", clip()), "audio": ("s.wav", tone())}
    asked = site.asked("POST", "/v2/generate", data={"model": "fast", "webhookUrl": address}, files=given)
    batch = site.asked("POST", "/v2/batch", data={"webhook_url": address}, files={"input": ("b.jsonl", b"{}")})
    for answer, name in ((asked, "webhookUrl"), (batch, "webhook_url")):
        assert answer.status_code == 422
        assert answer.json()["message"].startswith(f"{name}: ")
        assert "s3cret" not in answer.text
    assert site.service.find() == []
    assert site.asked("GET", "/v2/assets").json()["items"] == []
