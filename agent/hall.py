"""What the keepers of runs share: the composition root makes one, the supervisor hands it on."""

import asyncio
from dataclasses import dataclass, field

from agent.file_watcher import FileWatcher
from agent.lease import Lease
from agent.outbox.journal import Journal
from agent.outbox.output_shipper import OutputShipper
from agent.outbox.publisher import Publisher
from agent.process.launcher import Launcher
from agent.settings import Settings
from runplane.bus import Bus
from runplane.contract.run import Actor

MOST_DIAGNOSES = 2
"""Taken at once on this host: when a hundred runs get stuck together, looking at them must not be felt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hall:
    """The agent's parts. ``agent_id`` names this start of the agent, ``boot_id`` this start of the machine."""

    settings: Settings
    agent_id: str
    boot_id: str
    bus: Bus
    journal: Journal
    publisher: Publisher
    shipper: OutputShipper
    launcher: Launcher
    watcher: FileWatcher
    lease: Lease
    diagnoses: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_DIAGNOSES))

    @property
    def source(self) -> str:
        """The source of this agent's facts."""
        return f"host/{self.settings.host}"

    @property
    def policy(self) -> Actor:
        """The actor of what the agent does by itself."""
        return Actor(principal=f"host:{self.settings.host}", surface="policy")
