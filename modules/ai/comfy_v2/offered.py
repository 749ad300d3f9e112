"""Which models an address of Comfy API v2 offers. The API has no route that lists nodes or files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from modules.ai.fusion.fuse import example, plain
from modules.ai.workflows.node_table import bundled_table, pictures
from modules.ai.workflows.templates import WorkflowTemplate


@dataclass(frozen=True, kw_only=True, slots=True)
class Offered:
    """The ids of the models, and sentences for the operator."""

    models: tuple[str, ...]
    notes: tuple[str, ...] = ()


def offered(
    server: str,
    templates: Mapping[str, WorkflowTemplate],
    *,
    named: tuple[str, ...] = (),
    refused: Mapping[str, str] | None = None,
) -> Offered:
    """Of ``templates``, by id: those ``named``, or all that need only ComfyUI's own nodes; without those that
    the server ``refused``, for whatever reason."""
    refused = refused or {}
    meant = [id_ for id_, template in templates.items() if not named or template.name in named]
    hindrances = {
        id_: hindrance for id_ in meant if (hindrance := _hindrance(templates[id_], nodes=not named))
    }
    models = tuple(id_ for id_ in meant if id_ not in hindrances and id_ not in refused)

    def notes() -> Iterator[str]:
        known = {template.name for template in templates.values()}
        for name in (name for name in named if name not in known):
            yield f"models= of {server} names {name}, which is not a model in flujos/"
        for id_ in (id_ for id_ in meant if id_ in refused):
            yield f"{server} refused {templates[id_].name}, so it is not offered there: {refused[id_]}"
        for id_, why in hindrances.items() if named or not models else ():
            yield f"{server} cannot make pictures with {templates[id_].name}: {why}"

    return Offered(models=models, notes=tuple(notes()))


def _hindrance(template: WorkflowTemplate, *, nodes: bool) -> str:
    """Why the model cannot run there, as far as its graph shows; empty if it can."""
    request = example(template)
    names = ["x.png"] * len(request.sources)
    graph, table = plain(template, request, key="0" * 32, source_names=names).graph, bundled_table()
    custom = sorted({node.class_type for node in graph.values() if node.class_type not in table})
    if nodes and custom:
        return f"it needs the custom nodes {', '.join(custom[:3])}; name it in models= if they are there"
    own = list(pictures(graph, table, template.card.places("sources")))
    return f"its graph loads a picture of its own ({own[0].value})" if own else ""
