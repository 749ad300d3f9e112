"""Buttons, selects, modal fields and layout (Discord docs, Component Reference).

Lengths, counts and what may stand in what are those of OpenAPI's `…ComponentForMessageRequest` and
`…ComponentForModalRequest`; a comment names what comes from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from modules.demo.discord_server.bodies.base import Body, CustomId, Snowflake, Url, text
from modules.demo.discord_server.refusals import invalid_field

ACTION_ROW, BUTTON, STRING_SELECT, TEXT_INPUT = 1, 2, 3, 4
USER_SELECT, ROLE_SELECT, MENTIONABLE_SELECT, CHANNEL_SELECT = 5, 6, 7, 8
SECTION, TEXT_DISPLAY, THUMBNAIL, MEDIA_GALLERY, FILE, SEPARATOR = 9, 10, 11, 12, 13, 14
CONTAINER, LABEL, FILE_UPLOAD, RADIO_GROUP, CHECKBOX_GROUP, CHECKBOX = 17, 18, 19, 21, 22, 23
LINK_STYLE, PREMIUM_STYLE = 5, 6


class _Component(Body):
    id: Annotated[int, Field(ge=0, lt=1 << 31)] | None = None


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
        if self.style != PREMIUM_STYLE and self.sku_id is not None:
            raise ValueError("Only a premium button has a sku_id")
        if self.style != PREMIUM_STYLE and not self.label and self.emoji is None:
            raise ValueError("A button needs a label or an emoji")
        if self.style == PREMIUM_STYLE and self.sku_id is None:
            raise ValueError("A premium button has a sku_id")
        if self.style == PREMIUM_STYLE and (self.custom_id or self.label or self.url or self.emoji):
            raise ValueError("A premium button has nothing but a sku_id")
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


class AttachedItem(Body):
    """ "only supports attachment references" (Component Reference, File)."""

    url: Annotated[str, StringConstraints(max_length=2048, pattern=r"^attachment://.+")]


class ThumbnailBody(_Component):
    type: Literal[11]
    media: MediaItem
    description: Annotated[str, text(1024, 1)] | None = None
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
    file: AttachedItem
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


class GroupOption(Body):
    label: Annotated[str, text(100, 1)]
    value: Annotated[str, text(100, 1)]
    description: Annotated[str, text(100)] | None = None
    default: bool | None = None


class RadioGroupBody(_Component):
    type: Literal[21]
    custom_id: CustomId
    options: Annotated[tuple[GroupOption, ...], Field(min_length=2, max_length=10)]
    required: bool | None = None


class CheckboxGroupBody(_Component):
    type: Literal[22]
    custom_id: CustomId
    options: Annotated[tuple[GroupOption, ...], Field(min_length=1, max_length=10)]
    min_values: Annotated[int, Field(ge=0, le=10)] | None = None
    max_values: Annotated[int, Field(ge=1, le=10)] | None = None
    required: bool | None = None


class CheckboxBody(_Component):
    type: Literal[23]
    custom_id: CustomId
    default: bool | None = None


class LabelBody(_Component):
    type: Literal[18]
    label: Annotated[str, text(45, 1)]
    description: Annotated[str, text(100, 1)] | None = None
    component: Annotated[
        TextInputBody
        | StringSelectBody
        | EntitySelectBody
        | FileUploadBody
        | RadioGroupBody
        | CheckboxGroupBody
        | CheckboxBody,
        Field(discriminator="type"),
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
"""Of one message, however deep (Component Reference)."""
MOST_ROWS = 5
"""Of a message without the flag (Component Reference, Legacy Message Component Behavior)."""

Located = tuple[str, Mapping[str, Any]]
"""A component, and where it stands in the body: "components.0.accessory"."""


def located(components: Sequence[Mapping[str, Any]], path: str = "components") -> Iterator[Located]:
    """Each component of a message or modal with its place, parents first."""
    for position, component in enumerate(components):
        yield from _located(component, f"{path}.{position}")


def _located(component: Mapping[str, Any], path: str) -> Iterator[Located]:
    yield path, component
    yield from located(component.get("components") or (), f"{path}.components")
    for key in ("component", "accessory"):
        if component.get(key):
            yield from _located(component[key], f"{path}.{key}")


def walk(components: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Each component of a message or modal, parents first."""
    return (component for _, component in located(components))


def media_in(components: Sequence[Mapping[str, Any]]) -> Iterator[Located]:
    """Each picture and file that components show: its media item and where it stands."""
    for path, component in located(components):
        for key in ("media", "file"):
            if component.get(key):
                yield f"{path}.{key}", component[key]
        for position, item in enumerate(component.get("items") or ()):
            yield f"{path}.items.{position}.media", item["media"]


def texts_in(components: Sequence[Mapping[str, Any]]) -> str:
    """All text displays, one below the other."""
    return "\n".join(c["content"] for c in walk(components) if c["type"] == TEXT_DISPLAY)


def check_components(components: Sequence[Mapping[str, Any]], *, v2: bool) -> None:
    """Rules over a message as a whole: five rows, or with V2 40 components and 4000 characters together.

    Where the documentation gives no code, it is the one that bots report.
    """
    for position, component in enumerate(() if v2 else components):
        if component["type"] != ACTION_ROW:
            message = 'Value of field "type" must be one of (1,).'
            raise invalid_field(f"components.{position}", "UNION_TYPE_CHOICES", message)
    if not v2 and len(components) > MOST_ROWS:
        raise invalid_field("components", "BASE_TYPE_BAD_LENGTH", "Must be 5 or fewer in length.")
    everything = list(walk(components))
    if v2 and len(everything) > MOST_COMPONENTS:
        message = f"The message has {len(everything)} components, the limit is {MOST_COMPONENTS}"
        raise invalid_field("components", "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED", message)
    length = sum(len(c["content"]) for c in everything if c["type"] == TEXT_DISPLAY)
    if v2 and length > LONGEST_V2_TEXT:
        message = f"The text has {length} characters, the limit is {LONGEST_V2_TEXT}"
        raise invalid_field("components", "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED", message)
    check_unique(components)


def check_modal(components: Sequence[Mapping[str, Any]]) -> None:
    """Rules over a modal: nothing is disabled, what is required takes at least one value (String Select)."""
    for path, component in located(components):
        if component.get("disabled"):
            raise invalid_field(f"{path}.disabled", "BASE_TYPE_CHOICES", "Not allowed in a modal")
        if component.get("min_values") == 0 and component.get("required", True):
            message = "Must be 1 or more where a value is required"
            raise invalid_field(f"{path}.min_values", "NUMBER_TYPE_MIN", message)
    check_unique(components)


def check_unique(components: Sequence[Mapping[str, Any]]) -> None:
    """No `custom_id` and no `id` twice, an `id` of 0 being none (Anatomy of a Component); no option twice."""
    for key, code in (("custom_id", "COMPONENT_CUSTOM_ID_DUPLICATED"), ("id", "COMPONENT_ID_DUPLICATED")):
        seen: set[object] = set()
        for path, component in located(components):
            value = component.get(key)
            if value and value in seen:
                name = key.replace("_", " ")
                raise invalid_field(f"{path}.{key}", code, f"Component {name} cannot be duplicated")
            seen.add(value)
    for path, component in located(components):
        values: set[str] = set()
        for position, option in enumerate(component.get("options") or ()):
            if option["value"] in values:
                raise invalid_field(
                    f"{path}.options.{position}.value",
                    "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED",
                    "The specified option value is already used",
                )
            values.add(option["value"])


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
