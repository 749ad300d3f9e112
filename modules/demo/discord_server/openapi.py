"""A second opinion on request bodies: Discord's own OpenAPI file, by JSON Schema (a development check)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonschema_rs import Draft202012Validator, Registry, ValidationError

BASE = "urn:discord-openapi"


class OpenApiCheck:
    """Says what is wrong with a body according to the file; fields that the file does not know are wrong.

    Habits of discord.py are let through, because Discord itself does: snowflakes as integers, `tts` on
    edits, `nsfw` in commands, `flags` in embeds, kept attachments as they came.
    """

    def __init__(self, path: Path) -> None:
        document = json.loads(path.read_text(encoding="utf-8"))
        _forbid_unknown_fields(document)
        self._registry = Registry([(BASE, document)])
        self._paths: dict[tuple[str, tuple[str, ...]], tuple[str, str]] = {}
        for template, methods in document["paths"].items():
            for method in methods:
                key = (method.upper(), _shape(template))
                self._paths[key] = (template, method)
        self._document = document
        self._validators: dict[tuple[str, str], Draft202012Validator | None] = {}

    def fault(self, method: str, template: str, body: Any) -> str | None:
        """The first fault, as a path and a sentence; None if the body is right."""
        found = self._paths.get((method, _shape(template)))
        if found is None:
            return "this route is not in the OpenAPI file"
        validator = self._validator(*found)
        if validator is None:
            return None
        errors = list(validator.iter_errors(_without_habits(body, method, template)))
        return _told(errors) if errors else None

    def _validator(self, template: str, method: str) -> Draft202012Validator | None:
        key = (template, method)
        if key not in self._validators:
            content = self._document["paths"][template][method].get("requestBody", {}).get("content", {})
            validator = None
            if "application/json" in content:
                pointer = "/".join(
                    part.replace("~", "~0").replace("/", "~1")
                    for part in ("paths", template, method, "requestBody", "content", "application/json")
                )
                reference = {"$ref": f"{BASE}#/{pointer}/schema".replace("{", "%7B").replace("}", "%7D")}
                validator = Draft202012Validator(reference, registry=self._registry)
            self._validators[key] = validator
        return self._validators[key]


def _shape(template: str) -> tuple[str, ...]:
    """A path with its parameters' names taken out, so that ours and the file's can be compared."""
    parts = template.strip("/").split("/")
    return tuple("{}" if part.startswith(("{", "@original")) else part for part in parts)


def _forbid_unknown_fields(node: Any) -> None:
    """Objects with named properties take no others, unless the file says so itself."""
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict) and "additionalProperties" not in node:
            node["additionalProperties"] = False
        for child in node.values():
            _forbid_unknown_fields(child)
    elif isinstance(node, list):
        for child in node:
            _forbid_unknown_fields(child)


UPDATE_CALLBACK = 7
_ID_FIELDS = frozenset({"parent_id", "message_id", "channel_id", "guild_id", "recipient_id"})
_ID_LISTS = frozenset({"users", "roles", "messages"})
_OBJECTS_WITH_ID = frozenset({"attachments", "permission_overwrites"})
_OF_KEPT_FILES = frozenset({"url", "proxy_url", "size", "width", "height", "content_type", "spoiler"})
_OF_EMBEDS = frozenset({"flags"})


def _without_habits(body: Any, method: str, template: str) -> Any:
    """The body with the habits of discord.py fixed, on copies."""
    if isinstance(body, list):
        return [_with_text_id(_without_habits(item, method, template)) for item in body]
    if not isinstance(body, Mapping):
        return body
    fixed: dict[str, Any] = {}
    for key, value in body.items():
        fixed[key] = _with_text_ids(key, value)
    if method == "PATCH":
        fixed.pop("tts", None)
    if template.endswith("/commands"):
        fixed.pop("nsfw", None)
    if isinstance(fixed.get("allowed_mentions"), Mapping):
        fixed["allowed_mentions"] = _without_habits(fixed["allowed_mentions"], method, template)
    if isinstance(fixed.get("data"), Mapping):
        fixed["data"] = _without_habits(fixed["data"], method, template)
        if fixed.get("type") == UPDATE_CALLBACK:
            fixed["data"].pop("tts", None)
    return fixed


def _with_text_ids(key: str, value: Any) -> Any:
    if key in _ID_FIELDS and isinstance(value, int):
        return str(value)
    if key in _ID_LISTS and isinstance(value, list):
        return [str(each) if isinstance(each, int) else each for each in value]
    if key in _OBJECTS_WITH_ID and isinstance(value, list):
        return [_with_text_id(_without(_OF_KEPT_FILES, each)) for each in value]
    if key == "embeds" and isinstance(value, list):
        return [_without(_OF_EMBEDS, each) for each in value]
    if key == "message_reference" and isinstance(value, Mapping):
        return {name: _with_text_ids(name, each) for name, each in value.items()}
    return value


def _without(names: frozenset[str], item: Any) -> Any:
    if isinstance(item, Mapping):
        return {key: value for key, value in item.items() if key not in names}
    return item


def _with_text_id(item: Any) -> Any:
    if isinstance(item, Mapping) and isinstance(item.get("id"), int):
        return {**item, "id": str(item["id"])}
    return item


def _told(errors: list[ValidationError]) -> str:
    """The deepest fault. Of a oneOf, it is that of the alternative that fits best, unless two fit equally."""
    while True:
        deepest = max(errors, key=_depth)
        alternatives = sorted(getattr(deepest.kind, "context", ()), key=_misfit)
        if not alternatives or len({*map(_misfit, alternatives[:2])}) < len(alternatives[:2]):
            path = "/".join(str(step) for step in deepest.instance_path)
            return f"{path or 'body'}: {deepest.message[:300]}"
        errors = alternatives[0]


def _depth(error: ValidationError) -> int:
    return len(error.instance_path)


def _misfit(errors: list[ValidationError]) -> tuple[int, int]:
    """How badly an alternative fits. The one that was meant has few faults, and those deep inside."""
    return len(errors), -max(map(_depth, errors))
