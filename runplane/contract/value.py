"""The base of every message: a frozen value whose fields are given by keyword."""

from pydantic import AwareDatetime, BaseModel, ConfigDict

Moment = AwareDatetime
"""A moment in wall-clock time, always with its zone."""


class Value(BaseModel):
    """A frozen value. Unknown fields are dropped, so that an older reader understands a newer writer."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")


class StrictValue(BaseModel):
    """A frozen value written by a person: an unknown field is an error, not something to drop."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")
