"""The one tree of errors.

::

    RunplaneError
    ├── CallerError            the caller can mend it
    │   ├── InvalidInput       422  a field has a value that cannot be used
    │   ├── NotFound           404  there is no such run, host, workflow
    │   ├── Conflict           409  the run's state does not allow it
    │   ├── NotAuthenticated   401  no token, or one that nobody issued
    │   └── NotAllowed         403  the principal may not do this
    └── SystemFault            ours, or the machine's
        ├── Unavailable        503  a part is away; the same call may work later
        └── BrokerRefused      the broker is too old, or lacks what the log needs

``code`` is stable and meant for programs; the message is meant for a person and says what to do next.
"""

from typing import Any, ClassVar


class RunplaneError(Exception):
    """Something went wrong in Runplane."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str = "", *, code: str = "", **fields: Any) -> None:
        """Keep the message and the typed fields; ``code`` narrows the class's own."""
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.error_code = code or type(self).code
        self.fields = fields
        super().__init__(self.message)


class CallerError(RunplaneError):
    """The request cannot be carried out as it was made."""

    code = "bad_request"
    status = 400


class InvalidInput(CallerError):
    """A field has a value that cannot be used."""

    code = "invalid_input"
    status = 422


class NotFound(CallerError):
    """There is no such thing."""

    code = "not_found"
    status = 404


class Conflict(CallerError):
    """The state of the run does not allow this."""

    code = "conflict"
    status = 409


class NotAuthenticated(CallerError):
    """No valid token was given."""

    code = "not_authenticated"
    status = 401


class NotAllowed(CallerError):
    """The principal may not do this."""

    code = "not_allowed"
    status = 403


class SystemFault(RunplaneError):
    """Something on our side failed."""

    code = "system_fault"
    status = 500


class Unavailable(SystemFault):
    """A part of the system is away for now."""

    code = "unavailable"
    status = 503


class BrokerRefused(SystemFault):
    """This NATS server cannot carry the log."""

    code = "broker_refused"
    status = 500
