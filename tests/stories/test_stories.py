"""Every story file tells what follows. ``pytest tests/stories --regenerate-stories`` writes what follows now."""

from pathlib import Path

import pytest

from tests.stories.story import parse, retell

STORIES = sorted(Path(__file__).parent.glob("*.story"))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_story(path: Path, request: pytest.FixtureRequest) -> None:
    text = path.read_text()
    told = retell(text)
    if request.config.getoption("--regenerate-stories", default=False):
        path.write_text(told)
        return
    assert text == told, (
        f"{path.name} tells otherwise: see the diff of pytest tests/stories --regenerate-stories"
    )


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_a_story_says_what_it_is_about(path: Path) -> None:
    head, blocks = parse(path.read_text())

    assert head
    assert blocks[0].kind == "given"
    assert any(block.kind == "when" for block in blocks)
