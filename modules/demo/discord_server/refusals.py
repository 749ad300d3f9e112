"""The errors the API answers with: HTTP status, Discord's own code and its sentence, and where it failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

CODES: dict[int, tuple[int, str]] = {
    0: (401, "401: Unauthorized"),
    10003: (404, "Unknown Channel"),
    10004: (404, "Unknown Guild"),
    10007: (404, "Unknown Member"),
    10008: (404, "Unknown Message"),
    10009: (404, "Unknown Overwrite"),
    10011: (404, "Unknown Role"),
    10013: (404, "Unknown User"),
    10015: (404, "Unknown Webhook"),
    10062: (404, "Unknown interaction"),
    10063: (404, "Unknown application command"),
    20028: (429, "The write action you are performing on the channel has hit the write rate limit"),
    30013: (400, "Maximum number of guild channels reached (500)"),
    30034: (429, "Max number of daily application command creates has been reached (200)"),
    30046: (429, "Maximum number of edits to messages older than 1 hour reached. Try again later"),
    40001: (401, "Unauthorized"),
    40005: (413, "Request entity too large"),
    40060: (400, "Interaction has already been acknowledged."),
    50001: (403, "Missing Access"),
    50003: (403, "Cannot execute action on a DM channel"),
    50005: (403, "Cannot edit a message authored by another user"),
    50006: (400, "Cannot send an empty message"),
    50007: (403, "Cannot send messages to this user"),
    50008: (400, "Cannot send messages in a non-text channel"),
    50013: (403, "Missing Permissions"),
    50016: (400, "Provided too few or too many messages to delete. Must provide at least 2 and at most 100"),
    50027: (401, "Invalid Webhook Token"),
    50034: (400, "You can only bulk delete messages that are under 14 days old."),
    50035: (400, "Invalid Form Body"),
    50109: (400, "The request body contains invalid JSON."),
    200000: (400, "Message was blocked by automatic moderation"),
}
"""Code → status and sentence (Discord docs, Opcodes and Status Codes, JSON Error Codes).

The statuses of 30046 and 20028 are what bots report; the documentation gives none.
"""


class Refusal(Exception):
    """A request that Discord would refuse. `tree` is the "errors" object of 50035."""

    def __init__(
        self,
        code: int,
        *,
        tree: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.code = code
        self.status, self.message = CODES[code]
        self.tree = tree
        self.headers = dict(headers or {})
        self.retry_after = retry_after
        super().__init__(f"{self.status} ({code}): {self.message} {tree or ''}".rstrip())

    def inside(self, field: str) -> Refusal:
        """The same about a body that is itself a field of the request."""
        if self.tree is not None:
            self.tree = {field: self.tree}
        return self

    def body(self) -> dict[str, Any]:
        answer: dict[str, Any] = {"message": self.message, "code": self.code}
        if self.tree is not None:
            answer["errors"] = self.tree
        if self.retry_after is not None:
            answer.update(retry_after=self.retry_after, **{"global": False})
        return answer


def invalid_field(path: str, code: str, message: str) -> Refusal:
    """50035 for one field; `path` is dotted, numbers stand for list items (Reference, Error Messages)."""
    tree: dict[str, Any] = {}
    _set_error(tree, path.split("."), code, message)
    return Refusal(50035, tree=tree)


def invalid_body(error: ValidationError, data: Any) -> Refusal:
    """Pydantic's findings about ``data`` in Discord's shape."""
    tree: dict[str, Any] = {}
    faults = error.errors(include_url=False, include_input=False)
    for fault in faults:
        depth = len(fault["loc"])
        if fault["type"] == "too_short" and any(
            len(other["loc"]) > depth and other["loc"][:depth] == fault["loc"] for other in faults
        ):
            # Too short only because pydantic leaves out the invalid items, whose own faults are reported.
            continue
        steps = _place(fault["loc"], data, missing=fault["type"] == "missing")
        code, message = _discord_code(fault["type"]), fault["msg"]
        if code == "UNION_TYPE_CHOICES":
            choices = fault.get("ctx", {}).get("expected_tags", "")
            message = f'Value of field "type" must be one of ({choices},).'
        _set_error(tree, steps or ["_body"], code, message)
    return Refusal(50035, tree=tree)


def _place(location: Sequence[int | str], data: Any, *, missing: bool) -> list[str]:
    """The steps that lead through ``data``; pydantic puts members of unions (17, "ButtonBody") between."""
    steps: list[str] = []
    for position, step in enumerate(location):
        is_item = isinstance(data, list) and isinstance(step, int)
        if is_item or (isinstance(data, Mapping) and step in data):
            data = data[step]
        elif not (missing and position == len(location) - 1):
            continue
        steps.append(str(step))
    return steps


def _set_error(tree: dict[str, Any], steps: list[str], code: str, message: str) -> None:
    node = tree
    for step in steps:
        node = node.setdefault(step, {})
    node.setdefault("_errors", []).append({"code": code, "message": message})


def _discord_code(kind: str) -> str:
    if kind in {"string_too_long", "string_too_short", "too_long", "too_short"}:
        return "BASE_TYPE_BAD_LENGTH"
    return {
        "missing": "BASE_TYPE_REQUIRED",
        "extra_forbidden": "UNKNOWN_FIELD",
        "union_tag_invalid": "UNION_TYPE_CHOICES",
        "union_tag_not_found": "UNION_TYPE_CHOICES",
    }.get(kind, kind.upper())
