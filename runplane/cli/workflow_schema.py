"""The JSON Schema of a workflow file, for editors: ``# yaml-language-server: $schema=./workflow.schema.json``.

Generated from the contract, with what a person may write: ``30m`` for a duration, ``2GiB`` for a size.
"""

from collections.abc import Callable
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from runplane.contract.units import parse_duration, parse_size
from runplane.contract.workflow import WorkflowDefinition

FILE_NAME = "workflow.schema.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_WRITTEN: dict[Callable[..., Any], JsonSchemaValue] = {
    parse_duration: {
        "description": "a duration: 30s, 10m, 1h30m, or a number of seconds",
        "anyOf": [
            {"type": "number", "minimum": 0},
            {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$|^[0-9]+(\.[0-9]+)?$"},
        ],
    },
    parse_size: {
        "description": "a size: 512MB, 2GiB, or a number of bytes",
        "anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?\s*(B|kB|KB|KiB|MB|MiB|GB|GiB|TB|TiB)?$"},
        ],
    },
}


class _AsWritten(GenerateJsonSchema):
    """Durations and sizes as the contract's parsers take them, not as what they become."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        written = _WRITTEN.get(schema["function"]["function"])
        return dict(written) if written is not None else super().function_before_schema(schema)


def workflow_schema() -> dict[str, Any]:
    """The schema, draft 2020-12."""
    schema = WorkflowDefinition.model_json_schema(schema_generator=_AsWritten)
    return {"$schema": _DIALECT, **schema, "title": "Runplane workflow"}
