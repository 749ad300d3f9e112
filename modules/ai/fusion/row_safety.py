"""Which nodes keep the pictures of a batch apart, so that nobody's can reach another's.

A node that nobody knows is a reason to run one by one, wherever it stands: a picture that is wrong in
silence is the worst that can happen. Each group below says why its classes are known.
"""

from __future__ import annotations

from modules.ai import node_pack as pack
from modules.ai.fusion.samplers import ADVANCED, GUIDERS, Unfusible, refuse_choices
from modules.ai.workflows.graph import Graph, in_order, named
from modules.ai.workflows.templates import WorkflowTemplate

# Nothing of a row passes through them: they read files, and give weights or a tokenizer. (What then uses a
# control net, a style or another model beside the main one is judged by itself.)
_LOADERS = frozenset({
    "CLIPLoader",
    "CLIPLoaderGGUF",
    "CLIPVisionLoader",
    "CheckpointLoader",
    "CheckpointLoaderSimple",
    "ControlNetLoader",
    "DiffControlNetLoader",
    "DiffusersLoader",
    "DualCLIPLoader",
    "DualCLIPLoaderGGUF",
    "GLIGENLoader",
    "ImageOnlyCheckpointLoader",
    "LatentUpscaleModelLoader",
    "LoadBackgroundRemovalModel",
    "LoadDA3Model",
    "LoadMediaPipeFaceLandmarker",
    "LoadMoGeModel",
    "ModelPatchLoader",
    "PhotoMakerLoader",
    "QuadrupleCLIPLoader",
    "QuadrupleCLIPLoaderGGUF",
    "SetUnionControlNetType",
    "StyleModelLoader",
    "TripleCLIPLoader",
    "TripleCLIPLoaderGGUF",
    "UNETLoader",
    "UnetLoaderGGUF",
    "UnetLoaderGGUFAdvanced",
    "UpscaleModelLoader",
    "VAELoader",
    "unCLIPCheckpointLoader",
})  # fmt: skip

# They change weights, or how a text encoder reads one text, before any row is there. (The loader of
# rgthree calls LoraLoader for each of its LoRAs.)
_WEIGHTS = frozenset({
    "CLIPAttentionMultiply",
    "CLIPMergeAdd",
    "CLIPMergeSimple",
    "CLIPMergeSubtract",
    "CLIPSetLastLayer",
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

# Values that stand in the graph, and what is computed from them alone: all rows have the same. (A picture
# of the template's own is such a value, too.)
_CONSTANTS = frozenset({
    "BOOLConstant",
    "ComfyAndNode",
    "ComfyMathExpression",
    "ComfyNotNode",
    "ComfyNumberConvert",
    "ComfyOrNode",
    "EmptyImage",
    "FloatConstant",
    "INTConstant",
    "LoadImage",
    "LotusConditioning",
    "PrimitiveBoolean",
    "PrimitiveFloat",
    "PrimitiveInt",
    "PrimitiveString",
    "PrimitiveStringMultiline",
    "ResolutionSelector",
    "StringConstant",
})  # fmt: skip

# Noise levels, computed from constants, a size and a model's own table of them.
_SCHEDULERS = frozenset({
    "AlignYourStepsScheduler",
    "BasicScheduler",
    "BetaSamplingScheduler",
    "ExponentialScheduler",
    "ExtendIntermediateSigmas",
    "FlipSigmas",
    "Flux2Scheduler",
    "GITSScheduler",
    "Ideogram4Scheduler",
    "KarrasScheduler",
    "LaplaceScheduler",
    "ManualSigmas",
    "OptimalStepsScheduler",
    "PolyexponentialScheduler",
    "SDTurboScheduler",
    "SamplingPercentToSigma",
    "SetFirstSigma",
    "SplitSigmas",
    "SplitSigmasDenoise",
    "VPScheduler",
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

# They work on each row by itself, by how they are made: element by element, or along other dimensions
# than the first. (Canny and ResizeImageMaskNode gave the same bits in a batch of 5 as alone.
# LatentInterpolate looks like one of them and divides rows by each other's lengths.)
_BY_ROW = frozenset({
    "Canny",
    "ComfySwitchNode",
    "ConditioningSetTimestepRange",
    "ConditioningZeroOut",
    "DisableNoise",
    "EmptyChromaRadianceLatentImage",
    "EmptyFlux2LatentImage",
    "EmptyHunyuanImageLatent",
    "EmptyLatentImage",
    "EmptySD3LatentImage",
    "FluxDisableGuidance",
    "FluxGuidance",
    "FluxKontextImageScale",
    "FluxKontextMultiReferenceLatentMethod",
    "GetImageSize",
    "ImageCrop",
    "ImageFlip",
    "ImageInvert",
    "ImageRotate",
    "ImageScale",
    "ImageScaleBy",
    "ImageScaleToMaxDimension",
    "ImageScaleToTotalPixels",
    "ImageSharpen",
    "ImageStitch",
    "ImageUpscaleWithModel",
    "LatentCrop",
    "LatentFlip",
    "LatentRotate",
    "LatentUpscale",
    "LatentUpscaleBy",
    "ReferenceLatent",
    "ResizeImageMaskNode",
    "VAEDecode",
    "VAEDecodeTiled",
    "VAEEncode",
    "VAEEncodeTiled",
    ADVANCED,
    *GUIDERS,
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

ROWWISE = (
    _LOADERS | _WEIGHTS | _CONSTANTS | _SCHEDULERS | _SAMPLER_CHOICES | _BY_ROW | _PATCHES
) | frozenset(pack.CLASSES)
"""Classes that treat each row of a batch by itself. Whatever else stands in a graph makes its template run
one by one, unless its card vouches for the class (``rowwise``)."""

_ONLY = {
    "ModelAttentionBackend": ("attention", "pytorch attention"),
    "SamplerEulerCFGpp": ("version", "regular"),
    "SamplerLCM": ("noise_clip_std", 0),
    "SkipLayerGuidanceDiT": ("rescaling_scale", 0),
}
"""Classes that are known with one value of an input; with another they measure the whole batch, or use
something that is not known."""

_SKIPS = "it decides for the whole batch which steps are computed"
_ONE_STREAM = "it draws from one random stream for the whole batch"
_MEASURES = "it measures the whole batch"
_MASKLESS = "it leaves out the masks that keep prompts of unequal length apart"

MIXING = {
    "ApplyFBCacheOnModel": _SKIPS,
    "ApplyTeaCachePatch": _SKIPS,
    "EasyCache": _SKIPS,
    "FluxKVCache": "it keeps keys and values of a whole batch",
    "HyperTile": _ONE_STREAM,
    "LazyCache": _SKIPS,
    "Mahiro": _MEASURES,
    "NAGuidance": "a longer prompt in the batch changes what it does to the others",
    "PathchSageAttentionKJ": _MASKLESS,
    "PerpNeg": _MEASURES,
    "RenormCFG": _MEASURES,
    "SamplerDPMAdaptative": "it chooses its steps from the whole batch",
    "SamplerLCMUpscale": _ONE_STREAM,
    "SelfAttentionGuidance": "it cannot run prompts of unequal length in one batch",
    "TeaCache": _SKIPS,
    "TeaCacheForImgGen": _SKIPS,
    "TemporalScoreRescaling": _MEASURES,
    "TomePatchModel": _ONE_STREAM,
    "VideoLinearCFGGuidance": "it gives each picture of a batch another guidance",
    "VideoTriangleCFGGuidance": "it gives each picture of a batch another guidance",
}
"""Classes that are known to mix the pictures of a batch, and how; no card can vouch for them."""


def refuse_mixing(graph: Graph, template: WorkflowTemplate) -> None:
    """Raise `Unfusible` for the first node of ``graph``, as it would be sent, that might mix rows."""
    vouched = template.card.rowwise
    for node_id in in_order(graph):
        class_type = graph[node_id].class_type
        if class_type in MIXING:
            raise Unfusible(f"{named(graph, node_id)}: {MIXING[class_type]}")
        if class_type not in ROWWISE | vouched:
            raise Unfusible(
                f"{named(graph, node_id)}: it is not known to keep the pictures of a batch apart; "
                f"if it does, add it to rowwise in {template.card_file}"
            )
        if class_type not in vouched:
            refuse_choices(graph, node_id)
            name, known = _ONLY.get(class_type, ("", None))
            if graph[node_id].inputs.get(name, known) != known:
                raise Unfusible(f"{named(graph, node_id)}: it is known only with {name} {known}")
