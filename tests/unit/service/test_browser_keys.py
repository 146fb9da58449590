"""A browser gives the key once, and goes on by a cookie; what is refused is told to people as pages."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from lipwise_ray.service.browser_sessions import BrowserSessions
from lipwise_ray.service.studio.studio_door import studio_door
from tests.support.service_site import Site, running

PAGE = {"Accept": "text/html,*/*;q=0.8"}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    public = "https://dub.example.org"
    with running(tmp_path_factory.mktemp("locked") / "s", public_url=public, doors=(studio_door(),)) as found:
        yield found


def _given(site: Site, key: str, **headers: str) -> tuple[int, str, str]:
    """Send the form; return status, cookie and where it leads."""
    form = {"key": key, "back": "/queue"}
    answer = site.asked("POST", "/studio/key", data=form, headers={**PAGE, **headers}, allow_redirects=False)
    return answer.status_code, answer.headers.get("set-cookie", ""), answer.headers.get("location", "")


def test_a_browser_gives_the_key_once(locked: Site) -> None:
    """It is asked for, and then the page opens by a cookie that scripts cannot read and that is not the key."""
    asked = locked.asked("GET", "/queue", headers=PAGE)
    assert asked.status_code == 401
    assert 'name="key"' in asked.text
    # Under "no-referrer" browsers call a form's origin null, and none could give the key.
    assert asked.headers["Referrer-Policy"] == "same-origin"
    assert '<meta name="referrer" content="same-origin">' in asked.text
    assert '<a href="/runs"' in asked.text  # which leads back here, and then there
    status, cookie, there = _given(locked, locked.token)
    assert (status, there) == (303, "/queue")
    assert {"HttpOnly", "SameSite=strict"} <= {part.strip() for part in cookie.split(";")}
    assert "Secure" not in cookie  # it came by plain HTTP, past the proxy
    assert locked.token not in cookie
    assert "Secure" in _given(locked, locked.token, Host="dub.example.org")[1]
    kept = cookie.partition(";")[0]
    opened = locked.asked("GET", "/queue", headers={**PAGE, "Cookie": kept, "Sec-Fetch-Site": "same-origin"})
    assert opened.status_code == 200
    assert "Log out" in opened.text
    left = locked.asked("POST", "/studio/key/leave", headers={"Cookie": kept, "Sec-Fetch-Site": "same-origin"})
    assert "Max-Age=0" in left.history[0].headers["set-cookie"]


def test_a_cookie_counts_for_pages_of_this_service_alone(locked: Site) -> None:
    """Another site's page, or another port's, cannot have a browser use it; nor can a program without an origin."""
    kept = _given(locked, locked.token)[1].partition(";")[0]
    for headers in ({"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "cross-site"}, {}):
        answer = locked.asked("POST", "/studio/jobs/none/cancel", headers={"Cookie": kept, **headers})
        assert answer.status_code in (401, 403), headers
    own = {"Cookie": kept, "Origin": locked.url}
    assert locked.asked("POST", "/studio/jobs/none/cancel", headers=own).status_code == 404


def test_a_cookie_that_is_over_or_made_up_does_not_hold() -> None:
    """It holds for thirty days, after a restart too, and under its own key alone."""
    now = [1_000_000.0]
    sessions = BrowserSessions("a", lambda: now[0])
    headers = {"cookie": f"{sessions.name}={sessions.value()}", "sec-fetch-site": "same-origin"}
    assert BrowserSessions("a", lambda: now[0]).holds("GET", headers)
    assert not BrowserSessions("b", lambda: now[0]).holds("GET", headers)
    later = {**headers, "cookie": headers["cookie"].replace("=3", "=4", 1)}
    assert not sessions.holds("GET", later)
    now[0] += sessions.hold_s + 1
    assert not sessions.holds("GET", headers)


def test_programs_get_json_and_people_pages(locked: Site) -> None:
    """An unknown row is told to each in their way, with the same status."""
    key = {"x-api-key": locked.token}
    assert locked.asked("GET", "/rows/none", headers=key).json()["errorCode"] == "unknown_job"
    page = locked.asked("GET", "/rows/none", headers={**key, **PAGE})
    assert page.status_code == 404
    assert "no job has this id" in page.text
    assert page.headers["content-type"].startswith("text/html")


def test_a_wrong_key_is_said_and_not_tried_for_ever(locked: Site) -> None:
    """The page says so, leads nowhere else, and refuses after some tries a minute."""
    answers = [locked.asked("POST", "/studio/key", data={"key": "wrong"}, headers=PAGE) for _ in range(12)]
    assert "not the service&#39;s key" in answers[0].text
    assert answers[0].status_code == 401
    assert answers[-1].status_code == 429
