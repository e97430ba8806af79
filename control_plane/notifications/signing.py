"""Signatures of webhooks, by the Standard Webhooks specification (standardwebhooks.com), version 1.

``v1,`` and the base64 of HMAC-SHA256 over ``<id>.<timestamp>.<body>``; the key is the base64 after ``whsec_``.
"""

import base64
import binascii
import hashlib
import hmac

from runplane.contract.errors import InvalidInput

PREFIX = "whsec_"
SHORTEST_KEY, LONGEST_KEY = 24, 64


def key_of(secret: str, field: str) -> bytes:
    """The key in a secret. InvalidInput says what is wrong with it, and never what it is."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        raise InvalidInput(
            f"{field}: the secret is not {PREFIX} and the base64 of {SHORTEST_KEY} to {LONGEST_KEY} bytes: make one by "
            f"`echo {PREFIX}$(head -c 32 /dev/urandom | base64)`",
            field=field,
        )
    return key


def headers_of(key: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a signed webhook."""
    signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
