"""Which of a node's saved values belongs to which of its inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modules.ai.workflows.editor_format.document import EditorNode
from modules.ai.workflows.graph import JSON

_DEFAULTS: Mapping[str, JSON] = {
    "INT": 0, "FLOAT": 0, "STRING": "", "BOOLEAN": False, "COLOR": "#ffffff", "MARKDOWN": "", "TEXTAREA": "",
    "IMAGECOMPARE": ["", ""], "BOUNDING_BOX": None, "BOUNDING_BOXES": [], "COLORS": [], "CURVE": None,
    "PAINTER": "", "COMPOSITOR": {}, "RANGE": None, "AUDIO_RECORD": "", "WEBCAM": "", "LOAD_3D": "",
}  # fmt: skip
"""The kinds of input that the editor draws a widget for, and what it holds at first."""

_CONTROL = ("fixed", "increment", "decrement", "randomize")
_SEEDS = ("seed", "noise_seed")


def widget_values(node: EditorNode, entry: Mapping[str, JSON]) -> dict[str, JSON]:
    """The value of each widget, by the name of its input; ``entry`` is the class in the node table.

    A saved value that is missing is the class's default; an input that has none either is left out.
    """
    values = _Reader(node.values).read(entry)
    return {name: _sendable(value) for name, value in values if value is not None}


def _sendable(value: JSON) -> JSON:
    """As ComfyUI wants it: a bare list would be a link."""
    return {"__value__": value} if isinstance(value, list) else value


class _Reader:
    """Goes through the widgets of a class and takes for each its saved value."""

    def __init__(self, values: list[JSON] | Mapping[str, JSON]) -> None:
        self._named = values if isinstance(values, Mapping) else None
        self._rest = list(values) if isinstance(values, list) else []
        self._rest.reverse()

    def read(self, entry: Mapping[str, JSON]) -> Iterator[tuple[str, JSON]]:
        groups = entry.get("input")
        required, optional = (_part(groups, name) for name in ("required", "optional"))
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
                value = self._take(name, next(iter(options), None))
                yield name, value
                chosen = options.get(value) if isinstance(value, str) else None
                for group in ("required", "optional"):
                    yield from self._widgets(_part(chosen, group), f"{name}.")
            elif kind == "COMBO":
                choices = spec[0] if isinstance(spec[0], list) else config.get("options") or []
                yield name, self._take(name, config.get("default", choices[0] if choices else None))
                self._skip_control(key, config)
            elif kind in _DEFAULTS and not config.get("forceInput"):
                value = self._take(name, config.get("default", _DEFAULTS[kind]))
                if kind == "CURVE":
                    value = {"__type__": kind, "__value__": value}
                yield name, _DEFAULTS[kind] if kind == "IMAGECOMPARE" else value
                self._skip_control(key, config)
                if kind == "BOUNDING_BOX":
                    del self._rest[-4:]  # its four numbers once more

    def _take(self, name: str, default: JSON) -> JSON:
        if self._named is not None:
            return self._named.get(name, default)
        return self._rest.pop() if self._rest else default

    def _skip_control(self, name: str, config: Mapping[str, JSON]) -> None:
        """What the editor does to a seed after each run stands behind the seed."""
        controlled = config.get("control_after_generate") or name in _SEEDS
        if controlled and self._rest and self._rest[-1] in _CONTROL:
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
