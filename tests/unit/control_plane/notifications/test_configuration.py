import os
from pathlib import Path

import pytest

from control_plane.notifications.configuration import Configuration, load
from control_plane.notifications.settings import place_of
from runplane.contract.errors import InvalidInput

HOOK = "targets: [{name: oncall, url: 'https://u:hunter2@example.com:8443/hook?k=1', secret: 'secret:HOOK'}]"


def read(tmp_path: Path, text: str) -> Configuration:
    (tmp_path / "notifications.yaml").write_text(text)
    return Configuration(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "targets: [{name: a, url: 'ftp://x', secret: 'secret:A'}]",
            "targets.0.url: is no web address (ftp)",
        ),
        ("targets: [{name: a, url: 'file:///etc/passwd', secret: 'secret:A'}]", "is no web address (file)"),
        ("targets: [{name: a, url: 'http://[::1', secret: 'secret:A'}]", "is no web address"),
        ("targets: [{name: a, url: 'http://x/ y', secret: 'secret:A'}]", "is no web address"),
        ("targets: [{name: a, url: 'http://x', secret: hunter2}]", "targets.0.secret: is no reference"),
        ("targets: [{name: a, url: 'http://x'}]", "a webhook is signed"),
        ("targets: [{name: a}]", "give either url"),
        ("targets: [{name: a, apprise: 'slack://hunter2'}]", "targets.0.apprise: is no reference"),
        ("targets: [{name: a, apprise: 'env:A', url: 'http://x'}]", "one of them"),
        (
            "targets: [{name: a, apprise: 'env:A', on: [dead]}]",
            "'dead' is not possible: write 'stuck', 'failed'",
        ),
        ("targets: [{name: a, apprise: 'env:A', on: []}]", "targets.0.on: is empty"),
        ("targets: [{name: a, apprise: 'env:A', timeout: 5m}]", "write at most 30"),
        (
            "targets: [{name: a, apprise: 'env:A', workflow: lina}]",
            "targets.0.workflow: there is no such field",
        ),
        ("targets: [{name: A B, apprise: 'env:A'}]", "targets.0.name: 'A B' cannot be a name"),
        ("targets: [{name: a, apprise: 'env:A'}, {name: a, apprise: 'env:A'}]", "the name a is there twice"),
        ("target: []", "did you mean targets?"),
        ("retry: {attempts: 1000}", "retry.attempts: 1000 is not possible: write at most 20"),
        ("dashboard: javascript:alert(1)", "dashboard: is no web address"),
        ("[1, 2]", "is no object"),
        ("a: [", "it is not YAML"),
        ("\x00", "it is not YAML"),
    ],
)
def test_what_cannot_be_used_is_told_with_field_value_and_what_to_do(
    tmp_path: Path, text: str, said: str
) -> None:
    configuration = read(tmp_path, text)
    assert configuration.current().targets == ()
    assert configuration.problem is not None
    assert said in configuration.problem
    assert "hunter2" not in configuration.problem


def test_a_change_counts_at_once_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    configuration = Configuration(tmp_path)
    assert (configuration.current().targets, configuration.problem) == ((), None)
    file = tmp_path / "notifications.yaml"
    file.write_text(HOOK)
    assert [target.name for target in configuration.current().targets] == ["oncall"]
    file.write_text("nonsense: 1")
    assert [target.name for target in configuration.current().targets] == ["oncall"]
    assert configuration.problem is not None
    file.write_text(HOOK.replace("oncall", "second"))
    assert [target.name for target in configuration.current().targets] == ["second"]
    assert configuration.problem is None
    file.unlink()
    assert configuration.current().targets == ()


def test_a_file_that_cannot_be_read_or_is_endless_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "notifications.yaml"
    file.mkdir()
    with pytest.raises(InvalidInput, match="cannot be read"):
        load(file)
    file.rmdir()
    with file.open("wb") as endless:
        os.truncate(endless.fileno(), 2**30)
    with pytest.raises(InvalidInput, match="more than 262144 bytes"):
        load(file)


def test_secrets_are_looked_up_and_never_told(tmp_path: Path) -> None:
    configuration = Configuration(tmp_path, {"TOKEN": " from-the-environment\n"})
    assert configuration.resolve("env:TOKEN", "x") == "from-the-environment"
    with pytest.raises(InvalidInput, match=r"a\.url: start the control plane with the variable MISSING"):
        configuration.resolve("env:MISSING", "a.url")
    with pytest.raises(InvalidInput, match=r"put the value into .*/secrets/HOOK"):
        configuration.resolve("secret:HOOK", "a.secret")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "HOOK").write_text("whsec_x\n")
    assert configuration.resolve("secret:HOOK", "a.secret") == "whsec_x"
    assert configuration.resolve("secret:../token", "a.secret") == "secret:../token"


def test_where_a_target_is_is_told_without_what_is_secret(tmp_path: Path) -> None:
    (target,) = read(tmp_path, HOOK).current().targets
    assert place_of(target) == "https://example.com:8443"
    assert target.wants("stuck", "any")
