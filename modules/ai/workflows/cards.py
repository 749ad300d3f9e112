"""A model's card: what ``flujos/NAME.toml`` says about the graph beside it."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from modules.ai.workflows.downloads import ModelDownload
from modules.ai.workflows.graph import NodeInput
from modules.queue_manager.jobs import Kind, NegativeUse, Size

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Role = Literal["prompt", "negative", "seed", "width", "height", "batch", "sources", "output"]
ROLES: tuple[Role, ...] = get_args(Role)

MOST_SOURCES = 8

T = TypeVar("T")


class BadCard(ValueError):
    """The card is wrong; the message begins with the field."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """How many pictures fit: ``base_gb`` for the model, ``per_image_gb`` for each picture of the default
    size, and never more than ``auto_max``, unless the operator sets a number (GB are GiB, as graphics cards
    count)."""

    base_gb: float
    per_image_gb: float
    auto_max: int = 4

    @property
    def needed_gb(self) -> float:
        """The memory for one picture."""
        return self.base_gb + self.per_image_gb

    def rows(self, vram_gb: float) -> int:
        """The most pictures in one run on a graphics card with ``vram_gb``; at least 1."""
        return max(1, min(self.auto_max, int((vram_gb - self.base_gb) / self.per_image_gb)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """The author's estimate, for people to read: the size of all files and the graphics memory, in GB."""

    download_gb: float
    vram_gb: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """What a card says. ``roles`` names the inputs that carry a request; ``rowwise`` the node classes that
    the operator vouches for: they work on each picture of a batch by itself; ``enhance_prompt``: a language
    model in the graph rewrites what people wrote."""

    label: str
    kind: Kind
    steps: int
    description: tuple[tuple[str, str], ...]
    sizes: tuple[Size, ...]
    default_size: Size
    roles: Mapping[Role, tuple[NodeInput, ...]]
    negative: NegativeUse = "none"
    source_count: tuple[int, int] = (0, 0)
    size_multiple: int = 16
    upscale: float = 1.0
    max_batch: int | None = None
    memory: Memory | None = None
    nsfw: bool = False
    rowwise: frozenset[str] = frozenset()
    enhance_prompt: bool = False
    downloads: tuple[ModelDownload, ...] = ()
    estimate: Estimate | None = None

    def places(self, role: Role) -> tuple[NodeInput, ...]:
        """The inputs of a role, none if the card does not name it."""
        return self.roles.get(role, ())


def read_fields(text: str) -> dict[str, Any]:
    """The fields in a card's TOML text, unchecked. Raises `BadCard`."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadCard(f"not TOML: {error}") from error
    except (ValueError, RecursionError) as error:
        raise BadCard("it is nested too deeply, or a number in it is too long") from error


def is_whole(fields: Mapping[str, Any]) -> bool:
    """Whether a card has all that is needed, so that nothing is derived from its graph."""
    kind = fields.get("kind")
    needed = {"label", "kind", "roles", *(() if kind == "upscale" else ("steps",))}
    return needed | ({"sizes"} if kind == "imagine" else set()) <= set(fields)


def written_kind(fields: Mapping[str, Any]) -> Kind | None:
    """The kind that a card names, None if it names none. Raises `BadCard`."""
    kind: Kind | None = (
        FieldTable(dict(fields), "").choice("kind", get_args(Kind)) if "kind" in fields else None
    )
    return kind


def written_places(fields: Mapping[str, Any]) -> dict[Role, tuple[NodeInput, ...]]:
    """The inputs of all roles that a card names. Raises `BadCard`."""
    roles = FieldTable(dict(fields), "").table("roles") if "roles" in fields else FieldTable({}, "")
    return {role: _read_places(roles, role) for role in ROLES if role in roles.values}


def read_card(fields: Mapping[str, Any]) -> ModelCard:
    """The card of a file's fields. Raises `BadCard`, which names the field."""
    table = FieldTable(dict(fields), "")
    kind: Kind = table.choice("kind", get_args(Kind))
    count = _read_count(table, kind)
    sizes, default = _read_sizes(table, kind)
    roles = table.table("roles")
    memory = table.table("memory") if "memory" in table.values else None
    estimate = table.table("estimate") if "estimate" in table.values else None
    card = ModelCard(
        label=table.text("label", 60),
        kind=kind,
        steps=table.whole("steps", 1, 10_000, default=None if kind != "upscale" else 1),
        description=_read_description(table),
        sizes=sizes,
        default_size=default,
        roles={role: _read_places(roles, role) for role in ROLES if role in roles.values},
        negative=table.choice("negative", get_args(NegativeUse), default="none"),
        source_count=count,
        size_multiple=table.whole("size_multiple", 1, 256, default=16),
        upscale=table.number("upscale", 0.1, 16, default=1.0),
        max_batch=table.whole("max_batch", 1, 64) if "max_batch" in table.values else None,
        memory=_read_memory(memory) if memory else None,
        nsfw=table.get("nsfw", bool, False),
        rowwise=frozenset(table.texts("rowwise", default=[])),
        enhance_prompt=table.get("enhance_prompt", bool, False),
        downloads=_read_downloads(table),
        estimate=_read_estimate(estimate) if estimate else None,
    )
    for part in (table, roles, *(each for each in (memory, estimate) if each)):
        part.refuse_the_rest()
    return card


def _read_description(table: FieldTable) -> tuple[tuple[str, str], ...]:
    if "description" not in table.values:
        return ()
    words = table.table("description")
    return tuple((language, words.text(language, 200)) for language in sorted(words.values))


def _read_count(table: FieldTable, kind: Kind) -> tuple[int, int]:
    default = {"imagine": [0, 0], "edit": [1, 1], "upscale": [1, 1]}[kind]
    count = table.get("source_count", list, default)
    if (
        len(count) != 2
        or not all(type(n) is int for n in count)
        or not 0 <= count[0] <= count[1] <= MOST_SOURCES
    ):
        raise BadCard(f"source_count: [least, most] is needed, such as {default}")
    if (kind == "imagine") != (count[1] == 0):
        raise BadCard(f"source_count: {count} does not go with kind {kind!r}")
    return count[0], count[1]


_SIZE = re.compile(r"(\d{1,5})\s*[x×]\s*(\d{1,5})")


def _read_sizes(table: FieldTable, kind: Kind) -> tuple[tuple[Size, ...], Size]:
    if kind != "imagine":  # their size comes from the picture they start from
        if "sizes" in table.values:
            raise BadCard(f"sizes: a card of kind {kind!r} has none; the picture it starts from decides")
        return (), _read_size("default_size", table.text("default_size", 20, default="1024x1024"))
    sizes = tuple(_read_size("sizes", text) for text in table.texts("sizes"))
    if not sizes:
        raise BadCard("sizes: at least one is needed, such as 1024x1024")
    default = _read_size("default_size", table.text("default_size", 20, default=str(sizes[0])))
    if default not in sizes:
        raise BadCard(f"default_size: {default} is not among sizes")
    return sizes, default


def _read_size(field: str, text: str) -> Size:
    match = _SIZE.fullmatch(text.strip())
    if match is None or not (0 < int(match[1]) <= 16384 and 0 < int(match[2]) <= 16384):
        raise BadCard(f"{field}: {text!r} is not a size such as 1024x1024")
    return Size(width=int(match[1]), height=int(match[2]))


def _read_places(roles: FieldTable, role: Role) -> tuple[NodeInput, ...]:
    value = roles.get(role, object)
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise BadCard(f'roles.{role}: "node.input" is needed, or a list of these')
    places = [NodeInput(*text.partition(".")[::2]) for text in texts]
    for text, place in zip(texts, places, strict=True):
        if not place.node or not place.input:
            raise BadCard(f'roles.{role}: {text!r} is not of the form "node.input"')
    return tuple(places)


def _read_memory(table: FieldTable) -> Memory:
    return Memory(
        base_gb=table.number("base_gb", 0, 1000),
        per_image_gb=table.number("per_image_gb", 0.01, 1000),
        auto_max=table.whole("auto_max", 1, 64, default=4),
    )


def _read_estimate(table: FieldTable) -> Estimate:
    return Estimate(
        download_gb=table.number("download_gb", 0, 10_000), vram_gb=table.number("vram_gb", 0, 1000)
    )


def _read_downloads(table: FieldTable) -> tuple[ModelDownload, ...]:
    found = []
    for number, entry in enumerate(table.get("downloads", list, [])):
        if not isinstance(entry, dict):
            raise BadCard("downloads: tables with name, url and folder are needed")
        one = FieldTable(entry, f"downloads.{number}.")
        found.append(
            ModelDownload(
                name=one.text("name", 200), url=one.text("url", 1000), folder=one.text("folder", 100)
            )
        )
        one.refuse_the_rest()
    return tuple(found)


_NEEDED: dict[type, str] = {
    str: "a text in quotes",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}
"""What a field must be, by its type in Python."""


class FieldTable:
    """A TOML table that checks the types of fields and remembers which were read; ``path``: its own, with a
    dot at the end."""

    def __init__(self, values: dict[str, Any], path: str) -> None:
        self.values = values
        self._path = path
        self._asked: set[str] = set()

    def get(self, name: str, kind: type[T], default: T | None = None) -> T:
        self._asked.add(name)
        value = self.values.get(name, default)
        if value is None:
            raise BadCard(f"{self._path}{name} is missing")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind not in (bool, object)):
            raise BadCard(f"{self._path}{name}: {value!r} is given where {_NEEDED[kind]} is needed")
        return value

    def table(self, name: str) -> FieldTable:
        return FieldTable(self.get(name, dict), f"{self._path}{name}.")

    def text(self, name: str, longest: int, *, default: str | None = None) -> str:
        value = self.get(name, str, default).strip()
        if not 0 < len(value) <= longest:
            raise BadCard(f"{self._path}{name}: 1 to {longest} characters are needed")
        return value

    def texts(self, name: str, *, default: list[str] | None = None) -> list[str]:
        value = self.get(name, list, default)
        if not all(isinstance(text, str) for text in value):
            raise BadCard(f"{self._path}{name}: a list of strings is needed")
        return value

    def choice(self, name: str, allowed: tuple[Any, ...], *, default: str | None = None) -> Any:
        value = self.get(name, str, default)
        if value not in allowed:
            raise BadCard(f"{self._path}{name}: {value!r} is not one of {', '.join(allowed)}")
        return value

    def whole(self, name: str, least: int, most: int, *, default: int | None = None) -> int:
        value = self.get(name, int, default)
        if not least <= value <= most:
            raise BadCard(f"{self._path}{name}: {value} is not a whole number from {least} to {most}")
        return value

    def number(self, name: str, least: float, most: float, *, default: float | None = None) -> float:
        value = self.get(name, object, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            raise BadCard(f"{self._path}{name}: {value!r} is not a number from {least} to {most}")
        return float(value)

    def refuse_the_rest(self) -> None:
        unknown = sorted(set(self.values) - self._asked)
        if unknown:
            raise BadCard(f"{self._path}{unknown[0]}: no such field")
