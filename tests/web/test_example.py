"""The example application, over HTTP and a restart, with nothing but ``.env`` to switch stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.servers.stores import upgrade
from tests.web.server import serving

APPLICATION = "examples.interview_copilot.main:app"
EXAMPLE = Path(__file__).parents[2] / "examples" / "interview_copilot"

ANSWER = (
    "I led a team of 5 for two years, and we had a conflict about tests, so I asked each of them "
    "what they feared, and the result was that we wrote half as many."
)
ADVERTISEMENT = "You know Python and PostgreSQL, and have seen Docker."


class Client:
    """What a user does with the application."""

    def __init__(self, url: str, user: str = "ada") -> None:
        self._url, self._headers = f"{url}/sessions", {"Authorization": f"Bearer {user}"}

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = self._request(method, path, body, headers)
        assert answer.is_success, answer.text
        return answer.json()

    def status(self, method: str, path: str, body: Any = None) -> int:
        return int(self._request(method, path, body, {"Idempotency-Key": "other"}).status_code)

    def say(self, agent: str, text: str, key: str) -> Any:
        return self.call(
            "POST", f"/friday/turns/{agent}", {"text": text}, **{"Idempotency-Key": key}
        )

    def _request(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        headers = self._headers | headers
        return httpx2.request(method, self._url + path, json=body, headers=headers, timeout=30)


@pytest.fixture(params=["memory", "file", "sqlite", "postgresql"])
def dotenv(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "SESSION_PERSISTENCE_ENABLED=false\n"
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres_url")
        upgrade(url)
        return f"SESSION_STORAGE_TYPE=postgresql\nSESSION_STORAGE_URL={url}\n"
    return f"SESSION_STORAGE_TYPE={request.param}\nSESSION_STORAGE_PATH=./data\n"


def test_an_interview_is_paused_and_goes_on_after_a_restart(dotenv: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(dotenv)
    with serving(APPLICATION, tmp_path, {}) as server:
        before = first_day(Client(server.url))
    with serving(APPLICATION, tmp_path, {}) as server:
        client = Client(server.url)
        if "ENABLED=false" in dotenv:
            assert client.status("GET", "/friday") == 404
        else:
            second_day(client, before)


def first_day(client: Client) -> Any:
    client.call("POST", "", {"session_id": "friday", "metadata": {"title": "On Friday"}})
    research = client.say("research", ADVERTISEMENT, "1")
    assert research["artifacts"][0]["payload"]["skills"] == ["docker", "postgresql", "python"]
    assert client.say("mock", "I am ready.", "2")["reply"] == "Tell me about yourself."
    first = client.say("mock", ANSWER, "3")
    assert first["reply"].startswith("A good answer. Tell me about a conflict")
    assert client.say("mock", ANSWER, "3") == first
    client.say("technical", "Ask me.", "4")
    assert client.say("technical", "EXPLAIN shows the plan; an index may help.", "5")[
        "reply"
    ].startswith("You named 3 of 5 points.")
    client.call("POST", "/friday/pause", {"label": "evening"})
    assert client.status("POST", "/friday/turns/mock", {"text": "hello?"}) == 409
    return client.call("GET", "/friday")


def second_day(client: Client, before: Any) -> None:
    assert client.call("GET", "/friday") == before
    assert before["status"] == "paused"
    assert before["agent_states"]["mock"] == {"asked": 2}
    client.call("POST", "/friday/resume")
    assert client.say("mock", "No.", "6")["reply"].startswith("It lacks more than a sentence")
    assert client.say("companion", "Was there ever a conflict about tests?", "7")["reply"].endswith(
        ANSWER
    )
    artifacts = client.call("GET", "/friday?kind=artifact")["entries"]
    assert [entry["payload"]["type"] for entry in artifacts] == [
        "brief",
        "feedback",
        "review",
        "feedback",
    ]
    assert client.call("POST", "/friday/complete")["status"] == "completed"


def test_nobody_hears_anothers_interview(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SESSION_PERSISTENCE_ENABLED=false\n")
    with serving(APPLICATION, tmp_path, {}) as server:
        Client(server.url).call("POST", "", {"session_id": "friday"})
        bob = Client(server.url, "bob")
        assert bob.status("GET", "/friday") == 404
        assert bob.status("POST", "/friday/turns/mock", {"text": "hi"}) == 404
        assert httpx2.get(f"{server.url}/sessions/friday").status_code == 401


def test_its_settings_are_those_that_there_are() -> None:
    from session_store.settings import PREFIX, Settings

    names = {
        line.lstrip("#").partition("=")[0]
        for line in (EXAMPLE / ".env.example").read_text().splitlines()
        if line.lstrip("#").startswith(PREFIX)
    }
    assert names <= {PREFIX + name.upper() for name in Settings.model_fields}
