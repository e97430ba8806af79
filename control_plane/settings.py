"""The control plane's settings, from its environment. Nothing is read from anywhere else."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runplane.contract.errors import InvalidInput

DEFAULT_PORT = 28881
_TRUE = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the environment says. ``nats_url`` may carry credentials: it is kept out of the repr."""

    home: Path
    nats_url: "Secret"
    nats_sys_url: "Secret | None"
    token_file: Path
    listen: str
    port: int
    workflows: Path | None
    allowed_hosts: tuple[str, ...]
    allow_unsynced: bool

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the settings; InvalidInput names the variable, its value and what it should be."""
        home = Path(environ.get("RUNPLANE_HOME") or "~/.runplane").expanduser().absolute()
        nats_url = environ.get("RUNPLANE_NATS_URL", "")
        if not nats_url:
            raise InvalidInput(
                "RUNPLANE_NATS_URL is not set: give the address of the broker, like "
                "nats://user:password@127.0.0.1:4222, or start everything with `runplane up`",
                field="RUNPLANE_NATS_URL",
            )
        sys_url = environ.get("RUNPLANE_NATS_SYS_URL", "")
        workflows = environ.get("RUNPLANE_WORKFLOWS", "")
        return cls(
            home=home,
            nats_url=Secret(nats_url),
            nats_sys_url=Secret(sys_url) if sys_url else None,
            token_file=Path(environ.get("RUNPLANE_TOKEN_FILE") or home / "token").expanduser().absolute(),
            listen=_address(environ.get("RUNPLANE_LISTEN") or "127.0.0.1"),
            port=_port(environ.get("RUNPLANE_PORT") or str(DEFAULT_PORT)),
            workflows=Path(workflows).expanduser().absolute() if workflows else None,
            allowed_hosts=_names(environ.get("RUNPLANE_ALLOWED_HOSTS", "")),
            allow_unsynced=environ.get("RUNPLANE_ALLOW_UNSYNCED", "").lower() in _TRUE,
        )

    @property
    def directory(self) -> Path:
        """Where the control plane keeps its files."""
        return self.home / "control_plane"

    @property
    def read_model(self) -> Path:
        """The read model's file."""
        return self.directory / "read_model.sqlite"

    @property
    def history(self) -> Path:
        """The file of what runs used."""
        return self.directory / "history.sqlite"

    @property
    def idempotency(self) -> Path:
        """The file of answers by idempotency key."""
        return self.directory / "idempotency.sqlite"


class Secret(str):
    """Text that does not show in a repr, and so not in a traceback or a log line that prints one."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Never the text."""
        return "Secret(…)"


def _address(text: str) -> str:
    if text == "localhost":
        return text
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise InvalidInput(
            f"RUNPLANE_LISTEN={text!r} is no address: use 127.0.0.1, or the address of one interface",
            field="RUNPLANE_LISTEN",
            value=text,
        ) from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _port(text: str) -> int:
    if text.isdecimal() and int(text) <= 65_535:  # noqa: PLR2004
        return int(text)
    raise InvalidInput(
        f"RUNPLANE_PORT={text!r} is no port: use a number from 1 to 65535, or 0 for any free one",
        field="RUNPLANE_PORT",
        value=text,
    )
