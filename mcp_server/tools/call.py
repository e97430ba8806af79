"""What a tool is given beside its arguments: a client for the caller, and a way to say how far it is."""

from collections.abc import Awaitable, Callable

from mcp_server.waiting import Tell
from runplane.client import Client
from runplane.contract.errors import InvalidInput, NotFound
from runplane.contract.ids import is_host_id, is_run_id
from runplane.contract.run import Run

Report = Callable[[float, float | None, str | None], Awaitable[None]]


class Call:
    """One tool call. ``report(progress, total, message)`` is a no-op unless the caller asked for progress."""

    def __init__(self, *, connect: Callable[[], Client], report: Report) -> None:
        """Nothing is connected before ``client`` is asked for, so that arguments can be refused without it."""
        self._connect = connect
        self._client: Client | None = None
        self.report = report

    @property
    def client(self) -> Client:
        """The caller's client; :class:`Unavailable` where it is not known whom to connect to."""
        if self._client is None:
            self._client = self._connect()
        return self._client

    async def close(self) -> None:
        """Close the client, if one was needed."""
        if self._client is not None:
            await self._client.close()

    def telling(self, what: str, limit: float) -> Tell:
        """Progress while waiting: seconds waited, of the limit, and how the run stands."""

        async def tell(run: Run, waited: float) -> None:
            await self.report(round(min(waited, limit), 3), limit, f"{run.run_id} is {run.status}; {what}")

        return tell

    async def silence(self, run: Run, waited: float) -> None:
        """A teller that says nothing, for one wait of several."""

    async def run(self, run_id: str) -> Run:
        """The run with that id; the error for an unknown one names it and what to do."""
        checked = run_id_of(run_id)
        try:
            return await self.client.get_run(checked)
        except NotFound:
            raise unknown_run(checked) from None


def run_id_of(text: str) -> str:
    """The run id that was given, or an error that says what one looks like."""
    run_id = text.strip()
    if not is_run_id(run_id):
        raise InvalidInput(
            f"{text[:80]!r} is not a run id (one looks like run_0dcbc991c0d4), so nothing was done. "
            "Call list_recent_runs to see the runs.",
            code="invalid_run_id",
        )
    return run_id


def host_id_of(text: str) -> str:
    """The host id that was given, or an error that says what to do."""
    if not is_host_id(text):
        raise InvalidInput(
            f"{text[:80]!r} is not a host id. Call list_hosts to see the hosts.", code="invalid_host_id"
        )
    return text


def unknown_run(run_id: str) -> NotFound:
    """The error for a run that does not exist here."""
    return NotFound(
        f"There is no run {run_id} here, so nothing was done. Call list_recent_runs to see the runs that exist.",
        code="unknown_run",
        run_id=run_id,
    )
