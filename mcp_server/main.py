"""``python -m mcp_server.main``: the MCP server over stdio, a Unix socket, or loopback HTTP.

Over stdio, stdout belongs to the protocol; whatever else is said goes to stderr. The server ends when stdin closes.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from mcp.server.stdio import stdio_server

from mcp_server import serving
from mcp_server.server import build_server


def main() -> None:
    """Read the arguments, wire, serve."""
    options = _options()
    logging.basicConfig(
        level=os.environ.get("RUNPLANE_LOG_LEVEL", "WARNING").upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        if options.listen_unix is not None:
            asyncio.run(serving.serve_unix(build_server(keeps_connection=False), options.listen_unix))
        elif options.http is not None:
            asyncio.run(serving.serve_loopback(build_server(keeps_connection=False), *options.http))
        else:
            # A thread waits for stdin, and no task can call it back: let the signals end the process, as by default.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            asyncio.run(_serve_stdio())
    except serving.CannotListen as error:
        sys.exit(f"runplane mcp: {error}")


async def _serve_stdio() -> None:
    server = build_server(keeps_connection=True)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="runplane mcp",
        description="The MCP server automagik-workflows. Without an option it speaks over stdin and stdout.",
        epilog="example: claude mcp add automagik-workflows -- runplane mcp",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--listen-unix", metavar="PATH", type=Path, help="streamable HTTP on a Unix socket, at the path /mcp"
    )
    where.add_argument(
        "--http",
        metavar="HOST:PORT",
        type=_address,
        help="streamable HTTP on a loopback address, at the path /mcp",
    )
    return parser.parse_args()


def _address(text: str) -> tuple[str, int]:
    try:
        return serving.loopback_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    main()
