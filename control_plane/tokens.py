"""Access tokens: who a secret belongs to. Only digests are kept, and every comparison takes the same time."""

import hashlib
import hmac
import logging
import os
import secrets
import stat
import time
from collections.abc import Callable
from pathlib import Path

from runplane.contract.errors import InvalidInput

log = logging.getLogger("control_plane.auth")

FIRST_PRINCIPAL = "operator"
SESSION_SECONDS = 7 * 86_400
_TOKEN_BYTES = 32
_MAX_TOKEN_CHARACTERS = 512


class Tokens:
    """The tokens that are good, by the digest of each.

    A session stands for a token in a browser's cookie: ``<expiry>.<mac>``, which ends after a week, tells nothing
    about the token, and is good for no other process that has another token.
    """

    def __init__(self, principals: dict[str, str], clock: Callable[[], float] = time.time) -> None:
        """``principals`` by token."""
        self._clock = clock
        self._principals = {_digest(token): principal for token, principal in principals.items()}
        self._session_keys = {
            hashlib.sha256(b"session\x1f" + token.encode()).digest(): principal
            for token, principal in principals.items()
        }

    @classmethod
    def from_file(cls, path: Path) -> "Tokens":
        """Read the token of the first principal; a file that is not there is made, readable by its owner alone."""
        return cls({_read_or_create(path): FIRST_PRINCIPAL})

    def principal(self, token: str) -> str | None:
        """Whose token it is; None where nobody has it."""
        if not token or len(token) > _MAX_TOKEN_CHARACTERS:
            return None
        digest = _digest(token)
        found = None
        for known, principal in self._principals.items():
            if hmac.compare_digest(known, digest):
                found = principal
        return found

    def session_for(self, principal: str) -> str:
        """A new session of a principal, for a cookie."""
        expiry = str(int(self._clock()) + SESSION_SECONDS)
        key = next(key for key, name in self._session_keys.items() if name == principal)
        return f"{expiry}.{_mac(key, expiry)}"

    def session_principal(self, session: str) -> str | None:
        """Whose session it is; None for one that is over or was never given out."""
        expiry, _, mac = session.partition(".")
        if len(session) > _MAX_TOKEN_CHARACTERS or not (
            expiry.isascii() and expiry.isdecimal() and mac.isascii()
        ):
            return None
        found = None
        for key, principal in self._session_keys.items():
            if hmac.compare_digest(_mac(key, expiry), mac):
                found = principal
        return found if int(expiry) > self._clock() else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _mac(key: bytes, expiry: str) -> str:
    return hmac.new(key, expiry.encode(), hashlib.sha256).hexdigest()


def _read_or_create(path: Path) -> str:
    try:
        token = path.read_text().strip()
    except FileNotFoundError:
        return _create(path)
    if len(token) < _TOKEN_BYTES // 2:
        raise InvalidInput(
            f"the token in {path} is empty or too short: remove the file to have a new one made"
        )
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        log.warning("the token file %s can be read by others: chmod 600 %s", path, path)
    return token


def _create(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read_or_create(path)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")
    return token
