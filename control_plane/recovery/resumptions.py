"""Works out where a run can go on, and puts it into the object store. Called where an attempt is ordered that resumes.

What is put there is one document: the steps with their results, and which checkpoint is the last. The order to start
names it by its digest, so that a host needs nothing of another's story, and the same story gives the same document.
"""

import json
import logging
from datetime import timedelta
from typing import Any

from runplane.bus import Bus
from runplane.contract.errors import Unavailable
from runplane.contract.run import Resumption
from runplane.core.resumption import merged, recorded

PATIENCE = timedelta(seconds=30)
"""For so long an attempt that resumes waits for large results that a host has not brought to the broker yet."""
log = logging.getLogger("control_plane.recovery")


class Resumptions:
    """Of any run."""

    def __init__(self, bus: Bus) -> None:
        """Nothing is asked yet."""
        self._bus = bus

    async def of(self, run_id: str, *, patient: bool = True) -> Resumption:
        """Where the run's last attempt can be gone on from.

        Unavailable: not all that its host told of is in the object store yet; without ``patient`` that does not matter.
        """
        left = recorded(await self._bus.story(run_id))
        before: list[dict[str, Any]] = []
        if left.given is not None:
            data = await self._bus.objects.get(left.given.digest)
            if data is None:
                return left.given  # whoever is to begin with it says that it is not there
            before = json.loads(data).get("steps") or []
        steps = merged(before, left)
        if patient:
            await self._all_there(steps)
        document = {"steps": steps, "sequential": left.sequential}
        digest = await self._bus.objects.keep(json.dumps(document, sort_keys=True).encode())
        return Resumption(
            digest=digest,
            origin=left.given.origin if left.given is not None else run_id,
            steps=sum(1 for step in steps if step.get("state") == "completed"),
            checkpoint=left.checkpoint,
        )

    async def _all_there(self, steps: list[dict[str, Any]]) -> None:
        for step in steps:
            result = step.get("result")
            digest = result.get("$object") if isinstance(result, dict) else None
            if isinstance(digest, str) and not await self._bus.objects.has(digest):
                raise Unavailable(f"the result of step {step['name']} has not been brought to the broker yet")
