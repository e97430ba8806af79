"""What every group of calls is made of: ask, and read the answer as the type it is said to have."""

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from runplane.client.answers import AnswerNotUnderstood
from runplane.client.wire import BASE, Wire
from runplane.contract.value import Value

Answer = TypeVar("Answer", bound=Value)


class Calls:
    """A group of calls over one wire."""

    def __init__(self, wire: Wire) -> None:
        """Nothing is asked yet."""
        self._wire = wire

    async def _view(self, kind: type[Answer], path: str, query: Mapping[str, Any] | None = None) -> Answer:
        return read(kind, await self._wire.ask("GET", f"{BASE}{path}", query=query))

    async def _items(
        self, kind: type[Answer], path: str, query: Mapping[str, Any] | None = None
    ) -> tuple[Answer, ...]:
        answer = await self._wire.ask("GET", f"{BASE}{path}", query=query)
        items = answer.get("items", ()) if isinstance(answer, dict) else answer
        return tuple(read(kind, item) for item in items or ())

    async def _order(
        self,
        kind: type[Answer],
        path: str,
        body: Any,
        *,
        key: str | None = None,
        wait: float | None = None,
        timeout: float | None = None,
        method: str = "POST",
    ) -> Answer:
        answer = await self._wire.ask(method, f"{BASE}{path}", body=body, key=key, wait=wait, timeout=timeout)
        return read(kind, answer)


def read(kind: type[Answer], answer: Any) -> Answer:
    """The answer as a value; :class:`AnswerNotUnderstood` names the field that is something else."""
    try:
        return kind.model_validate(answer)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise AnswerNotUnderstood(
            f"the control plane's answer is not understood ({where}: {first['msg']}): "
            f"are it and this program of the same version?"
        ) from None


def document(answer: Any) -> dict[str, Any]:
    return answer if isinstance(answer, dict) else {"status": answer}


def given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def part(text: str) -> str:
    """One segment of a path, whatever it contains."""
    return quote(text, safe="") or "-"
