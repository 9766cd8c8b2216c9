"""An interview co-pilot: four agents over sessions that outlive the process.

    uvicorn examples.interview_copilot.main:app

``.env`` alone says where sessions are kept. The routes under /sessions are the router's; this
module adds one of its own, on the service: a turn with an agent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Path
from pydantic import BaseModel, Field

from examples.interview_copilot.agents import AGENTS, HEARS_ALL, Said, Turn
from session_store import (
    AsyncSessionService,
    NewEntry,
    Session,
    SessionNotFoundError,
    StaleSessionError,
    Status,
    create_session_service,
)
from session_store.fastapi import session_router
from session_store.session import ARTIFACT

DESCRIPTION = "Practise interviews; pause, and go on after a restart."


def current_user(authorization: Annotated[str, Header()] = "") -> str:
    """Who calls. Here the token is the name: put your own check in its place."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise HTTPException(401, "Send an Authorization header: Bearer <your name>")
    return token


User = Annotated[str, Depends(current_user)]


class Words(BaseModel):
    text: str = Field(min_length=1, max_length=10_000)


class Answer(BaseModel):
    agent: str
    reply: str
    artifacts: list[dict[str, Any]]


service = create_session_service()
sessions = AsyncSessionService(service)

app = FastAPI(title="Interview co-pilot", description=DESCRIPTION)
app.include_router(session_router(service, user_id=Depends(current_user)))


@app.post("/sessions/{session_id}/turns/{agent}")
async def take_turn(
    session_id: str,
    agent: Annotated[str, Path(pattern=f"^({'|'.join(AGENTS)})$")],
    words: Words,
    user: User,
    idempotency_key: Annotated[str, Header(min_length=1, max_length=200)],
) -> Answer:
    """Say something to an agent. Sent again under its key, it is answered as the first time."""
    for _ in range(5):
        session = await loaded(session_id, user)
        if answer := answered_before(session, agent, idempotency_key):
            return answer
        if session.status is Status.PAUSED:
            raise HTTPException(409, "The session is paused: resume it first")
        turn = AGENTS[agent](words.text, list(said(session, agent)))
        try:
            await keep(session, agent, words.text, turn, idempotency_key)
        except StaleSessionError:
            continue  # somebody spoke meanwhile, which the agent must hear first
        return Answer(agent=agent, reply=turn.reply, artifacts=shown(turn.artifacts))
    raise HTTPException(409, "Too many speak at once; try again")


async def loaded(session_id: str, user: str) -> Session:
    try:
        return await sessions.get_session(session_id, user_id=user)
    except SessionNotFoundError:
        raise HTTPException(404, "You have no such session") from None


async def keep(session: Session, agent: str, text: str, turn: Turn, key: str) -> None:
    """Both sides of the turn and what it produced, all or none, if nobody spoke meanwhile.

    An agent's document is a summary: where it stands, it finds in the history itself, so nothing is
    lost when the process ends between the two calls.
    """
    about = {"agent": agent}
    messages = [
        NewEntry(payload={"role": "user", "text": text, **about}, entry_id=f"{key}/user"),
        NewEntry(payload={"role": "agent", "text": turn.reply, **about}, entry_id=f"{key}/agent"),
    ]
    artifacts = [
        NewEntry(kind=ARTIFACT, payload={**artifact, **about}, entry_id=f"{key}/{number}")
        for number, artifact in enumerate(shown(turn.artifacts))
    ]
    _, user, session_id = session.key
    await sessions.append(
        session_id, messages + artifacts, user_id=user, expected_version=session.version
    )
    if turn.memory:
        await sessions.update_agent_state(session_id, agent, turn.memory, user_id=user)


def said(session: Session, agent: str) -> Iterator[Said]:
    """The messages that the agent may know."""
    for entry in session.messages:
        message = Said(**entry.payload)
        if agent in HEARS_ALL or message.agent == agent:
            yield message


def answered_before(session: Session, agent: str, key: str) -> Answer | None:
    """The answer to a request that came before under this key."""
    payloads = {entry.entry_id: entry.payload for entry in session.entries}
    if f"{key}/agent" not in payloads:
        return None
    artifacts = [
        {name: payload[name] for name in ("type", "payload")}
        for number in range(len(payloads))
        if (payload := payloads.get(f"{key}/{number}"))
    ]
    return Answer(agent=agent, reply=payloads[f"{key}/agent"]["text"], artifacts=artifacts)


def shown(artifacts: Sequence[tuple[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": type_, "payload": payload} for type_, payload in artifacts]
