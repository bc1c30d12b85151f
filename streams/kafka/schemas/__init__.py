"""JSON Schemas of the payloads, made from the dataclasses that the codec decodes into, kept beside this module.

Write them again with `python -m streams.kafka.schemas`; a test compares.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from streams.domain.deadletters import DeadLetter
from streams.domain.records import Audio, Escalation, Label
from streams.kafka.cloudevents import CALL_TYPES, DEADLETTER, ESCALATION, LABEL
from streams.kafka.envelope import MAX_NUMBER, MAX_TEXT

FOLDER = Path(__file__).parent

BODIES: Mapping[str, type] = {
    **{type_: body for type_, body in CALL_TYPES.items() if body is not Audio},
    LABEL: Label,
    ESCALATION: Escalation,
    DEADLETTER: DeadLetter,
}

#: What `streams.kafka.payload.check` adds to the types.
_LIMITS: Mapping[str, dict[str, int]] = {
    "string": {"minLength": 1, "maxLength": MAX_TEXT},
    "integer": {"minimum": 0, "maximum": MAX_NUMBER},
    "number": {"minimum": 0, "maximum": 1},
}
_OFFSETS = ("offset", "size")  #: of a dead letter


def schema(type_: str) -> dict[str, Any]:
    """The JSON Schema of the payload of `type_`."""
    body = _limited(msgspec.json.schema(BODIES[type_]))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:{type_}", **body}


def _limited(node: Any, name: str = "") -> Any:  # noqa: ANN401 - any JSON
    if isinstance(node, list):
        return [_limited(item, name) for item in node]
    if not isinstance(node, dict):
        return node
    limited = {key: _limited(item, name) for key, item in node.items() if key != "properties"}
    if "properties" in node:
        limited["properties"] = {key: _limited(item, key) for key, item in node["properties"].items()}
    return limited | _limits(node, name)


def _limits(node: Mapping[str, Any], name: str) -> dict[str, Any]:
    kind = node.get("type")
    if kind == "string" and name.endswith("_at"):
        return {"format": "date-time"}
    if kind == "integer" and name in _OFFSETS:
        return {"minimum": 0}
    if name == "channels" and kind == "array":
        return {"minItems": 1, "maxItems": 2}
    if "enum" in node or not isinstance(kind, str):
        return {}
    return dict(_LIMITS.get(kind, {}))


def text(type_: str) -> str:
    """The schema as it is kept."""
    return msgspec.json.format(msgspec.json.encode(schema(type_)), indent=2).decode() + "\n"


def path(type_: str) -> Path:
    """Where the schema of `type_` is kept."""
    return FOLDER / f"{type_}.json"
