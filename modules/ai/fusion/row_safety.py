"""Which nodes may steer a sampler that runs several people's rows without mixing them.

All other nodes run separately for each person (`rows`). An unknown node is a reason to run one by one: a
wrong picture that nobody notices is the worst that can happen. Each group below says why it is known.
"""

from __future__ import annotations

from modules.ai.fusion.rows import steering
from modules.ai.fusion.samplers import GUIDERS, Unfusible, refuse_choices
from modules.ai.workflows.graph import Graph, in_order, named
from modules.ai.workflows.lora_insertion import MODEL_LOADERS
from modules.ai.workflows.templates import WorkflowTemplate

# They change weights. (The loader of rgthree calls LoraLoader for each of its LoRAs.)
_WEIGHTS = frozenset({
    "LoraLoader",
    "LoraLoaderModelOnly",
    "LoraModelLoader",
    "ModelMergeAdd",
    "ModelMergeAuraflow",
    "ModelMergeBlocks",
    "ModelMergeCosmosPredict2_14B",
    "ModelMergeCosmosPredict2_2B",
    "ModelMergeFlux1",
    "ModelMergeKrea2",
    "ModelMergeQwenImage",
    "ModelMergeSD1",
    "ModelMergeSD2",
    "ModelMergeSD35_Large",
    "ModelMergeSD3_2B",
    "ModelMergeSDXL",
    "ModelMergeSimple",
    "ModelMergeSubtract",
    "Power Lora Loader (rgthree)",
    "UNetCrossAttentionMultiply",
    "UNetSelfAttentionMultiply",
    "UNetTemporalAttentionMultiply",
})  # fmt: skip

# They name one of ComfyUI's own samplers, each of which SamplerBatch makes exact (docs/fidelity.md).
_SAMPLER_CHOICES = frozenset({
    "KSamplerSelect",
    "SamplerDPMPP_2M_SDE",
    "SamplerDPMPP_2S_Ancestral",
    "SamplerDPMPP_3M_SDE",
    "SamplerDPMPP_SDE",
    "SamplerER_SDE",
    "SamplerEulerAncestral",
    "SamplerEulerAncestralCFGPP",
    "SamplerEulerCFGpp",
    "SamplerLCM",
    "SamplerLMS",
    "SamplerSASolver",
    "SamplerSEEDS2",
})  # fmt: skip

# Patches of the model that were measured on small networks in a real ComfyUI, in whole batches and in
# sub-batches of equal length: at most 5e-6 of a latent's value off, but for ModelComputeDtype (8e-4, it
# computes in a coarser type) and TCFG (3e-4). Those named ModelSampling only change the model's table of
# noise levels.
_PATCHES = frozenset({
    "APG",
    "CFGNorm",
    "CFGOverride",
    "CFGZeroStar",
    "DifferentialDiffusion",
    "Epsilon Scaling",
    "FreSca",
    "FreeU",
    "FreeU_V2",
    "ModelAttentionBackend",
    "ModelComputeDtype",
    "ModelNoiseScale",
    "ModelSamplingAuraFlow",
    "ModelSamplingContinuousEDM",
    "ModelSamplingContinuousV",
    "ModelSamplingDiscrete",
    "ModelSamplingFlux",
    "ModelSamplingSD3",
    "ModelSamplingStableCascade",
    "PatchModelAddDownscale",
    "PerturbedAttentionGuidance",
    "RescaleCFG",
    "ScaleROPE",
    "SkipLayerGuidanceDiT",
    "SkipLayerGuidanceDiTSimple",
    "SkipLayerGuidanceSD3",
    "TCFG",
})  # fmt: skip

KNOWN = MODEL_LOADERS | _WEIGHTS | _SAMPLER_CHOICES | _PATCHES | GUIDERS.keys()
"""Classes that steer each row of a batch as they would alone. If any other class steers a sampler, its
template runs one by one, unless the card vouches for the class (``rowwise``)."""

_ONLY = {
    "LoraModelLoader": ("bypass", False),
    "ModelAttentionBackend": ("attention", "pytorch attention"),
    "SamplerEulerCFGpp": ("version", "regular"),
    "SamplerLCM": ("noise_clip_std", 0),
    "SkipLayerGuidanceDiT": ("rescaling_scale", 0),
}
"""Classes that are known only with one value of an input; with others they measure the whole batch, or use
something unknown."""

_SKIPS = "it decides for the whole batch which steps are computed"
_ONE_STREAM = "it draws from one random stream for the whole batch"
_MEASURES = "it measures the whole batch"
_PICTURED = "it changes the model with a picture, and each person's is different"
_MASKLESS = "it leaves out the masks that keep prompts of unequal length apart"

MIXING = {
    "AnimaLLLiteApply": _PICTURED,
    "ApplyFBCacheOnModel": _SKIPS,
    "ApplyTeaCachePatch": _SKIPS,
    "EasyCache": _SKIPS,
    "FluxKVCache": "it keeps the keys and values of a whole batch",
    "HyperTile": _ONE_STREAM,
    "LazyCache": _SKIPS,
    "Mahiro": _MEASURES,
    "NAGuidance": "a longer prompt in the batch changes what it does to the others",
    "PathchSageAttentionKJ": _MASKLESS,
    "PerpNeg": _MEASURES,
    "QwenImageDiffsynthControlnet": _PICTURED,
    "RenormCFG": _MEASURES,
    "SamplerDPMAdaptative": "it chooses its steps from the whole batch",
    "SamplerLCMUpscale": _ONE_STREAM,
    "SelfAttentionGuidance": "it cannot run prompts of unequal length in one batch",
    "TeaCache": _SKIPS,
    "TeaCacheForImgGen": _SKIPS,
    "TemporalScoreRescaling": _MEASURES,
    "TomePatchModel": _ONE_STREAM,
    "USOStyleReference": _PICTURED,
    "VideoLinearCFGGuidance": "it gives each picture of a batch a different guidance",
    "VideoTriangleCFGGuidance": "it gives each picture of a batch a different guidance",
    "ZImageFunControlnet": _PICTURED,
}
"""Classes that are known to mix the pictures of a batch, and how; no card can vouch for them."""


def refuse_mixing(graph: Graph, template: WorkflowTemplate) -> None:
    """Raise `Unfusible` for the first node that steers a sampler of ``graph`` and might mix rows."""
    vouched, steers = template.card.rowwise, steering(graph)
    for node_id in in_order(graph):
        class_type = graph[node_id].class_type
        if node_id not in steers:
            continue
        if class_type in MIXING:
            raise Unfusible(f"{named(graph, node_id)}: {MIXING[class_type]}")
        if class_type not in KNOWN | vouched:
            raise Unfusible(
                f"{named(graph, node_id)}: it is not known to keep the pictures of a batch apart; "
                f"if it does, add it to rowwise in {template.card_file}"
            )
        if class_type not in vouched:
            refuse_choices(graph, node_id)
            name, known = _ONLY.get(class_type, ("", None))
            if graph[node_id].inputs.get(name, known) != known:
                raise Unfusible(
                    f"{named(graph, node_id)}: it is known to keep the pictures of a batch apart only with "
                    f"{name} = {known}"
                )
