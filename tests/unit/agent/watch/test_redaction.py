"""What looks like a secret is taken out; what only sounds like one stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.watch.redaction import MASK, also_redacted, redacted

SECRET = "hunter2-Zx81"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"Authorization: Bearer {SECRET}", f"Authorization: Bearer {MASK}"),
        (f'-H "authorization: token {SECRET}" -v', f'-H "authorization: token {MASK}" -v'),
        (f"bearer {SECRET}", f"bearer {MASK}"),
        (f"curl --token {SECRET} x", f"curl --token {MASK} x"),
        (f"mysql --password={SECRET} -h db", f"mysql --password={MASK} -h db"),
        (f"tool -api-key {SECRET}", f"tool -api-key {MASK}"),
        (f"LINEAR_API_KEY={SECRET} python x.py", f"LINEAR_API_KEY={MASK} python x.py"),
        (f'{{"client_secret": "{SECRET}", "a": 1}}', f'{{"client_secret": "{MASK}", "a": 1}}'),
        (f"https://api/x?access_token={SECRET}&page=2", f"https://api/x?access_token={MASK}&page=2"),
        (f"postgres://app:{SECRET}@db:5432/x", f"postgres://app:{MASK}@db:5432/x"),
        ("key sk-ant-api03-abcdefghijklmnop", f"key {MASK}"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789 pushed", f"{MASK} pushed"),
        ("AKIAIOSFODNN7EXAMPLE", MASK),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", f"jwt {MASK}"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nx", f"{MASK}\nx"),
        ("-----BEGIN PRIVATE KEY-----\ncut off", MASK),
    ],
)
def test_taken_out(text: str, left: str) -> None:
    assert redacted(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "tokens: 5123 in, 88 out",
        "used 1200 tokens",
        "waiting for the token ring",
        "python lina.py --epic ENG-12 --limit 3",
        "http://127.0.0.1:8443/keys",
        "step 3/10: the secret of life",
        "ask-me-anything-about-this-one",
    ],
)
def test_left_alone(text: str) -> None:
    assert redacted(text) == text


def test_known_secrets_go_first() -> None:
    assert (
        also_redacted(lambda text: text.replace("abc", MASK))("abc and --token xyz")
        == f"{MASK} and --token {MASK}"
    )


@given(st.text(max_size=300), st.text(max_size=300))
def test_a_secret_option_is_taken_out_of_any_text(before: str, after: str) -> None:
    assert "s3cr3t-W0rd" not in redacted(f"{before} --token s3cr3t-W0rd {after}")


def test_a_long_line_takes_no_long_time() -> None:
    for text in (
        "a" * 50_000,
        "token" * 10_000,
        "eyJ" + "a." * 20_000,
        "x://" * 10_000,
        "-" * 50_000,
        "password " * 5_000,
    ):
        redacted(text)
