"""The yardstick of a check: a stock batch, made through ComfyUI's own nodes alone.

A GPU rounds differently for other batch sizes, with ComfyUI's own nodes too; a fused picture is not to blame
for that. So the model's own graph makes N pictures of one person's prompt and seed, and the first of them is
compared with that person's picture made alone. Only the first can be: ComfyUI draws the noise of all rows in
one call from one generator, row after row. So row 0 gets the numbers that it gets alone, and the other rows
get numbers that no seed gives alone. (The node pack's noise would make all rows comparable, but a yardstick
must not lean on what it is to measure.) A fused batch shows N people's pictures, so the yardstick takes the
first rows of N stock batches, one for each person.

Samplers that add noise at each step draw that for all rows at once too, so after the first step even row 0 of
a stock batch becomes another picture. Such samplers are replaced by euler in all pictures that are compared:
fused, alone and in stock batches.

The batch is made by repeating what the sampler starts from, which works for an edit as it does for an empty
latent. A graph without a sampler (an upscaler) runs for each person by itself when fused, so there is nothing
to allow for, and no yardstick.
"""

from __future__ import annotations

from dataclasses import replace

from modules.ai.fusion.samplers import ADVANCED, CUSTOM, SAMPLERS, draws_step_noise
from modules.ai.workflows.graph import Graph, Link, Node, in_order, upstream
from modules.ai.workflows.templates import WorkflowTemplate

EULER = "euler"
_SELECT = "KSamplerSelect"


def judged(template: WorkflowTemplate) -> WorkflowTemplate:
    """The model with samplers whose batches can be compared: euler in place of those that add noise at each
    step, and of those whose name the graph does not show."""
    graph = dict(template.graph)
    for node_id, node in template.graph.items():
        if draws_step_noise(node.inputs.get("sampler_name")):
            graph[node_id] = node.having(sampler_name=EULER)
        chosen = node.inputs.get("sampler") if node.class_type in (ADVANCED, CUSTOM) else None
        if isinstance(chosen, Link) and graph[chosen.node].class_type != _SELECT:
            graph[chosen.node] = Node(class_type=_SELECT, inputs={"sampler_name": EULER})
    return (
        template
        if graph == template.graph
        else replace(template, name=f"{template.name}.{EULER}", graph=graph)
    )


def stock_batch(template: WorkflowTemplate, rows: int) -> WorkflowTemplate | None:
    """The model, making ``rows`` pictures of each request; None if it has no sampler."""
    graph = dict(template.graph)
    for node_id in _first_samplers(template.graph):
        latent = template.graph[node_id].inputs.get("latent_image")
        if not isinstance(latent, Link):
            return None
        place = f"fullet_{node_id}_repeated"
        graph[place] = Node(class_type="RepeatLatentBatch", inputs={"samples": latent, "amount": rows})
        graph[node_id] = graph[node_id].having(latent_image=Link(place, 0))
    if graph == template.graph:
        return None
    return replace(template, name=f"{template.name}.batch{rows}", graph=graph)


def _first_samplers(graph: Graph) -> list[str]:
    """The samplers that do not start from another sampler's result; the others get their batch from these."""
    samplers = [node_id for node_id in in_order(graph) if graph[node_id].class_type in SAMPLERS]
    return [
        node_id
        for node_id in samplers
        if not any(
            graph[before].class_type in SAMPLERS
            for name, link in graph[node_id].links()
            if name == "latent_image"
            for before in upstream(graph, [link.node])
        )
    ]
