"""What each route does, and how it answers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from session_store import PersistentSessionService, SessionService
from session_store.core.queries import Page
from session_store.fastapi import models
from session_store.session import Applied, Entry, Session, SessionHead
from tests.service.support import FakeClock, ready_session
from tests.web.support import application, operations, problem, running

ADA = {"user_id": "ada"}
S1 = "/sessions/s1"

CALLS: dict[str, tuple[str, str, Any]] = {
    "get": ("GET", "", None),
    "patch": ("PATCH", "", {"state": {"n": 1}}),
    "append": ("POST", "/entries", {"entries": [{"payload": "hi"}]}),
    "artifact": ("POST", "/artifacts", {"type": "report", "payload": 1}),
    "checkpoint": ("POST", "/checkpoints", {}),
    "pause": ("POST", "/pause", {"label": "lunch"}),
    "fail": ("POST", "/fail", {"reason": "lost"}),
    "resume": ("POST", "/resume", {}),
    "complete": ("POST", "/complete", {}),
    "restore": ("POST", "/restore", {"checkpoint_id": "start"}),
    "fork": ("POST", "/fork", {"new_session_id": "copy"}),
    "delete": ("DELETE", "", None),
}
"""One request of each route of one session; all legal on a ``ready_session``, and in this order."""

WRITES = {name: call for name, call in CALLS.items() if name != "get"}


def send(client: TestClient, call: tuple[str, str, Any], **options: Any) -> Any:
    method, path, body = call
    content = None if body is None else body | options.pop("more", {})
    return client.request(method, S1 + path, json=content, **options)


def test_a_session_is_created_read_listed_and_deleted(client: TestClient) -> None:
    made = client.post("/sessions", json={"session_id": "s1", "metadata": {"title": "t"}, **ADA})
    assert (made.status_code, made.headers["location"], made.headers["etag"]) == (201, S1, '"1"')
    read = client.get(made.headers["location"])
    assert (read.status_code, read.json()) == (200, made.json())
    assert read.json()["metadata"] == {"title": "t"}
    (head,) = client.get("/sessions").json()["sessions"]
    assert head == {name: value for name, value in read.json().items() if name != "entries"}
    assert client.delete(S1).status_code == 204
    assert problem(client.get(S1)) == "session-not-found"
    assert problem(client.delete(S1)) == "session-not-found"


def test_a_session_without_an_id_gets_one_and_its_location(client: TestClient) -> None:
    made = client.post("/sessions", json=ADA)
    assert client.get(made.headers["location"]).json()["session_id"] == made.json()["session_id"]


def test_the_history_is_read_whole_or_in_part(client: TestClient, service: SessionService) -> None:
    service.create_session(session_id="s1", user_id="ada")
    service.append("s1", ["a", "b", "c"])
    service.add_artifact("s1", "report", 1)

    def seqs(query: str) -> list[int]:
        return [entry["seq"] for entry in client.get(S1 + query).json()["entries"]]

    assert seqs("") == [1, 2, 3, 4]
    assert (seqs("?last=2"), seqs("?last=0"), seqs("?after=3")) == ([3, 4], [], [4])
    assert (seqs("?kind=artifact"), seqs("?kind=message&last=1")) == ([4], [3])


def test_pages_follow_one_another_by_their_cursor(
    client: TestClient, service: SessionService, clock: FakeClock
) -> None:
    for n in range(5):
        service.create_session(session_id=f"s{n}", user_id="ada", metadata={"odd": n % 2 == 1})
        clock.advance(seconds=1)
    found: list[str] = []
    cursor = None
    while not found or cursor:
        page = client.get("/sessions", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        found += [head["session_id"] for head in page.json()["sessions"]]
        cursor = page.json()["cursor"]
    assert found == ["s4", "s3", "s2", "s1", "s0"]
    labelled = client.get("/sessions", params={"metadata": json.dumps({"odd": True})}).json()
    assert [head["session_id"] for head in labelled["sessions"]] == ["s3", "s1"]
    assert client.get("/sessions?status=running&status=paused").json()["sessions"] == []
    for bad in ("cursor=nonsense", "limit=0", "created_after=2026-03-01T12:00:00", "metadata=[]"):
        assert problem(client.get(f"/sessions?{bad}")) == "invalid"


def test_a_patch_sets_and_removes_keys_in_one_write(
    client: TestClient, service: SessionService
) -> None:
    service.create_session(session_id="s1", user_id="ada", state={"a": 1, "b": 2})
    service.update_agent_state("s1", "coach", {"x": 1, "y": 2})
    body = {
        "state": {"a": None, "c": 3},
        "metadata": {"title": "t"},
        "agent_states": {"critic": {"z": 1}},
        "remove": {"state": ["b"], "agent_states": {"coach": ["x"]}},
        "expires_at": "2026-03-02T00:00:00+01:00",
    }
    before = service.get_session("s1")
    assert client.patch(S1, json=body).json()["version"] == before.version + 1
    session = service.get_session("s1")
    assert (session.state, session.metadata) == ({"a": None, "c": 3}, {"title": "t"})
    assert session.agent_states == {"coach": {"y": 2}, "critic": {"z": 1}}
    assert str(session.expires_at) == "2026-03-01 23:00:00+00:00"
    client.patch(S1, json={"expires_at": "never"})
    assert service.get_session("s1").expires_at is None


def test_pausing_resuming_restoring_and_forking(
    client: TestClient, service: SessionService
) -> None:
    service.create_session(session_id="s1", user_id="ada", state={"n": 1})
    pause = client.post(S1 + "/pause", json={"label": "lunch"}).json()
    assert (pause["status"], pause["entries"][0]["payload"]["label"]) == ("paused", "lunch")
    assert client.post(S1 + "/resume").json()["status"] == "running"
    client.patch(S1, json={"state": {"n": 2}})
    checkpoint = {"checkpoint_id": pause["entries"][0]["entry_id"]}
    fork = client.post(S1 + "/fork", json=checkpoint)
    assert (fork.status_code, fork.json()["state"]) == (201, {"n": 1})
    assert client.get(fork.headers["location"]).json() == fork.json()
    assert client.post(S1 + "/restore", json=checkpoint | {"rewind": True}).status_code == 200
    session = service.get_session("s1")
    assert (session.state, session.status, session.last_seq) == ({"n": 1}, "paused", 1)
    assert problem(client.post(S1 + "/restore", json={"checkpoint_id": "no"})) == (
        "checkpoint-not-found"
    )
    assert client.post(S1 + "/complete").json()["status"] == "completed"
    again = client.post(S1 + "/resume")
    assert (problem(again), again.json()["current_status"]) == ("illegal-transition", "completed")
    assert again.json()["allowed_statuses"] == []


def test_statistics_are_those_of_the_seed(tmp_path: Path) -> None:
    service = PersistentSessionService("file", tmp_path, cleanup_interval=None)
    service.create_session(user_id="ada", session_id="s1")
    service.append("s1", "hi")
    with running(service) as client:
        stats = client.get("/sessions/storage/stats")
    assert stats.status_code == 200
    assert stats.json() == {
        "storage_type": "file",
        "storage_path": str(tmp_path),
        "total_sessions": 1,
        "active_sessions": 1,
        "expired_sessions": 0,
        "expiration_hours": 168,
        "expiration_policy": "idle",
        "auto_save": True,
        "unsaved_changes": 0,
        "file_size_bytes": (tmp_path / "sessions.json").stat().st_size,
    }
    assert '"expiration_hours":168,' in stats.text


def test_a_cleanup_says_how_many_it_removed(
    client: TestClient, service: SessionService, clock: FakeClock
) -> None:
    service.create_session(user_id="ada")
    clock.advance(hours=25)
    assert client.post("/sessions/cleanup").json() == {"removed": 0}
    assert client.post("/sessions/cleanup?max_age_hours=24").json() == {"removed": 1}
    assert problem(client.post("/sessions/cleanup?max_age_hours=-1")) == "invalid"


@pytest.mark.parametrize("name", CALLS)
def test_every_answer_about_one_session_has_its_version_as_etag(
    client: TestClient, service: SessionService, name: str
) -> None:
    ready_session(service, user_id="ada", session_id="s1")
    answer = send(client, CALLS[name])
    assert answer.status_code in (200, 201, 204)
    if name != "delete":
        assert answer.headers["etag"] == f'"{answer.json()["version"]}"'


@pytest.mark.parametrize("name", WRITES)
def test_a_write_on_another_version_than_if_match_is_refused_with_both(
    client: TestClient, service: SessionService, name: str
) -> None:
    before = ready_session(service, user_id="ada", session_id="s1")
    stale = send(client, CALLS[name], headers={"If-Match": '"1"'})
    assert (stale.status_code, problem(stale)) == (412, "precondition-failed")
    versions = {"expected_version": 1, "actual_version": before.version}
    assert stale.json().items() >= versions.items()
    assert service.get_session("s1") == before
    fresh = send(client, CALLS[name], headers={"If-Match": f'W/"{before.version}"'})
    assert fresh.status_code in (200, 201, 204)


@pytest.mark.parametrize("name", [name for name in WRITES if name != "delete"])
def test_a_write_on_another_version_than_its_body_says_is_refused_with_both(
    client: TestClient, service: SessionService, name: str
) -> None:
    before = ready_session(service, user_id="ada", session_id="s1")
    stale = send(client, CALLS[name], more={"expected_version": 1})
    assert (stale.status_code, problem(stale)) == (409, "stale-version")
    versions = {"expected_version": 1, "actual_version": before.version}
    assert stale.json().items() >= versions.items()
    assert service.get_session("s1") == before
    assert send(client, CALLS[name], more={"expected_version": before.version}).is_success


def test_a_precondition_is_one_version_given_once(
    client: TestClient, service: SessionService
) -> None:
    ready_session(service, user_id="ada", session_id="s1")
    for bad in ("2", '"two"', '"1", "2"', '"' + "9" * 30 + '"'):
        assert problem(client.patch(S1, json={}, headers={"If-Match": bad})) == "invalid"
    both = {"If-Match": '"2"'}
    assert problem(client.patch(S1, json={"expected_version": 2}, headers=both)) == "invalid"
    assert client.patch(S1, json={}, headers={"If-Match": "*"}).status_code == 200
    assert problem(client.patch("/sessions/no", json={}, headers={"If-Match": "*"})) == (
        "session-not-found"
    )


def test_who_has_the_session_already_is_not_sent_it_again(
    client: TestClient, service: SessionService
) -> None:
    ready_session(service, user_id="ada", session_id="s1")
    tag = client.get(S1).headers["etag"]
    for known in (tag, f"W/{tag}", f'"99", {tag}', "*"):
        same = client.get(S1, headers={"If-None-Match": known})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    service.append("s1", "new")
    assert client.get(S1, headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize("name", ["append", "artifact", "checkpoint", "pause"])
def test_a_request_of_one_idempotency_key_is_carried_out_once(
    client: TestClient, service: SessionService, name: str
) -> None:
    ready_session(service, user_id="ada", session_id="s1")
    key = {"Idempotency-Key": '"turn 7"'}
    first = send(client, CALLS[name], headers=key)
    again = send(client, CALLS[name], headers={"Idempotency-Key": "turn 7"})
    assert (again.status_code, again.json()) == (200, first.json())
    assert service.get_session("s1").entries[-1].entry_id == "turn 7"
    assert service.get_session("s1").last_seq == 2


def test_an_idempotency_key_is_of_one_content_and_one_entry(
    client: TestClient, service: SessionService
) -> None:
    service.create_session(user_id="ada", session_id="s1")

    def append(*entries: Any) -> Any:
        headers = {"Idempotency-Key": "k"}
        return client.post(S1 + "/entries", json={"entries": entries}, headers=headers)

    assert append({"payload": 1}).status_code == 200
    assert problem(append({"payload": 2})) == "entry-conflict"
    assert problem(append({"payload": 1, "entry_id": "other"})) == "invalid"
    assert problem(append({"payload": 1}, {"payload": 2})) == "invalid"


def test_a_session_id_of_several_users_asks_for_one(
    client: TestClient, service: SessionService
) -> None:
    for user in ("ada", "bob"):
        service.create_session(user_id=user, session_id="s1")
    assert problem(client.get(S1)) == "ambiguous-session"
    assert client.get(S1 + "?user_id=bob").json()["user_id"] == "bob"
    taken = client.post("/sessions", json={"session_id": "s1", **ADA})
    assert (taken.status_code, problem(taken)) == (409, "session-exists")


def test_every_operation_is_described_for_a_stranger(service: SessionService) -> None:
    found = operations(application(service))
    ids = [operation["operationId"] for _, _, operation in found]
    assert len(found) == len(set(ids)) >= 18
    for _, path, operation in found:
        assert operation["summary"]
        assert operation["description"]
        good = min(operation["responses"])
        assert (
            good == "204"
            or "$ref" in operation["responses"][good]["content"]["application/json"]["schema"]
        )
        assert "503" in operation["responses"]
        if "{session_id}" in path:
            assert operation["responses"].keys() >= {"404", "409", "422"}
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description"), (path, parameter)


def test_the_views_show_what_the_values_hold() -> None:
    def names(model: Any) -> set[str]:
        return set(model.model_fields)

    assert names(models.EntryView) == names(Entry)
    assert names(models.HeadView) == names(SessionHead)
    assert names(models.SessionView) == names(Session)
    assert names(models.PageView) == names(Page)
    assert names(models.WrittenView) == names(Applied) - {"key"} | {
        "app_name", "user_id", "session_id",
    }  # fmt: skip


def test_without_fastapi_the_import_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['fastapi'] = None\n"
        "import session_store\n"
        "try: import session_store.fastapi\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "session-store[fastapi]"' in done.stdout


def test_an_open_router_says_so_once(
    service: SessionService, caplog: pytest.LogCaptureFixture
) -> None:
    with running(service) as client:
        client.get("/sessions")
    assert [record.levelname for record in caplog.records if "open to" in record.message] == [
        "WARNING"
    ]


PAGE = Path(__file__).parents[2] / "docs" / "http.md"


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
def test_what_the_page_shows_runs(code: str, tmp_path: Path) -> None:
    check = "\nfrom fastapi.testclient import TestClient\nwith TestClient(app) as c:\n"
    check += "    print(c.get('/sessions/health').status_code, c.get('/sessions').status_code)"
    done = subprocess.run(
        [sys.executable, "-c", code + check],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout in ("200 200\n", "200 401\n")


def test_the_page_names_every_route(service: SessionService) -> None:
    page = PAGE.read_text()
    for method, path, _ in operations(application(service)):
        last = path.rpartition("/")[2]
        short = path.replace("{session_id}", "{id}")
        assert f"`{method} {short}`" in page or f"`{last}`" in page
