from hypothesis import given
from hypothesis import strategies as st

from control_plane.output.reader import Tail
from tests.records import NOON


def tail_of(texts: list[str], lines: int) -> str:
    from control_plane.api.documents import OutputItem

    tail = Tail(lines)
    offset = 0
    for text in texts:
        tail.take(OutputItem(stream="stdout", attempt=1, offset=offset, time=NOON, text=text))
        offset += len(text.encode())
    whole = "".join(texts).encode()
    for item in tail.items():
        assert whole[item.offset :].startswith(item.text.encode())
    return "".join(item.text for item in tail.items())


@given(st.lists(st.text(alphabet="ab\n", max_size=8), max_size=12), st.integers(0, 6))
def test_a_tail_is_the_last_lines(texts: list[str], lines: int) -> None:
    expected = "".join("".join(texts).splitlines(keepends=True)[-lines:]) if lines else ""
    assert tail_of(texts, lines) == expected
