"""Settings from the environment and a ``.env`` file; the environment comes first."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, Self

from dotenv import dotenv_values
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from session_store.backends import FORMS, Storage, storage_at, storage_of
from session_store.backends.sql.names import checked_names
from session_store.core.expiration import DEFAULT_EXPIRATION_HOURS, MAX_INTERVAL
from session_store.errors import SettingsError

PREFIX: Final = "SESSION_"
MAX_MINUTES: Final = MAX_INTERVAL.total_seconds() / 60


class Settings(BaseModel):
    """What ``create_session_service`` needs to know; each field is ``SESSION_<NAME>``.

    The descriptions say what can be used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    persistence_enabled: bool = Field(True, description="true or false")
    storage_type: Literal["file", "sqlite", "postgresql"] = Field(
        "file", description="file, sqlite or postgresql"
    )
    storage_path: str = Field("./data/sessions", min_length=1, description="a path")
    storage_url: str | None = Field(None, repr=False, validate_default=True, description=FORMS)
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
    archive_path: str | None = Field(None, description="a path")
    archive_completed_days: float | None = Field(
        None, gt=0, le=36_525, description="a number of days above 0, or never"
    )
    archive_retention_days: float | None = Field(
        None, gt=0, le=36_525, description="a number of days above 0, or never"
    )
    auto_save: bool = Field(True, description="true or false")
    pool_size: int = Field(5, ge=1, le=1000, description="a number of connections, 1 to 1000")
    sqlite_synchronous: Literal["FULL", "NORMAL"] = Field("FULL", description="FULL or NORMAL")
    postgres_schema: str | None = Field(
        None, description="a schema's name: a-z, 0-9 and _, no digit first"
    )
    postgres_table_prefix: str = Field("", description="up to 20 of a-z, 0-9 and _, no digit first")
    postgres_timeout_seconds: float = Field(
        30, gt=0, le=86_400, description="a number of seconds above 0, up to a day"
    )
    postgres_pooler: bool = Field(False, description="true or false")

    @field_validator(
        "expiration_hours",
        "cleanup_interval_minutes",
        "archive_completed_days",
        "archive_retention_days",
        mode="before",
    )
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
    def _known(cls, url: str | None, info: ValidationInfo) -> str | None:
        """PostgreSQL has no other place, and must not become an SQLite file by its URL."""
        type_ = None if url is None else storage_of(url).type
        if info.data.get("storage_type") == "postgresql" and type_ != "postgresql":
            raise ValueError("no URL of a PostgreSQL database")
        return url

    @field_validator("postgres_schema")
    @classmethod
    def _schema(cls, schema: str | None) -> str | None:
        return checked_names(schema, "").schema

    @field_validator("postgres_table_prefix")
    @classmethod
    def _prefix(cls, prefix: str) -> str:
        return checked_names(None, prefix).prefix

    @property
    def storage(self) -> Storage:
        """Where these settings keep sessions when they do."""
        if self.storage_url:
            return storage_of(self.storage_url)
        return storage_at(self.storage_type, self.storage_path)

    @classmethod
    def load(
        cls,
        env_file: str | os.PathLike[str] | None = ".env",
        environ: Mapping[str, str] = os.environ,
    ) -> Self:
        """The settings of ``environ``, then of ``env_file`` (none if it is missing), then defaults.

        An empty value means the default. For the type ``postgresql``, ``DATABASE_URL`` stands in
        for a missing ``SESSION_STORAGE_URL``. ``SettingsError`` names each wrong variable.
        """
        values = {**_read(env_file), **environ}
        named = {name: values.get(PREFIX + name.upper()) for name in cls.model_fields}
        if named["storage_type"] == "postgresql":
            named["storage_url"] = named["storage_url"] or values.get("DATABASE_URL")
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
