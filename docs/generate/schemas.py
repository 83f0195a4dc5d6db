"""`docs/schemas/`, a JSON Schema a topic, and `docs/asyncapi.json`, the AsyncAPI 3 document that refers to them."""

import json
import re
from collections.abc import Mapping
from typing import Any

from docs.generate.messages import Topic, schema, topics
from domain.events import SCHEMA

_FORMAT = "application/schema+json;version=draft-2020-12"
_HEADERS = {
    "schema": {"type": "string", "const": SCHEMA, "description": "version of the form"},
    "delayed_s": {"type": "string", "description": "seconds that the records behind it had waited in the log"},
}


def schema_files() -> dict[str, str]:
    """Return by path the JSON Schema of the values of each topic that has JSON values."""
    return {f"docs/schemas/{topic.slug}.json": _text(schema(topic)) for topic in topics() if topic.value is not None}


def asyncapi() -> str:
    """Return the AsyncAPI document."""
    told = [topic for topic in topics() if topic.value is not None]
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "xinliu 信流",
            "version": "1",
            "description": "Topics of the streaming credit-risk engine. Generated: `make docs`. See docs/topics.md.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic.slug: _channel(topic) for topic in told},
        "operations": {
            f"{action}.{topic.slug}": _operation(topic, action, parties)
            for topic in told
            for action, parties in (("send", topic.writers), ("receive", topic.readers))
        },
        "components": {"messages": {topic.slug: _message(topic) for topic in told}},
    }
    return _text(document)


def _channel(topic: Topic) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "address": topic.name,
        "description": topic.purpose[0],
        "messages": {"value": {"$ref": f"#/components/messages/{topic.slug}"}},
        "bindings": {"kafka": {"topic": topic.name, "bindingVersion": "0.5.0"}},
    }
    if topic.partitions != "log":
        channel["bindings"]["kafka"]["partitions"] = int(topic.partitions)
    if names := re.findall(r"\{(\w+)\}", topic.name):
        channel["parameters"] = {name: {"description": "code of the bank (金融机构编码)"} for name in names}
    return channel


def _operation(topic: Topic, action: str, parties: tuple[str, ...]) -> dict[str, Any]:
    """Return who sends to a topic, or receives from it; `send` and `receive` are seen from those parties."""
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic.slug}"},
        "summary": f"{', '.join(parties)} {action} {topic.name}",
        "description": topic.reading[0],
        "messages": [{"$ref": f"#/channels/{topic.slug}/messages/value"}],
    }


def _message(topic: Topic) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": topic.slug,
        "contentType": "application/json",
        "payload": {"schemaFormat": _FORMAT, "schema": {"$ref": f"schemas/{topic.slug}.json"}},
        "bindings": {"kafka": {"key": {"type": "string", "description": topic.key}, "bindingVersion": "0.5.0"}},
    }
    if topic.headers:
        message["headers"] = {"type": "object", "properties": {name: _HEADERS[name] for name in topic.headers}}
    return message


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
