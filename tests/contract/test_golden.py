"""The bytes of every record, committed: what changes them is a new version of the contract.

A missing file is written, and the test fails once, so that a person looks at it before it is committed.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from streams.adapters.memory_topics import Kept
from streams.domain.deadletters import DeadLetter
from streams.domain.records import Audio, CallRecord, Escalation, Label, Window
from streams.kafka import cloudevents as codec
from streams.kafka import schemas
from streams.ports import Outgoing
from streams.topics import TOPICS

GOLDEN = Path(__file__).parent / "golden"
DOCUMENT = Path(__file__).parents[2] / "ops/docs/asyncapi.yaml"

CODECS = {
    CallRecord: (codec.encode_call, codec.decode_call),
    Window: (codec.encode_window, codec.decode_window),
    Label: (codec.encode_label, codec.decode_label),
    Escalation: (codec.encode_escalation, codec.decode_escalation),
    DeadLetter: (codec.encode_deadletter, codec.decode_deadletter),
}


@pytest.fixture
def records(call: list[CallRecord], derived: Mapping[str, object]) -> dict[str, object]:
    """File name -> the record that its bytes mean."""
    return {_name(record): record for record in call} | dict(derived)


def _name(record: CallRecord) -> str:
    body = record.body
    kind = type(body).__name__.lower()
    return f"call-{kind}-{body.encoding.name.lower()}" if isinstance(body, Audio) else f"call-{kind}"


def as_text(outgoing: Outgoing) -> str:
    headers = {name: value.decode() for name, value in outgoing.headers}
    is_json = headers["content-type"] == "application/json"
    payload = {"json": outgoing.value.decode()} if is_json else {"base64": base64.b64encode(outgoing.value).decode()}
    told = {"topic": outgoing.topic, "key": outgoing.key.decode(), "headers": headers, "payload": payload}
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def fetched(told: dict[str, Any], timestamp: int) -> Kept:
    payload = told["payload"]
    value = payload["json"].encode() if "json" in payload else base64.b64decode(payload["base64"])
    headers = [(name, text.encode()) for name, text in told["headers"].items()]
    return Kept(told["topic"], 0, 0, timestamp, told["key"].encode(), value, headers)


def golden() -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(GOLDEN.glob("*.json"))}


def test_every_record_is_written_as_it_always_was(records: dict[str, object]) -> None:
    for name, record in records.items():
        path = GOLDEN / f"{name}.json"
        text = as_text(CODECS[type(record)][0](record))
        if not path.exists():
            path.write_text(text)
            pytest.fail(f"{path.name} was missing and is written now; look at it, then commit it")
        assert text == path.read_text()


def test_every_golden_record_is_read_as_what_it_always_meant(records: dict[str, object]) -> None:
    assert golden().keys() == records.keys()
    for name, told in golden().items():
        record = records[name]
        timestamp = round(record.logged_at.timestamp() * 1000) if isinstance(record, CallRecord) else 0
        assert CODECS[type(record)][1](fetched(told, timestamp)) == record


@pytest.mark.parametrize("name", ["label", "label-abstained", "escalation"])
def test_a_record_from_before_classes_were_told_is_read_and_has_none(records: dict[str, object], name: str) -> None:
    told = golden()[name]
    payload = json.loads(told["payload"]["json"])
    del payload["classes"]
    told["payload"]["json"] = json.dumps(payload)
    record = records[name]
    assert CODECS[type(record)][1](fetched(told, 0)) == replace(record, classes={})  # type: ignore[type-var]


def test_every_type_has_a_golden_record() -> None:
    assert {told["headers"]["ce_type"] for told in golden().values()} == codec.TYPES


@pytest.mark.parametrize("type_", schemas.BODIES)
def test_the_json_schema_that_is_kept_is_that_of_the_dataclass(type_: str) -> None:
    assert schemas.path(type_).read_text() == schemas.text(type_), "run python -m streams.kafka.schemas"


def test_every_golden_payload_follows_its_json_schema() -> None:
    for told in golden().values():
        type_ = told["headers"]["ce_type"]
        if type_ in schemas.BODIES:
            jsonschema.validate(
                json.loads(told["payload"]["json"]),
                schemas.schema(type_),
                format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
            )


def header_schemas(message: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for trait in message["traits"]:
        yield document["components"]["messageTraits"][trait["$ref"].rsplit("/", 1)[1]]["headers"]
    if "headers" in message:
        yield message["headers"]


def test_the_asyncapi_document_describes_every_golden_record() -> None:
    document = yaml.safe_load(DOCUMENT.read_text())
    messages = {message["name"]: message for message in document["components"]["messages"].values()}
    assert messages.keys() == codec.TYPES
    for told in golden().values():
        message = messages[told["headers"]["ce_type"]]
        for schema in header_schemas(message, document):
            jsonschema.validate(told["headers"], schema)
        assert message["contentType"].partition("/")[0] == told["headers"]["content-type"].partition("/")[0]


def test_the_asyncapi_document_has_the_topics_as_they_are_declared() -> None:
    document = yaml.safe_load(DOCUMENT.read_text())
    described = {
        channel["address"]: channel["bindings"]["kafka"]["topicConfiguration"]
        for channel in document["channels"].values()
    }
    assert described.keys() == {topic.name for topic in TOPICS}
    for topic in TOPICS:
        told = described[topic.name]
        assert told["cleanup.policy"] == [topic.config["cleanup.policy"]]
        for name in ("retention.ms", "max.message.bytes"):
            assert str(told.get(name)) == str(topic.config.get(name))
