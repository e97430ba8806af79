"""Who speaks to the control plane, for one call: over stdio this process, over HTTP whoever called.

A client is made for each call, since the address of the control plane changes when it is started anew. Over HTTP it
carries the caller's own token and never ours, so that the log names the one who asked.
"""

from collections.abc import Mapping

from runplane.client import Client, find_plane
from runplane.contract.errors import NotAuthenticated

ANSWER_WITHIN = 20.0
"""Seconds for one answer of the control plane, beyond what it was asked to wait."""


def control_plane(headers: Mapping[str, str] | None) -> Client:
    """A client for one call. ``headers`` are those of the HTTP request that made it; None over stdio."""
    place = find_plane()
    token = place.token if headers is None else token_of(headers)
    return Client(place.url, token, timeout=ANSWER_WITHIN, surface="mcp", is_supervised=place.is_supervised)


def token_of(headers: Mapping[str, str]) -> str:
    """The caller's token; :class:`NotAuthenticated` where there is none."""
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if key := headers.get("x-api-key", "").strip():
        return key
    raise NotAuthenticated("no token was given: send `Authorization: Bearer TOKEN`")
