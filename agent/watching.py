"""Watches one live attempt with every sample: what it uses, and whether it is stuck. Made by the keeper.

It tells nothing by itself: what is to be told of a look is handed to ``tell``.
"""

import logging
import time
from collections import deque
from collections.abc import Callable

from agent.process.tree import AttemptProcess
from agent.story import Story
from agent.watch.sampler import TreeSample, TreeSampler
from agent.watch.stuck_detector import StuckDetector
from agent.watch.verdict import Sight
from runplane.contract.run import Resources
from runplane.contract.value import Value

log = logging.getLogger("agent.watching")

IDLE_SAMPLES = 15
"""So many samples without any CPU, and a tree counts as idle."""
SELDOM_SECONDS = 6.0
_LOOKS_IN_TIME = 20
_SLACK_SECONDS = 0.1
_SAMPLES = 30


class Watching:
    """Of one attempt. ``samples``: the last ones, oldest first."""

    def __init__(
        self,
        story: Story,
        process: AttemptProcess,
        *,
        mask: Callable[[str], str],
        tell: Callable[[Value], None],
    ) -> None:
        """Nothing is looked at before :meth:`sample`."""
        self._story = story
        self._process = process
        self._tell = tell
        self._idle = 0
        self._next = 0.0
        self._sampler = TreeSampler()
        self.samples: deque[Resources] = deque(maxlen=_SAMPLES)
        self._detector: StuckDetector | None = StuckDetector(
            story.spec.stuck,
            process.directory,
            process.main.pid,
            age=process.age(),
            mask=mask,
            learned=story.spec.learned,
        )

    def sample(self) -> Resources | None:
        """The tree's resources now; None where there is no tree any more. What the look shows is told."""
        if self._process.gone.is_set():
            return None
        moment = time.monotonic()
        if moment < self._next and self.samples:
            return self.samples[-1]
        sample = self._sampler.sample(facts.pid for facts in self._process.members())
        if sample is None:
            return None
        self.samples.append(sample.resources)
        self._pace(sample, moment)
        self._look(sample)
        return sample.resources

    def longest_quiet(self) -> float | None:
        """The longest that the run printed and reported nothing, in seconds; None where nobody has looked."""
        return self._detector.longest_quiet if self._detector is not None else None

    def _pace(self, sample: TreeSample, moment: float) -> None:
        """A tree that has long done nothing is looked at more seldom, yet so that its verdict comes in time."""
        self._idle = self._idle + 1 if sample.cpu_seconds == 0.0 else 0
        if self._idle < IDLE_SAMPLES:
            self._next = 0.0
            return
        patience = self._detector.patience if self._detector is not None else SELDOM_SECONDS
        self._next = moment + min(SELDOM_SECONDS, patience / _LOOKS_IN_TIME) - _SLACK_SECONDS

    def sight(self) -> Sight | None:
        """What the last look saw; None where none was taken yet, or the run is not watched for being stuck."""
        return self._detector.last_sight if self._detector is not None else None

    def _look(self, sample: TreeSample) -> None:
        run = self._story.state.run
        if run is None or run.attempt_over or self._detector is None:
            return
        try:
            fact = self._detector.look(sample, run)
        except Exception:
            # Watching is there for the runs: where it goes wrong for one of them, all of them have to go on.
            log.exception("%s: it is no longer watched for being stuck", self._story.run_id)
            self._detector = None
            return
        if fact is not None:
            self._tell(fact)
