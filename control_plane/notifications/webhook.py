"""One POST to a webhook. Redirects are not followed, and of the answer no more is read than says that it is one."""

import re
from dataclasses import dataclass
from http import HTTPStatus

import httpx

MAX_ANSWER_BYTES = 64 * 1024
_SECONDS = re.compile(r"[0-9]{1,6}")
_USER_AGENT = "runplane"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the receiver said; ``status`` is None where it said nothing."""

    status: int | None = None
    error: str = ""
    retry_after: float | None = None

    @property
    def ok(self) -> bool:
        """Whether it has the notification."""
        return self.status is not None and HTTPStatus(200) <= self.status < HTTPStatus(300)

    @property
    def is_gone(self) -> bool:
        """By the specification: the receiver wants no more."""
        return self.status == HTTPStatus.GONE


async def post(url: str, body: bytes, headers: dict[str, str]) -> Answer:
    """Send it once. The caller bounds the time; errors do not tell the address."""
    headers = {**headers, "content-type": "application/json", "user-agent": _USER_AGENT}
    try:
        async with (
            httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=None) as client,  # noqa: S113 — the caller's
            client.stream("POST", url, content=body, headers=headers) as response,
        ):
            await _drain(response)
            return _answer(response)
    except httpx.HTTPError as error:
        return Answer(error=f"no answer ({type(error).__name__})")


async def _drain(response: httpx.Response) -> None:
    """Read a little, so that the receiver need not see its connection break; more is not wanted."""
    read = 0
    async for chunk in response.aiter_raw():
        read += len(chunk)
        if read > MAX_ANSWER_BYTES:
            return


def _answer(response: httpx.Response) -> Answer:
    status = response.status_code
    try:
        named = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        named = str(status)
    if response.is_success:
        return Answer(status=status)
    if response.is_redirect:
        return Answer(
            status=status, error=f"{named}: redirects are not followed, give the final address as its url"
        )
    asked = response.headers.get("retry-after", "")
    return Answer(status=status, error=named, retry_after=float(asked) if _SECONDS.fullmatch(asked) else None)
