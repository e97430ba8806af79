"""``notifications.yaml``: what a person writes, every field checked, every error naming field, value and what to do.

Secrets stand in it by reference alone, ``secret:NAME`` or ``env:NAME``; a plain one is refused, and not repeated.
"""

import fnmatch
import re
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, field_validator, model_validator

from runplane.contract.ids import NAME_PATTERN
from runplane.contract.units import Seconds
from runplane.contract.value import StrictValue

About = Literal["stuck", "failed", "killed", "timed_out", "lost", "decision"]
ABOUT: tuple[About, ...] = get_args(About)
REFERENCE = re.compile(r"(secret|env):([A-Za-z_][A-Za-z0-9_]{0,127})")
MOST_TARGETS = 50
LONGEST_RETRY_SECONDS = 86_400.0

TargetName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]


class Retry(StrictValue):
    """When a notification that could not be delivered is tried again: after ``first``, then ``factor`` times longer, at
    most ``longest``, and after ``attempts`` in all no more.
    """

    first: Annotated[Seconds, Field(ge=0.1, le=LONGEST_RETRY_SECONDS)] = 5.0
    factor: Annotated[float, Field(ge=1, le=10)] = 4.0
    longest: Annotated[Seconds, Field(ge=0.1, le=LONGEST_RETRY_SECONDS)] = 3600.0
    attempts: Annotated[int, Field(ge=1, le=20)] = 10


class Target(StrictValue):
    """Who is told: a webhook (``url``, with the ``secret`` that signs it) or an ``apprise`` address, and of what."""

    name: TargetName
    url: str | None = None
    secret: str | None = None
    apprise: str | None = None
    on: Annotated[tuple[About, ...], Field(min_length=1)] = ABOUT
    workflows: Annotated[tuple[str, ...], Field(min_length=1, max_length=100)] = ("*",)
    timeout: Annotated[Seconds, Field(ge=0.1, le=30)] = 10.0

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str | None) -> str | None:
        if url is not None and not REFERENCE.fullmatch(url):
            check_address(url)
        return url

    @field_validator("secret", "apprise")
    @classmethod
    def _is_reference(cls, value: str | None) -> str | None:
        if value is not None and not REFERENCE.fullmatch(value):
            raise ValueError(
                "is no reference, and a secret has no place in this file: write secret:NAME and put the value into "
                "secrets/NAME in the home, or env:NAME for a variable of the control plane"
            )
        return value

    @model_validator(mode="after")
    def _goes_one_way(self) -> "Target":
        if (self.url is None) == (self.apprise is None):
            raise ValueError(
                f"{self.name}: give either url (a webhook) or apprise (secret:NAME), one of them"
            )
        if self.url is not None and self.secret is None:
            raise ValueError(
                f"{self.name}: a webhook is signed: give secret: secret:NAME (made by "
                "`echo whsec_$(head -c 32 /dev/urandom | base64)`)"
            )
        return self

    def wants(self, about: About, workflow: str) -> bool:
        """Whether it is told of this, of a run of this workflow."""
        return about in self.on and any(fnmatch.fnmatchcase(workflow, pattern) for pattern in self.workflows)


class Notifications(StrictValue):
    """The whole file. ``dashboard``: the address that people reach the dashboard by, for the link in a notification."""

    targets: Annotated[tuple[Target, ...], Field(max_length=MOST_TARGETS)] = ()
    retry: Retry = Retry()
    dashboard: str | None = None

    @field_validator("dashboard")
    @classmethod
    def _dashboard_is_address(cls, url: str | None) -> str | None:
        if url is not None:
            check_address(url)
        return url.rstrip("/") if url is not None else None

    @model_validator(mode="after")
    def _names_differ(self) -> "Notifications":
        names = [target.name for target in self.targets]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"targets: the name {twice[0]} is there twice: each target has a name of its own"
            )
        return self

    def target(self, name: str) -> Target | None:
        """The target of that name."""
        return next((target for target in self.targets if target.name == name), None)


def check_address(url: str) -> None:
    """ValueError unless it is an http or https address; the value is not repeated, for it may hold a password."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\x00-\x20]", url):
        raise ValueError(
            f"is no web address ({parts.scheme or 'no scheme'}): write it like https://example.com/hook"
        )


def place_of(target: Target) -> str:
    """Where a target is, as far as everybody may see it."""
    address = target.url or target.apprise or ""
    if REFERENCE.fullmatch(address):
        return address
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
