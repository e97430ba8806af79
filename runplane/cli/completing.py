"""Arguments that a shell can complete from the running system. Completion never fails and never takes long."""

import asyncio
from collections.abc import Awaitable, Callable

import click
from click.shell_completion import CompletionItem

from runplane.contract.ids import is_run_id

WITHIN = 1.0


class RunArgument(click.ParamType[str]):
    """A run id."""

    name = "run"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The id, checked for its form."""
        text = str(value)
        if not is_run_id(text):
            self.fail(
                f"{text[:80]!r} is no run id: one looks like run_0dcbc991c0d4 (`runplane ps --all` lists them)",
                param,
                ctx,
            )
        return text

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """The newest runs."""
        from runplane.client import Client

        async def ask(client: Client) -> list[CompletionItem]:
            page = await client.list_runs(limit=50)
            return [CompletionItem(run.run_id, help=f"{run.workflow} {run.status}") for run in page.items]

        return _offered(ask, incomplete)


class WorkflowArgument(click.ParamType[str]):
    """A workflow's name."""

    name = "workflow"

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """The registry."""
        from runplane.client import Client

        async def ask(client: Client) -> list[CompletionItem]:
            return [
                CompletionItem(found.name, help=found.definition.description)
                for found in await client.workflows()
            ]

        return _offered(ask, incomplete)


class HostArgument(click.ParamType[str]):
    """A host's id."""

    name = "host"

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """The fleet."""
        from runplane.client import Client

        async def ask(client: Client) -> list[CompletionItem]:
            return [CompletionItem(host.host_id, help=host.status) for host in await client.hosts()]

        return _offered(ask, incomplete)


def _offered(ask: Callable[..., Awaitable[list[CompletionItem]]], incomplete: str) -> list[CompletionItem]:
    from runplane.cli.session import talk
    from runplane.client import Client

    async def within(client: Client) -> list[CompletionItem]:
        return await asyncio.wait_for(ask(client), WITHIN)

    try:
        return [item for item in talk(within) if str(item.value).startswith(incomplete)]
    except Exception:  # noqa: BLE001 - a shell that completes must never show an error
        return []
