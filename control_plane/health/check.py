"""One finding about one part: what was found, the figures behind it, and what to do.

``ok`` needs nothing. ``degraded`` still serves, and somebody should look. ``failed`` does not serve. Whatever is not
``ok`` says in ``todo`` what to type or change next; a person reads it at three in the morning.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Standing = Literal["ok", "degraded", "failed"]


class Check(BaseModel):
    """One thing that was looked at, its figures, and what to do next; ``todo`` is empty where nothing is to be done."""

    model_config = ConfigDict(frozen=True)

    name: str
    status: Standing
    detail: str
    todo: str = ""
    figures: dict[str, JsonValue] = Field(default_factory=dict)


def ok(name: str, detail: str, **figures: JsonValue) -> Check:
    """All is well."""
    return Check(name=name, status="ok", detail=detail, figures=figures)


def degraded(name: str, detail: str, todo: str, **figures: JsonValue) -> Check:
    """It serves, and somebody should look."""
    return Check(name=name, status="degraded", detail=detail, todo=todo, figures=figures)


def failed(name: str, detail: str, todo: str, **figures: JsonValue) -> Check:
    """It does not serve."""
    return Check(name=name, status="failed", detail=detail, todo=todo, figures=figures)
