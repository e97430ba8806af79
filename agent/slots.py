"""How many attempts this host takes at once. Used by the supervisor and whoever pulls new runs."""

import asyncio


class Slots:
    """Counts attempts; recovered ones are counted even beyond the limit, since they are there."""

    def __init__(self, total: int) -> None:
        """``total``: how many at once."""
        self.total = total
        self.used = 0
        self._freed = asyncio.Event()

    async def take(self) -> None:
        """Wait for a free slot and take it."""
        while not self.try_take():
            self._freed.clear()
            await self._freed.wait()

    def try_take(self) -> bool:
        """Take a slot if one is free."""
        if self.used >= self.total:
            return False
        self.used += 1
        return True

    def occupy(self) -> None:
        """Count an attempt that is there already."""
        self.used += 1

    def free(self) -> None:
        """Give one back."""
        self.used -= 1
        self._freed.set()
