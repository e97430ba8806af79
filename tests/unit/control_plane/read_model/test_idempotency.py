from pathlib import Path

from control_plane.read_model import IdempotencyStore, Remembered
from control_plane.read_model.idempotency import KEPT_SECONDS

ANSWER = Remembered(digest="d", status=201, response=b"{}")


def test_an_answer_is_kept_by_principal_and_key_and_the_first_one_stays(tmp_path: Path) -> None:
    store = IdempotencyStore(tmp_path / "idempotency.sqlite")
    store.put("ana", "k", ANSWER)
    store.put("ana", "k", Remembered(digest="e", status=409, response=b"other"))
    store.close()

    again = IdempotencyStore(tmp_path / "idempotency.sqlite")
    assert again.get("ana", "k") == ANSWER
    assert again.get("ben", "k") is None
    again.close()


def test_an_answer_is_forgotten_after_a_day(tmp_path: Path) -> None:
    now = 1000.0
    store = IdempotencyStore(tmp_path / "idempotency.sqlite", clock=lambda: now)
    store.put("ana", "k", ANSWER)
    now += KEPT_SECONDS + 1
    assert store.get("ana", "k") is None
    fresh = Remembered(digest="f", status=200, response=b"")
    store.put("ana", "k", fresh)
    assert store.get("ana", "k") == fresh
    store.close()
