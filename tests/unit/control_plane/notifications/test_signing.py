import pytest

from control_plane.notifications.signing import headers_of, key_of
from runplane.contract.errors import InvalidInput

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_vector_of_the_specification() -> None:
    headers = headers_of(
        key_of(SECRET, "x"), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_c2hvcnQ=",
        "whsec_not base64 at all, though it is long",
        SECRET[6:],
        f"whsec_{'A' * 400}",
    ],
)
def test_a_secret_that_cannot_sign_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(InvalidInput, match=r"oncall\.secret: .* make one by") as error:
        key_of(secret, "oncall.secret")
    assert len(secret) < 10 or secret not in error.value.message
