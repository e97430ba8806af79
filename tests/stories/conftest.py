"""``pytest tests/stories --regenerate-stories`` writes every ``then`` anew; read the diff before you keep it."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate-stories", action="store_true", help="write every `then` of the stories anew"
    )
