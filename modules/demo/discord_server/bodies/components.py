"""Buttons, selects, modal fields and layout (Discord docs, Component Reference)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from modules.demo.discord_server.bodies.base import Body, CustomId, Snowflake, Url, text
from modules.demo.discord_server.refusals import invalid_field

ACTION_ROW, BUTTON, STRING_SELECT, TEXT_INPUT = 1, 2, 3, 4
USER_SELECT, ROLE_SELECT, MENTIONABLE_SELECT, CHANNEL_SELECT = 5, 6, 7, 8
LABEL, FILE_UPLOAD = 18, 19
LINK_STYLE, PREMIUM_STYLE = 5, 6


class _Component(Body):
    id: Annotated[int, Field(ge=0)] | None = None


class Emoji(Body):
    id: Snowflake | None = None
    name: Annotated[str, text(32)] | None = None
    animated: bool | None = None


class ButtonBody(_Component):
    type: Literal[2]
    style: Annotated[int, Field(ge=1, le=6)]
    label: Annotated[str, text(80)] | None = None
    emoji: Emoji | None = None
    custom_id: CustomId | None = None
    url: Annotated[str, text(512)] | None = None
    sku_id: Snowflake | None = None
    disabled: bool | None = None

    @model_validator(mode="after")
    def _has_what_its_style_needs(self) -> ButtonBody:
        if self.style == LINK_STYLE and (self.url is None or self.custom_id is not None):
            raise ValueError("A link button has a url and no custom_id")
        if self.style < LINK_STYLE and (self.custom_id is None or self.url is not None):
            raise ValueError("A custom id is required, and a url is not allowed")
        if self.style != PREMIUM_STYLE and not self.label and self.emoji is None:
            raise ValueError("A button needs a label or an emoji")
        return self


class SelectOption(Body):
    label: Annotated[str, text(100, 1)]
    value: Annotated[str, text(100, 1)]
    description: Annotated[str, text(100)] | None = None
    emoji: Emoji | None = None
    default: bool | None = None


class _Select(_Component):
    custom_id: CustomId
    placeholder: Annotated[str, text(150)] | None = None
    min_values: Annotated[int, Field(ge=0, le=25)] | None = None
    max_values: Annotated[int, Field(ge=1, le=25)] | None = None
    disabled: bool | None = None
    required: bool | None = None


class StringSelectBody(_Select):
    type: Literal[3]
    options: Annotated[tuple[SelectOption, ...], Field(min_length=1, max_length=25)]


class DefaultValue(Body):
    id: Snowflake
    type: Literal["user", "role", "channel"]


class EntitySelectBody(_Select):
    type: Literal[5, 6, 7, 8]
    channel_types: tuple[int, ...] | None = None
    default_values: Annotated[tuple[DefaultValue, ...], Field(max_length=25)] | None = None


class TextInputBody(_Component):
    type: Literal[4]
    custom_id: CustomId
    style: Literal[1, 2]
    label: Annotated[str, text(45, 1)] | None = None
    min_length: Annotated[int, Field(ge=0, le=4000)] | None = None
    max_length: Annotated[int, Field(ge=1, le=4000)] | None = None
    required: bool | None = None
    value: Annotated[str, text(4000)] | None = None
    placeholder: Annotated[str, text(100)] | None = None

    @model_validator(mode="after")
    def _value_fits(self) -> TextInputBody:
        if self.value is not None and self.max_length is not None and len(self.value) > self.max_length:
            raise ValueError("The value is longer than max_length")
        return self


class ActionRowBody(_Component):
    type: Literal[1]
    components: Annotated[
        tuple[Annotated[ButtonBody | StringSelectBody | EntitySelectBody, Field(discriminator="type")], ...],
        Field(min_length=1, max_length=5),
    ]

    @model_validator(mode="after")
    def _a_select_stands_alone(self) -> ActionRowBody:
        if len(self.components) > 1 and any(child.type != BUTTON for child in self.components):
            raise ValueError("A row holds up to five buttons or a single select")
        return self


class ModalRowBody(_Component):
    type: Literal[1]
    components: Annotated[tuple[TextInputBody, ...], Field(min_length=1, max_length=1)]

    @model_validator(mode="after")
    def _has_label(self) -> ModalRowBody:
        if any(child.label is None for child in self.components):
            raise ValueError("A text input in a row needs a label")
        return self


class TextDisplayBody(_Component):
    type: Literal[10]
    content: Annotated[str, text(4000, 1)]


class MediaItem(Body):
    url: Url


class ThumbnailBody(_Component):
    type: Literal[11]
    media: MediaItem
    description: Annotated[str, text(1024)] | None = None
    spoiler: bool | None = None


class SectionBody(_Component):
    type: Literal[9]
    components: Annotated[tuple[TextDisplayBody, ...], Field(min_length=1, max_length=3)]
    accessory: Annotated[ButtonBody | ThumbnailBody, Field(discriminator="type")]


class GalleryItem(Body):
    media: MediaItem
    description: Annotated[str, text(1024)] | None = None
    spoiler: bool | None = None


class MediaGalleryBody(_Component):
    type: Literal[12]
    items: Annotated[tuple[GalleryItem, ...], Field(min_length=1, max_length=10)]


class FileBody(_Component):
    type: Literal[13]
    file: MediaItem
    spoiler: bool | None = None


class SeparatorBody(_Component):
    type: Literal[14]
    divider: bool | None = None
    spacing: Literal[1, 2] | None = None


class ContainerBody(_Component):
    type: Literal[17]
    components: Annotated[
        tuple[
            Annotated[
                ActionRowBody | TextDisplayBody | SectionBody | MediaGalleryBody | FileBody | SeparatorBody,
                Field(discriminator="type"),
            ],
            ...,
        ],
        Field(min_length=1, max_length=40),
    ]
    accent_color: Annotated[int, Field(ge=0, le=0xFFFFFF)] | None = None
    spoiler: bool | None = None


class FileUploadBody(_Component):
    type: Literal[19]
    custom_id: CustomId
    min_values: Annotated[int, Field(ge=0, le=10)] | None = None
    max_values: Annotated[int, Field(ge=1, le=10)] | None = None
    required: bool | None = None


class LabelBody(_Component):
    type: Literal[18]
    label: Annotated[str, text(45, 1)]
    description: Annotated[str, text(100)] | None = None
    component: Annotated[
        TextInputBody | StringSelectBody | EntitySelectBody | FileUploadBody, Field(discriminator="type")
    ]


MessageComponent = Annotated[
    ActionRowBody
    | TextDisplayBody
    | SectionBody
    | MediaGalleryBody
    | FileBody
    | SeparatorBody
    | ContainerBody,
    Field(discriminator="type"),
]
ModalComponent = Annotated[ModalRowBody | LabelBody | TextDisplayBody, Field(discriminator="type")]

LONGEST_V2_TEXT = 4000
MOST_COMPONENTS = 40
MOST_ROWS = 5


def walk(components: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Each component of a message or modal, parents first."""
    for component in components:
        yield component
        yield from walk(component.get("components") or ())
        for key in ("component", "accessory"):
            if component.get(key):
                yield from walk([component[key]])


def check_components(components: Sequence[Mapping[str, Any]], *, v2: bool) -> None:
    """Rules over the whole: unique custom ids, five rows, or with V2 40 components and 4000 characters."""
    everything = list(walk(components))
    if not v2:
        if any(component["type"] != ACTION_ROW for component in components):
            raise invalid_field("components.0.type", "BASE_TYPE_CHOICES", "Value must be one of {1}.")
        if len(components) > MOST_ROWS:
            raise invalid_field("components", "BASE_TYPE_BAD_LENGTH", "Must be 5 or fewer in length.")
    elif len(everything) > MOST_COMPONENTS:
        raise invalid_field("components", "BASE_TYPE_BAD_LENGTH", "Must be 40 or fewer in length.")
    elif sum(len(c["content"]) for c in everything if "content" in c) > LONGEST_V2_TEXT:
        raise invalid_field("components", "COMPONENT_MAX_TEXT_SIZE_EXCEEDED", "Text is over 4000 characters")
    check_custom_ids(everything)


def check_custom_ids(everything: Sequence[Mapping[str, Any]]) -> None:
    seen: set[str] = set()
    for component in everything:
        custom_id = component.get("custom_id")
        if custom_id is not None and custom_id in seen:
            raise invalid_field(
                "components", "COMPONENT_CUSTOM_ID_DUPLICATED", "Component custom id cannot be duplicated"
            )
        if custom_id is not None:
            seen.add(custom_id)


def with_ids(components: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A copy where each component has an id, counted from 1 (Discord docs, Anatomy of a Component)."""
    taken = {component["id"] for component in walk(components) if component.get("id")}
    numbers = iter(n for n in range(1, len(taken) + 200) if n not in taken)

    def numbered(component: Mapping[str, Any]) -> dict[str, Any]:
        copy = dict(component)
        copy["id"] = component.get("id") or next(numbers)
        if "components" in copy:
            copy["components"] = [numbered(child) for child in copy["components"]]
        for key in ("component", "accessory"):
            if key in copy:
                copy[key] = numbered(copy[key])
        return copy

    return [numbered(component) for component in components]
