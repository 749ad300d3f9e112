"""Which of a node's saved values belongs to which of its inputs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from modules.ai.workflows.graph import JSON, Link

_DEFAULTS: Mapping[str, JSON] = {
    "INT": 0, "FLOAT": 0, "STRING": "", "BOOLEAN": False, "COLOR": "#ffffff", "MARKDOWN": "", "TEXTAREA": "",
    "IMAGECOMPARE": ["", ""], "BOUNDING_BOX": None, "BOUNDING_BOXES": [], "COLORS": [], "CURVE": None,
    "PAINTER": "", "COMPOSITOR": {}, "RANGE": None, "AUDIO_RECORD": "", "WEBCAM": "", "LOAD_3D": "",
}  # fmt: skip
"""The kinds of input that the editor draws a widget for, and what it holds at first."""

CONTROL = ("fixed", "increment", "decrement", "randomize")
_SEEDS = ("seed", "noise_seed")


def widget_values(
    class_type: str, entry: Mapping[str, JSON], saved: list[JSON] | Mapping[str, JSON]
) -> dict[str, JSON]:
    """The value of each widget of a node, by the name of its input, from the ``saved`` ones in their order or
    by name; ``entry`` is the class in the node table.

    A value that is missing is the class's default; an input that has none either is left out.
    """
    reader = WidgetReader(saved)
    values = [*reader.read(entry), *(reader.choice() if class_type == "CustomCombo" else ())]
    return {name: _sendable(value) for name, value in values if value is not None}


def offered_inputs(specs: Mapping[str, JSON], values: Mapping[str, JSON], prefix: str = "") -> Iterator[str]:
    """The names of a class's inputs, those of the options chosen in ``values`` too; where an input grows into
    several, the beginning of their names."""
    for key, spec in specs.items():
        name = prefix + key
        yield f"{name}." if _kind(spec) == "COMFY_AUTOGROW_V3" else name
        if _kind(spec) == "COMFY_DYNAMICCOMBO_V3":
            options = {option["key"]: option.get("inputs") for option in _options(_config(spec))}
            value = values.get(name)
            chosen = options.get(value) if isinstance(value, str) else None
            for group in ("required", "optional"):
                yield from offered_inputs(_part(chosen, group), values, f"{name}.")


def drawn(values: Mapping[str, JSON], specs: Mapping[str, JSON]) -> dict[str, str]:
    """The texts in which the editor chooses at random for each run, here with the first of each choice."""
    texts = {name: value for name, value in values.items() if isinstance(value, str)}
    return {
        name: first_choices(text)
        for name, text in texts.items()
        if name in specs and _config(specs[name]).get("dynamicPrompts")
    }


def first_choices(text: str) -> str:
    """``a {red|blue} cat // later`` → ``a red cat ``: the editor picks one of the choices at random, and
    removes comments. A backslash keeps a brace or bar as it is."""
    text = re.sub(r"/\*.*?\*/|//[^\n\r]*", "", text, flags=re.DOTALL)
    kept: list[str] = []
    depth = left_out = 0
    for part in re.findall(r"\\.|[^\\]|\\", text, flags=re.DOTALL):
        if part == "{":
            depth += 1
        elif part == "|" and depth:
            left_out = left_out or depth
        elif part == "}" and depth:
            left_out = 0 if left_out == depth else left_out
            depth -= 1
        elif not left_out:
            kept.append(part[1:] if part in ("\\{", "\\}", "\\|") else part)
    return "".join(kept)


def with_index(inputs: dict[str, Link | JSON]) -> dict[str, Link | JSON]:
    """The inputs of a CustomCombo with the place of its choice."""
    choices = [value for name, value in inputs.items() if re.fullmatch(r"option\d+", name)]
    return inputs | ({"index": choices.index(inputs["choice"])} if inputs.get("choice") in choices else {})


def _sendable(value: JSON) -> JSON:
    """As ComfyUI wants it: a bare list would be a link."""
    return {"__value__": value} if isinstance(value, list) else value


class WidgetReader:
    """Goes through the widgets of one class after another and takes for each its saved value."""

    def __init__(self, values: list[JSON] | Mapping[str, JSON]) -> None:
        self._named = values if isinstance(values, Mapping) else None
        self._rest = list(values) if isinstance(values, list) else []
        self._rest.reverse()
        self._seeded = False
        self.short = False
        """Whether the values ran out before the widgets did."""

    @property
    def left(self) -> bool:
        """Whether there are values that no widget has taken yet."""
        return bool(self._rest)

    def read(self, entry: Mapping[str, JSON], without: Collection[str] = ()) -> Iterator[tuple[str, JSON]]:
        """The widgets of a class except those ``without`` a value, by the names of their inputs."""
        groups = entry.get("input")
        required, optional = (
            {name: spec for name, spec in _part(groups, group).items() if name not in without}
            for group in ("required", "optional")
        )
        yield from self._widgets(required, "")
        if self._rest and any(_kind(spec) == "COMBO" and _uploads(spec) for spec in required.values()):
            self._rest.pop()  # the button's own value
        yield from self._widgets(optional, "")

    def _widgets(self, specs: Mapping[str, JSON], prefix: str) -> Iterator[tuple[str, JSON]]:
        for key, spec in specs.items():
            kind, config = _kind(spec), _config(spec)
            name = prefix + key
            if kind == "COMFY_DYNAMICCOMBO_V3":
                options = {option["key"]: option.get("inputs") for option in _options(config)}
                value = self._take(name, next(iter(options), None), kind)
                yield name, value
                chosen = options.get(value) if isinstance(value, str) else None
                for group in ("required", "optional"):
                    yield from self._widgets(_part(chosen, group), f"{name}.")
            elif kind == "COMBO":
                choices = spec[0] if isinstance(spec[0], list) else config.get("options") or []
                yield name, self._take(name, config.get("default", choices[0] if choices else None), kind)
                self._skip_control(key, config)
            elif kind in _DEFAULTS and not config.get("forceInput"):
                value = self._take(name, config.get("default", _DEFAULTS[kind]), kind)
                if kind == "CURVE":
                    value = {"__type__": kind, "__value__": value}
                yield name, _DEFAULTS[kind] if kind == "IMAGECOMPARE" else value
                self._skip_control(key, config)
                if kind == "BOUNDING_BOX":
                    del self._rest[-4:]  # its four numbers once more

    def choice(self) -> Iterator[tuple[str, JSON]]:
        """What follows the choice of a CustomCombo: its index, and all choices."""
        yield "index", self._take("index", 0)
        named = [name for name in self._named or () if name.startswith("option")]
        for name in named or [f"option{n}" for n in range(1, len(self._rest) + 1)]:
            yield name, self._take(name, "")

    def _take(self, name: str, default: JSON, kind: str = "STRING") -> JSON:
        if self._named is not None:
            return self._named.get(name, default)
        if self._seeded and self._rest and isinstance(self._rest[-1], bool) and kind != "BOOLEAN":
            self._rest.pop()  # in files of early 2023
        self._seeded = False
        self.short = self.short or not self._rest
        return self._rest.pop() if self._rest else default

    def _skip_control(self, name: str, config: Mapping[str, JSON]) -> None:
        """After a seed comes what the editor does to it after each run."""
        self._seeded = bool(config.get("control_after_generate")) or name in _SEEDS
        if self._seeded and self._rest and self._rest[-1] in CONTROL:
            self._rest.pop()


def _kind(spec: JSON) -> str:
    if not isinstance(spec, list) or not spec:
        return ""
    kind = _config(spec).get("widgetType", spec[0])
    return "COMBO" if isinstance(kind, list) else str(kind)


def _config(spec: JSON) -> Mapping[str, Any]:
    return spec[1] if isinstance(spec, list) and len(spec) > 1 and isinstance(spec[1], dict) else {}


def _options(config: Mapping[str, JSON]) -> list[dict[str, JSON]]:
    options = config.get("options")
    return [o for o in options if isinstance(o, dict) and "key" in o] if isinstance(options, list) else []


def _part(groups: JSON, name: str) -> Mapping[str, JSON]:
    part = groups.get(name) if isinstance(groups, dict) else None
    return part if isinstance(part, dict) else {}


def _uploads(spec: JSON) -> bool:
    config = _config(spec)
    return any(name.endswith("_upload") and config[name] for name in config)
