"""One GET of the control plane with the standard library alone: `up` and `wait-ready` start fast, and ask before there
is anybody to answer. Everything else is said by ``runplane.client``.
"""

import http.client
import json
import urllib.error
import urllib.request
from typing import Any, NamedTuple

ANSWER_WITHIN = 5.0
_direct = urllib.request.build_opener(
    urllib.request.ProxyHandler({})
)  # the control plane is never behind a proxy


class Answer(NamedTuple):
    """``status`` is 0 where nobody answered; ``body`` is None where it was no JSON."""

    status: int
    body: Any

    @property
    def is_ok(self) -> bool:
        """Whether it was a 200."""
        return self.status == http.client.OK


def get(url: str, *, token: str = "") -> Answer:
    """Ask and wait at most ``ANSWER_WITHIN`` seconds; never raises."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - looked at in the next line
        if request.type not in ("http", "https"):
            return Answer(0, None)
        with _direct.open(request, timeout=ANSWER_WITHIN) as answer:
            return Answer(answer.status, _parsed(answer.read()))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, _parsed(error.read()))
    except (OSError, http.client.HTTPException, ValueError):
        return Answer(0, None)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
