"""Claiming a run: a compare-and-set on its facts, so that whoever loses does not start it. Called by the keeper."""

import logging

from agent import failpoint
from agent.hall import Hall
from agent.lease import clock
from agent.story import Story
from runplane.bus import CompareFailed, Expect
from runplane.contract.commands import StartRun
from runplane.contract.envelope import Envelope
from runplane.contract.events import BreakpointsSet, RunClaimed
from runplane.contract.run import Status
from runplane.contract.subjects import LOG_STREAM, run_events
from runplane.core.fold import fold

log = logging.getLogger("agent.claim")

_TRIES = 5
_TIMEOUT_SECONDS = 20.0


def claim_of(hall: Hall, story: Story, order: Envelope, start: StartRun) -> Envelope:
    """The claim that follows from an order to start.

    Its id is fresh: what is taken up again after a crash is the journaled claim, with its id, while the same order
    delivered once more is another claim, which finds that the run is not pending any more.
    """
    claimed = RunClaimed(
        host=hall.settings.host, attempt=start.attempt, boot_id=hall.boot_id, agent_id=hall.agent_id
    )
    return story.fact(claimed, cause=order, attempt=start.attempt)


async def win(hall: Hall, story: Story, claim: Envelope) -> bool:
    """Publish the claim; False when somebody else has the run or it is over. Raises ``Unavailable``."""
    expected = 0
    for _ in range(_TRIES):
        failpoint.passing("publish.before")
        try:
            sent_at = clock()
            await hall.bus.publish(
                claim, Expect(run_events(story.run_id), expected), timeout=_TIMEOUT_SECONDS
            )
        except CompareFailed:
            # The position first: what is told after it makes the next comparison fail, and counts what nobody can read.
            last = await hall.bus.last_message(LOG_STREAM, run_events(story.run_id))
            records = await hall.bus.story(story.run_id)
            told = fold(records)
            if (
                told.run is None
                or told.run.status is not Status.PENDING
                or told.run.attempt + 1 != claim.attempt
            ):
                log.info("%s is not claimed here: it is %s", story.run_id, told.status)
                return False
            await story.take_in([one for _, one in records if isinstance(one.data, BreakpointsSet)][-1:])
            expected = last.seq if last is not None else 0
        else:
            failpoint.passing("publish.after")
            hall.lease.renew(sent_at)
            story.fold(claim)
            story.published(claim)
            return True
    return False
