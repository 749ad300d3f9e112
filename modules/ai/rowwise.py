"""Which nodes keep the pictures of a batch apart, so that nobody's can reach another's."""

from __future__ import annotations

from modules.ai.graph import Graph, downstream, in_order, named
from modules.ai.samplers import Unfusible
from modules.ai.templates import WorkflowTemplate

ROWWISE = frozenset({
    "BasicScheduler",
    "ConditioningSetTimestepRange",
    "ConditioningZeroOut",
    "EmptyFlux2LatentImage",
    "EmptyHunyuanImageLatent",
    "EmptyLatentImage",
    "EmptySD3LatentImage",
    "Flux2Scheduler",
    "FluxGuidance",
    "FluxKontextImageScale",
    "FluxKontextMultiReferenceLatentMethod",
    "GetImageSize",
    "ImageInvert",
    "ImageScale",
    "ImageScaleBy",
    "ImageScaleToMaxDimension",
    "ImageScaleToTotalPixels",
    "ImageSharpen",
    "ImageUpscaleWithModel",
    "LatentUpscale",
    "LatentUpscaleBy",
    "ModelSamplingFlux",
    "ReferenceLatent",
    "VAEDecode",
    "VAEDecodeTiled",
    "VAEEncode",
    "VAEEncodeTiled",
})  # fmt: skip
"""Classes that treat each row of a batch by itself, so that nobody's picture can reach another's. Whatever
else stands between the first thing that differs and the saved picture makes a template run one by one,
unless its card vouches for the class (``rowwise``)."""


def refuse_mixing(graph: Graph, template: WorkflowTemplate, replaced: set[str]) -> None:
    known = ROWWISE | template.card.rowwise
    varied = downstream(graph, replaced & set(graph)) - replaced
    for node_id in in_order(graph):
        if node_id in varied and graph[node_id].class_type not in known:
            raise Unfusible(
                f"{named(graph, node_id)}: it is not known to keep the pictures of a batch apart; "
                f"if it does, add it to rowwise in {template.name}.toml"
            )
