"""Reads what people may add to a model: ``loras.toml`` and ``styles.toml`` in ``flujos/``.

Each table of such a file is one LoRA or style; people's settings and requests refer to it by its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from modules.ai.models.loading import LORAS, STYLES, text_of
from modules.ai.workflows.cards import BadCard, FieldTable, read_fields
from modules.ai.workflows.lora_insertion import NoPlaceForLora, with_lora
from modules.ai.workflows.suggestions import did_you_mean
from modules.ai.workflows.templates import WorkflowTemplate
from modules.queue_manager.errors import BadWorkflow
from modules.queue_manager.jobs import PROMPT_MARK, Style
from modules.queue_manager.offers import STRENGTH_STEP, LoraOffer

STRONGEST = 4.0
MOST_STRENGTHS = 25
"""Choices that an option of a Discord command can offer."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_RESERVED = ("auto", "none")

T = TypeVar("T")


def read_loras(folder: Path) -> tuple[LoraOffer, ...]:
    """The LoRAs of ``loras.toml`` as they are written there, none without that file. Raises `BadWorkflow`."""
    return _read(folder / LORAS, _lora)


def read_styles(folder: Path) -> tuple[Style, ...]:
    """The styles of ``styles.toml``; otherwise as `read_loras`."""
    return _read(folder / STYLES, _style)


def misfits(lora: LoraOffer, templates: Mapping[str, WorkflowTemplate]) -> Iterator[tuple[str, str]]:
    """The models that ``lora`` names and cannot change, each with the reason."""
    for name in lora.models:
        try:
            if templates[name].card.kind == "upscale":
                raise NoPlaceForLora("an upscale takes no LoRA")
            with_lora(templates[name].graph, lora.use(lora.strength))
        except KeyError:
            yield name, f"there is no model {name}{did_you_mean(name, templates)}"
        except NoPlaceForLora as reason:
            yield name, f"it cannot be used with {name}: {reason}"


def _read(file: Path, entry: Callable[[str, FieldTable], T]) -> tuple[T, ...]:
    if not file.exists():
        return ()
    found = []
    try:
        for name, fields in read_fields(text_of(file)).items():
            if not _NAME.fullmatch(name) or name in _RESERVED or not isinstance(fields, dict):
                raise BadCard(f"{name}: a table is needed, such as [film-grain], in lower case")
            table = FieldTable(fields, f"{name}.")
            found.append(entry(name, table))
            table.refuse_the_rest()
    except BadCard as fault:
        raise BadWorkflow(f"{file.name}: {fault}") from fault
    return tuple(found)


def _lora(name: str, table: FieldTable) -> LoraOffer:
    strengths = _strengths(name, table)
    least, most = strengths
    strength = table.number("default", least, most, default=min(max(1.0, least), most))
    models, roles = table.texts("models"), table.get("roles", list, [])
    if not models:
        raise BadCard(f"{name}.models: at least one is needed, such as flux")
    if not all(type(role) is int for role in roles):
        raise BadCard(f"{name}.roles: a list of Discord role IDs is needed, without quotes")
    if strength % STRENGTH_STEP:
        raise BadCard(f"{name}.default: a multiple of {STRENGTH_STEP} is needed")
    return LoraOffer(
        name=name,
        label=table.text("label", 60),
        file=table.text("file", 200).replace("\\", "/"),
        models=tuple(dict.fromkeys(models)),
        strengths=strengths,
        strength=strength,
        clip=table.get("clip", bool, False),
        words=table.text("trigger_words", 200) if "trigger_words" in table.values else "",
        roles=tuple(roles),
    )


def _strengths(name: str, table: FieldTable) -> tuple[float, float]:
    given = table.get("strengths", list, [0.25, 1.5])
    numbers = [float(n) for n in given if isinstance(n, int | float) and not isinstance(n, bool)]
    steps = [n / STRENGTH_STEP for n in numbers]
    if (
        len(given) != 2
        or len(numbers) != 2
        or not -STRONGEST <= numbers[0] <= numbers[1] <= STRONGEST
        or any(n != int(n) for n in steps)
        or steps[1] - steps[0] >= MOST_STRENGTHS
    ):
        raise BadCard(
            f"{name}.strengths: [least, most] is needed, in steps of {STRENGTH_STEP}, such as [0.25, 1.5]: "
            f"at most {MOST_STRENGTHS} strengths, from {-STRONGEST:g} to {STRONGEST:g}"
        )
    return numbers[0], numbers[1]


def _style(name: str, table: FieldTable) -> Style:
    prompt = table.text("prompt", 1000)
    if prompt.count(PROMPT_MARK) != 1:
        raise BadCard(f"{name}.prompt: it needs {PROMPT_MARK} once, where the person's prompt goes")
    label = table.table("label")
    labels = tuple((language, label.text(language, 60)) for language in sorted(label.values))
    if "en" not in dict(labels):
        raise BadCard(f"{name}.label.en is missing")
    negative = table.text("negative", 1000) if "negative" in table.values else ""
    return Style(name=name, label=labels, prompt=prompt, negative=negative)
