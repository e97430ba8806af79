from pathlib import Path

import pytest

from control_plane.settings import Settings
from runplane.contract.errors import InvalidInput

URL = {"RUNPLANE_NATS_URL": "nats://user:hidden@127.0.0.1:4222"}


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ana")
    settings = Settings.from_environment(URL)

    assert (settings.listen, settings.port, settings.workflows) == ("127.0.0.1", 28881, None)
    assert settings.token_file == Path("/home/ana/.runplane/token")
    assert settings.read_model == Path("/home/ana/.runplane/control_plane/read_model.sqlite")
    assert not settings.allow_unsynced


def test_everything_can_be_said(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {
            **URL,
            "RUNPLANE_HOME": str(tmp_path),
            "RUNPLANE_NATS_SYS_URL": "nats://sys@127.0.0.1",
            "RUNPLANE_TOKEN_FILE": str(tmp_path / "t"),
            "RUNPLANE_LISTEN": "::1",
            "RUNPLANE_PORT": "0",
            "RUNPLANE_WORKFLOWS": str(tmp_path / "w"),
            "RUNPLANE_ALLOW_UNSYNCED": "1",
            "RUNPLANE_ALLOWED_HOSTS": "plane.example, other:8080,",
        }
    )

    assert (settings.listen, settings.port, settings.allow_unsynced) == ("::1", 0, True)
    assert settings.allowed_hosts == ("plane.example", "other:8080")
    assert settings.workflows == tmp_path / "w"


@pytest.mark.parametrize(
    ("environment", "field"),
    [
        ({}, "RUNPLANE_NATS_URL"),
        ({**URL, "RUNPLANE_PORT": "http"}, "RUNPLANE_PORT"),
        ({**URL, "RUNPLANE_PORT": "65536"}, "RUNPLANE_PORT"),
        ({**URL, "RUNPLANE_LISTEN": "everywhere"}, "RUNPLANE_LISTEN"),
    ],
)
def test_what_is_wrong_is_named(environment: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Settings.from_environment(environment)

    assert caught.value.fields["field"] == field
    assert field in caught.value.message


def test_credentials_do_not_show() -> None:
    assert "hidden" not in repr(Settings.from_environment(URL))
