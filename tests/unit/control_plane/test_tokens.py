import logging
from pathlib import Path

import pytest

from control_plane.tokens import Tokens
from runplane.contract.errors import InvalidInput


def test_a_missing_token_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "home" / "token"
    tokens = Tokens.from_file(path)
    token = path.read_text().strip()
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(token) >= 32
    assert tokens.principal(token) == "operator"
    assert Tokens.from_file(path).principal(token) == "operator"


def test_a_token_file_that_others_can_read_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "token"
    path.write_text("0123456789abcdef0123456789abcdef\n")
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        Tokens.from_file(path)
    assert "chmod 600" in caplog.text
    assert "0123456789abcdef" not in caplog.text


def test_an_empty_token_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("\n")
    with pytest.raises(InvalidInput, match="empty or too short"):
        Tokens.from_file(path)


def test_the_tokens_themselves_are_not_kept() -> None:
    tokens = Tokens({"a-very-secret-token": "operator"})
    assert "a-very-secret-token" not in repr(vars(tokens))
    assert tokens.principal("") is None
