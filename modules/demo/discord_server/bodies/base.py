"""What all body models share: unknown fields are forbidden, ids are read as integers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from modules.demo.discord_server.refusals import invalid_body


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


BodyType = TypeVar("BodyType", bound=Body)


def read_body(model: type[BodyType], data: Any) -> BodyType:
    """The body as a model, or the 50035 that Discord answers with."""
    try:
        return model.model_validate(data if isinstance(data, Mapping) else {})
    except ValidationError as error:
        raise invalid_body(error, data) from error


def _snowflake(value: Any) -> int:
    """Ids are strings; integers are read as well (Discord docs, Reference, ID Serialization)."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("Value is not a snowflake.")  # noqa: TRY004 - pydantic reports ValueErrors
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError(f'Value "{value[:40]}" is not snowflake.')
    return int(value)


Snowflake = Annotated[int, BeforeValidator(_snowflake), Field(ge=0, lt=1 << 64)]
PermissionBits = Annotated[int, BeforeValidator(_snowflake), Field(ge=0, lt=1 << 63)]
CustomId = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Url = Annotated[str, StringConstraints(max_length=2048, pattern=r"^(https?://|attachment://).+")]


def text(longest: int, shortest: int = 0) -> Any:
    """A string of so many characters."""
    return StringConstraints(min_length=shortest, max_length=longest)
