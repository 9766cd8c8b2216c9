"""Settings from the environment and a ``.env`` file; the environment comes first."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, Self

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from session_store.backends import FORMS, storage_of
from session_store.errors import SettingsError
from session_store.reader import DEFAULT_EXPIRATION_HOURS
from session_store.service import MAX_INTERVAL

PREFIX: Final = "SESSION_"
MAX_MINUTES: Final = MAX_INTERVAL.total_seconds() / 60


class Settings(BaseModel):
    """What ``create_session_service`` needs to know; each field is ``SESSION_<NAME>``.

    The descriptions say what can be used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    persistence_enabled: bool = Field(True, description="true or false")
    storage_type: Literal["file", "sqlite"] = Field("file", description="file or sqlite")
    storage_path: str = Field("./data/sessions", min_length=1, description="a path")
    storage_url: str | None = Field(None, repr=False, description=FORMS)
    expiration_hours: float | None = Field(
        DEFAULT_EXPIRATION_HOURS,
        gt=0,
        allow_inf_nan=False,
        description="a number of hours above 0, or never",
    )
    expiration_policy: Literal["idle", "absolute"] = Field("idle", description="idle or absolute")
    cleanup_interval_minutes: float | None = Field(
        60, gt=0, le=MAX_MINUTES, description="a number of minutes above 0, up to a year, or never"
    )
    auto_save: bool = Field(True, description="true or false")
    sqlite_synchronous: Literal["FULL", "NORMAL"] = Field("FULL", description="FULL or NORMAL")

    @field_validator("expiration_hours", "cleanup_interval_minutes", mode="before")
    @classmethod
    def _never(cls, value: object) -> object:
        return None if value == "never" else value

    @field_validator("expiration_hours")
    @classmethod
    def _whole(cls, hours: float | None) -> float | None:
        """168 stays 168 in the statistics."""
        return int(hours) if hours is not None and hours.is_integer() else hours

    @field_validator("storage_url")
    @classmethod
    def _known(cls, url: str | None) -> str | None:
        if url is not None:
            storage_of(url)
        return url

    @classmethod
    def load(
        cls,
        env_file: str | os.PathLike[str] | None = ".env",
        environ: Mapping[str, str] = os.environ,
    ) -> Self:
        """The settings of ``environ``, then of ``env_file`` (none if it is missing), then defaults.

        An empty value means the default. ``SettingsError`` names each wrong variable.
        """
        values = {**_read(env_file), **environ}
        named = {name: values.get(PREFIX + name.upper()) for name in cls.model_fields}
        try:
            return cls(**{name: value for name, value in named.items() if value})
        except ValidationError as error:
            raise SettingsError(_explained(error)) from None


def _read(env_file: str | os.PathLike[str] | None) -> dict[str, str | None]:
    if env_file is None or not Path(env_file).is_file():
        return {}
    try:
        return dict(dotenv_values(env_file))
    except (OSError, ValueError) as error:
        problem = f"{os.fspath(env_file)} can't be read ({type(error).__name__})"
        raise SettingsError(f"{problem}; it must be a readable text file in UTF-8") from None


def _explained(error: ValidationError) -> str:
    return "; ".join(_wrong(str(problem["loc"][0]), problem["input"]) for problem in error.errors())


def _wrong(name: str, value: object) -> str:
    """Which variable is wrong, and what can be used; a URL may hold a password and is not shown."""
    field = Settings.model_fields[name]
    shown = f"={value!r}" if field.repr else ""
    return f"{PREFIX}{name.upper()}{shown} can't be used; it must be: {field.description}"
