"""``runplane mcp``: the tools for an MCP client, over standard input and output."""

import click

from runplane.cli.program import become


@click.command(epilog="Example: claude mcp add automagik-workflows -- runplane mcp")
@click.option(
    "--url", default="", envvar="RUNPLANE_URL", help="The control plane.  [default: the one of the home]"
)
@click.option("--http", default="", metavar="HOST:PORT", help="Streamable HTTP on loopback instead of stdio.")
def mcp(*, url: str, http: str) -> None:
    """Serve the tools over stdio. They speak to the control plane over HTTP alone."""
    become("mcp_server.main", {"RUNPLANE_URL": url}, arguments=["--http", http] if http else [])
