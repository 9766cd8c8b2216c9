"""Four agents of an interview co-pilot, as plain functions: no model, no key, no chance.

Each is given what was said and its own part of the history, and answers with a ``Turn``. None knows
how or where sessions are kept. Put calls of a model in their place, and the rest stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias


@dataclass(frozen=True)
class Turn:
    """What an agent says, what it remembers in its document, and what it produced."""

    reply: str
    memory: dict[str, Any] = field(default_factory=dict)
    artifacts: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Said:
    """One message of the history: ``agent`` is whose conversation it belongs to."""

    role: str
    agent: str
    text: str


Agent: TypeAlias = Callable[[str, Sequence[Said]], Turn]

QUESTIONS: Final = (
    "Tell me about yourself.",
    "Tell me about a conflict in a team, and what you did.",
    "What is a project that you are proud of?",
    "Why do you want to work here?",
)

TECHNICAL: Final[Mapping[str, frozenset[str]]] = {
    "How do you find out why a database query is slow?": frozenset(
        ("explain", "index", "plan", "statistics", "lock")
    ),
    "What happens between typing a URL and seeing the page?": frozenset(
        ("dns", "tcp", "tls", "http", "render")
    ),
    "How do you deploy without downtime?": frozenset(
        ("health", "rolling", "migration", "rollback", "load")
    ),
}

SKILLS: Final = frozenset(
    ("aws", "docker", "fastapi", "go", "java", "kubernetes", "linux", "postgresql", "python", "sql")
)


def mock_interview(text: str, history: Sequence[Said]) -> Turn:
    """Asks one question after the other, and says what an answer lacks."""
    asked = sum(one.role == "agent" for one in history)
    if asked == 0:
        return Turn(QUESTIONS[0], {"asked": 1})
    feedback = _feedback(text)
    score = 5 - len(feedback)
    artifact = ("feedback", {"question": QUESTIONS[asked - 1], "score": score, "missing": feedback})
    if asked == len(QUESTIONS):
        return Turn(f"{_sentence(feedback)} That was the last question.", {}, (artifact,))
    reply = f"{_sentence(feedback)} {QUESTIONS[asked]}"
    return Turn(reply, {"asked": asked + 1}, (artifact,))


def research(text: str, history: Sequence[Said]) -> Turn:
    """Reads the advertisement of a job: which skills it names, and what to prepare for each."""
    skills = sorted(set(_words(text)) & SKILLS)
    if not skills:
        return Turn("Paste the text of the advertisement; I look for the skills that it names.")
    topics = [f"a project in which you used {skill}, with a figure" for skill in skills]
    reply = f"It asks for {', '.join(skills)}. Prepare: {'; '.join(topics)}."
    return Turn(reply, {"skills": skills}, (("brief", {"skills": skills, "topics": topics}),))


def technical(text: str, history: Sequence[Said]) -> Turn:
    """Asks a technical question, and says which points of a good answer were named."""
    asked = sum(one.role == "agent" for one in history)
    questions = list(TECHNICAL)
    if asked == 0:
        return Turn(questions[0], {"asked": 1})
    question = questions[(asked - 1) % len(questions)]
    named = sorted(TECHNICAL[question] & set(_words(text)))
    missing = sorted(TECHNICAL[question] - set(named))
    review = {"question": question, "named": named, "missing": missing}
    following = questions[asked % len(questions)]
    reply = f"You named {len(named)} of {len(TECHNICAL[question])} points. {following}"
    return Turn(reply, {"asked": asked + 1}, (("review", review),))


def companion(text: str, history: Sequence[Said]) -> Turn:
    """Sits beside the candidate in the interview: which earlier answer fits what is asked now."""
    asked = set(_words(text))
    own = [one.text for one in history if one.role == "user"]
    best = max(own, key=lambda answer: len(asked & set(_words(answer))), default="")
    if not asked & set(_words(best)):
        return Turn("Nothing that you practised fits. Take a breath, and ask what they mean by it.")
    return Turn(f"You practised this: {best}")


AGENTS: Final[Mapping[str, Agent]] = {
    "mock": mock_interview,
    "research": research,
    "technical": technical,
    "companion": companion,
}

HEARS_ALL: Final = frozenset(("companion",))
"""Agents that are given the whole conversation, and not only their own part."""


def _feedback(answer: str) -> list[str]:
    """What a good answer has and this one lacks."""
    words = _words(answer)
    wanted = {
        "more than a sentence": len(words) >= 20,  # noqa: PLR2004
        "a figure": bool(re.search(r"\d", answer)),
        "what you did yourself": "i" in words,
        "what came of it": bool({"so", "result", "then", "finally", "therefore"} & set(words)),
    }
    return [name for name, is_there in wanted.items() if not is_there]


def _sentence(missing: Sequence[str]) -> str:
    return f"It lacks {', '.join(missing)}." if missing else "A good answer."


def _words(text: str) -> list[str]:
    words: list[str] = re.findall(r"[a-z]+", text.lower())
    return [word for word in words if len(word) > 2 or word in ("i", "so", "go")]  # noqa: PLR2004
