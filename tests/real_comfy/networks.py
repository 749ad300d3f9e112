"""Runs tiny random networks of ComfyUI's own classes, fused and alone; prints what it measures as JSON lines.

ComfyUI's own Python runs this (see test_networks.py): python networks.py COMFYUI_FOLDER PACK_FOLDER. Model
loading and text encoding are left out: texts are random numbers, as long as an encoder would make them. What
samples, attends and guides is ComfyUI's own, once in float32 and once in float64.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

COMFYUI, PACK, *ONLY = sys.argv[1:]  # and, to run no others, the names of networks
ON_GPU = "--gpu" in ONLY  # gain.py alone asks for it; all else is measured on a CPU
sys.argv = [sys.argv[0], "--highvram" if ON_GPU else "--cpu"]
sys.path[0] = COMFYUI  # not this folder, whose comfy.py is another one
os.chdir(COMFYUI)

import torch  # noqa: E402

torch.set_num_threads(1)

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()

import comfy.model_base as base  # noqa: E402
import comfy.model_management  # noqa: E402
import comfy.model_patcher  # noqa: E402
import comfy.sample  # noqa: E402
import comfy.samplers  # noqa: E402
import comfy.supported_models as supported  # noqa: E402
import comfyui_version  # noqa: E402
from comfy.ldm.modules.attention import optimized_attention, optimized_attention_masked  # noqa: E402

logging.disable(logging.WARNING)
_package = types.ModuleType("fullet_nodes")  # the pack without its __init__, which needs a running server
_package.__path__ = [PACK]
sys.modules["fullet_nodes"] = _package
_server = types.ModuleType("server")
_server.PromptServer = types.SimpleNamespace(instance=types.SimpleNamespace(client_id=None))  # type: ignore[attr-defined]
sys.modules["server"] = _server

from fullet_nodes import fused_model, sampling  # noqa: E402
from fullet_nodes.conditioning import merge  # noqa: E402
from fullet_nodes.inputs import Refused  # noqa: E402

WIDTH = 48  # of a text's token
STEPS = 3
ANCESTRAL = "euler_ancestral"  # whose stock batch draws all rows from one stream: other pictures
Text = tuple[torch.Tensor, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network as ComfyUI's loader would configure it, only smaller."""

    name: str
    model: Any
    config: Any
    latent: tuple[int, ...]  # one picture's, without its batch dimension
    unet: dict[str, Any]
    positive: tuple[tuple[int, ...], ...]  # batches of prompts, by their lengths in tokens
    negative: tuple[tuple[int, ...], ...]
    around_zero: tuple[str, ...] = ("bias",)  # name endings of 1-D weights drawn around 0, not 1
    width: int = WIDTH
    pooled: int | None = None
    text_mask: bool = False
    llama: int = 0  # layers of a second text
    token_ids: bool = False  # the network has the text encoder in it
    t5_tokens: bool = False  # the encoder also gives the prompt as T5's tokens, a quarter more of them
    references: tuple[
        tuple[tuple[int, int] | None, ...], ...
    ] = ()  # of each batch's prompts, a reference's h and w


_FLUX = {
    "hidden_size": 128, "num_heads": 1, "depth": 1, "depth_single_blocks": 1, "context_in_dim": WIDTH,
}  # fmt: skip
_FLUX1 = {
    **_FLUX, "image_model": "flux", "in_channels": 16, "out_channels": 16, "vec_in_dim": 32, "mlp_ratio": 4.0,
    "axes_dim": [16, 56, 56], "theta": 10000, "patch_size": 2, "qkv_bias": True, "txt_ids_dims": [],
    "guidance_embed": False,
}  # fmt: skip
_FLUX2 = {
    **_FLUX, "image_model": "flux2", "in_channels": 128, "out_channels": 128, "vec_in_dim": None,
    "mlp_ratio": 3.0, "axes_dim": [32] * 4, "theta": 2000, "patch_size": 1, "qkv_bias": False,
    "txt_ids_dims": [3], "global_modulation": True, "mlp_silu_act": True, "ops_bias": False,
    "default_ref_method": "index", "ref_index_scale": 10.0,
}  # fmt: skip
_LUMINA = {
    "image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 192, "cap_feat_dim": WIDTH,
    "n_layers": 2, "n_refiner_layers": 1, "qk_norm": True, "n_heads": 3, "n_kv_heads": 3,
    "axes_dims": [16, 24, 24], "axes_lens": [1536, 512, 512],
}  # fmt: skip
_UNET = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1, 1],
    "channel_mult": [1, 2], "num_heads": 2, "use_spatial_transformer": True, "transformer_depth": [1, 1],
    "transformer_depth_output": [1, 1, 1, 1], "transformer_depth_middle": 1, "context_dim": WIDTH,
    "use_linear_in_transformer": False, "legacy": False, "adm_in_channels": None,
}  # fmt: skip
_QWEN = {
    "image_model": "qwen_image", "num_layers": 2, "attention_head_dim": 128, "num_attention_heads": 1,
    "joint_attention_dim": WIDTH, "in_channels": 64, "out_channels": 16,
}  # fmt: skip
_CHROMA = {
    **_FLUX, "image_model": "chroma", "in_channels": 64, "out_channels": 64, "vec_in_dim": None,
    "mlp_ratio": 4.0, "axes_dim": [16, 56, 56], "theta": 10000, "patch_size": 2, "qkv_bias": True,
    "txt_ids_dims": [], "in_dim": 64, "out_dim": 128, "hidden_dim": 64, "n_layers": 1,
}  # fmt: skip
_OMNIGEN = {
    "hidden_size": 96, "in_channels": 16, "num_layers": 2, "num_refiner_layers": 1, "num_attention_heads": 2,
    "num_kv_heads": 1, "multiple_of": 32, "axes_dim_rope": [16, 16, 16], "axes_lens": [1024, 1664, 1664],
    "timestep_scale": 1000.0,
}  # fmt: skip
_SD3 = {
    "input_size": None, "patch_size": 2, "in_channels": 16, "out_channels": 16, "depth": 2,
    "adm_in_channels": 32, "pos_embed_max_size": 64, "num_patches": 4096, "pos_embed_scaling_factor": None,
    "qk_norm": "rms", "x_block_self_attn_layers": [],
    "context_embedder_config": {
        "target": "torch.nn.Linear", "params": {"in_features": WIDTH, "out_features": 128},
    },
}  # fmt: skip

NETWORKS = (
    Network(
        name="Flux.1", model=base.Flux, config=supported.FluxSchnell, latent=(16, 14, 16), unet=_FLUX1,
        positive=((256, 489, 300), (600, 256)), negative=((256, 256, 300), (256, 512)), pooled=32,
    ),
    Network(
        name="FLUX.2 Klein", model=base.Flux2, config=supported.Flux2, latent=(128, 7, 8),
        unet={**_FLUX2, "guidance_embed": False},
        positive=((512, 742, 600), (700, 512)), negative=((512, 512, 560), (512, 900)),
    ),
    Network(
        name="FLUX.2 dev", model=base.Flux2, config=supported.Flux2, latent=(128, 7, 8),
        unet={**_FLUX2, "guidance_embed": True},
        positive=((40, 77, 200), (40, 600, 200, 700), (40, 600)),
        negative=((3, 90, 512), (512, 512, 512, 512), (30, 30)),
    ),
    Network(
        name="Z-Image", model=base.Lumina2, config=supported.ZImage, latent=(16, 14, 12),
        unet={**_LUMINA, "dim": 256, "n_heads": 4, "n_kv_heads": 4, "rope_theta": 256.0, "time_scale": 1000.0,
              "ffn_dim_multiplier": 8.0 / 3.0, "z_image_modulation": True, "pad_tokens_multiple": 32},
        positive=((8, 14, 30), (8, 14, 30, 54, 200)), negative=((9, 3, 14), (9, 60, 14, 9, 30)),
    ),
    Network(
        name="Qwen-Image", model=base.QwenImage, config=supported.QwenImage, latent=(16, 1, 12, 14),
        unet=_QWEN, positive=((20, 33, 50),), negative=((5, 60, 20),),
    ),
    Network(
        name="SD 1.5", model=base.BaseModel, config=supported.SD15, latent=(4, 16, 16), unet=_UNET,
        positive=((77, 154, 231), (385, 539, 693)), negative=((77, 77, 154), (77, 77, 77)),
    ),
    Network(
        name="SDXL", model=base.SDXL, config=supported.SDXL, latent=(4, 16, 16),
        unet={**_UNET, "adm_in_channels": 1280 + 6 * 256, "num_classes": "sequential",
              "use_linear_in_transformer": True},
        positive=((77, 154, 231), (385, 539, 693)), negative=((77, 77, 154), (77, 77, 77)), pooled=1280,
    ),
    Network(
        name="SD3", model=base.SD3, config=supported.SD3, latent=(16, 12, 14), unet=_SD3,
        positive=((154, 231, 154, 300),), negative=((154, 154, 200, 154),), pooled=32,
    ),
    Network(
        name="Lumina Image 2.0", model=base.Lumina2, config=supported.Lumina2, latent=(16, 12, 14),
        unet={**_LUMINA, "rope_theta": 10000.0, "ffn_dim_multiplier": 1.0},
        positive=((20, 33, 50, 20),), negative=((20, 10, 50, 20),), text_mask=True,
    ),
)  # fmt: skip
if hasattr(base, "Krea2"):  # what older versions of ComfyUI do not have
    import comfy.ldm.anima.model
    import comfy_kitchen
    from comfy.ldm.anima.model import LLMAdapter
    from comfy_kitchen.backends.eager import rope

    for name in ("apply_rope_split_half", "rms_rope", "rms_rope_split_half") if not ON_GPU else ():
        setattr(comfy_kitchen, name, getattr(rope, name))  # what a CPU gets anyway, but for float64 too

    NETWORKS += (
        Network(
            name="Krea 2", model=base.Krea2, config=supported.Krea2, latent=(16, 1, 12, 14), width=3 * 32,
            around_zero=("bias", "scale", "lin"),
            unet={"image_model": "krea2", "features": 64, "heads": 2, "kvheads": 1, "layers": 2,
                  "channels": 16, "patch": 2, "txtlayers": 3, "txtdim": 32, "txtheads": 2,
                  "txtkvheads": 2, "tdim": 32},
            positive=((20, 33, 50), (4, 300)), negative=((5, 60, 20), (90, 9)),
        ),
        Network(
            name="NewBie-Image", model=base.Lumina2, config=supported.Lumina2, latent=(16, 12, 14),
            unet={**_LUMINA, "rope_theta": 10000.0, "ffn_dim_multiplier": 1.0, "clip_text_dim": 32},
            positive=((20, 33, 150),), negative=((5, 60, 20),), text_mask=True, pooled=32,
        ),
        Network(
            name="Anima", model=base.Anima, config=supported.Anima, latent=(16, 1, 12, 14), t5_tokens=True,
            unet={"image_model": "anima", "max_img_h": 240, "max_img_w": 240, "max_frames": 128,
                  "in_channels": 16, "out_channels": 16, "patch_spatial": 2, "patch_temporal": 1,
                  "model_channels": 64, "num_heads": 2, "num_blocks": 2, "concat_padding_mask": True,
                  "crossattn_emb_channels": WIDTH, "pos_emb_cls": "rope3d", "pos_emb_learnable": True,
                  "pos_emb_interpolation": "crop", "min_fps": 1, "max_fps": 30, "use_adaln_lora": True,
                  "adaln_lora_dim": 16, "extra_per_block_abs_pos_emb": False,
                  "rope_h_extrapolation_ratio": 4.0, "rope_w_extrapolation_ratio": 4.0,
                  "rope_t_extrapolation_ratio": 1.0, "rope_enable_fps_modulation": False},
            positive=((20, 33, 300), (4, 600, 30, 700)), negative=((5, 60, 20), (9, 9, 9, 9)),
        ),
        Network(
            name="Qwen-Image-Edit", model=base.QwenImage, config=supported.QwenImage, latent=(16, 1, 12, 14),
            unet={**_QWEN, "default_ref_method": "index_timestep_zero"},
            positive=((20, 33, 150), (20, 33, 20)), negative=((5, 60, 20), (5, 60, 5)),
            references=(((12, 14),) * 3, ((12, 14), (10, 16), (12, 14))),
        ),
        Network(
            name="Mage-Flow", model=base.MageFlow, config=supported.MageFlow, latent=(128, 7, 8),
            unet={"image_model": "mage_flow", "in_channels": 128, "out_channels": 128, "num_layers": 2,
                  "attention_head_dim": 128, "num_attention_heads": 1, "joint_attention_dim": WIDTH},
            positive=((20, 33, 150),), negative=((5, 60, 20),), references=(((6, 8),) * 3,),
        ),
        Network(
            name="Lens", model=base.Lens, config=supported.Lens, latent=(128, 7, 8), width=2 * WIDTH,
            unet={"image_model": "lens", "in_channels": 128, "out_channels": 32, "num_layers": 2,
                  "attention_head_dim": 64, "num_attention_heads": 3, "enc_hidden_dim": WIDTH,
                  "selected_layer_index": (0, 1)},
            positive=((20, 33, 150),), negative=((5, 60, 20),),
        ),
        Network(
            name="Ovis-Image", model=base.Flux, config=supported.Flux, latent=(16, 14, 16),
            unet={**_FLUX1, "vec_in_dim": None, "yak_mlp": True, "txt_norm": True, "txt_ids_dims": [1, 2]},
            positive=((20, 33, 150),), negative=((5, 60, 20),),
        ),
        Network(
            name="LongCat-Image", model=base.LongCatImage, config=supported.LongCatImage, latent=(16, 14, 16),
            unet={**_FLUX1, "vec_in_dim": None, "txt_ids_dims": [1, 2]},
            positive=((20, 33, 150),), negative=((5, 60, 20),), references=(((10, 16),) * 3,),
        ),
        Network(
            name="Chroma", model=base.Chroma, config=supported.Chroma, latent=(16, 14, 16), unet=_CHROMA,
            positive=((20, 33, 150),), negative=((5, 60, 20),),
        ),
        Network(
            name="Chroma Radiance", model=base.ChromaRadiance, config=supported.ChromaRadiance,
            latent=(3, 32, 48),
            unet={**_CHROMA, "image_model": "chroma_radiance", "in_channels": 3, "out_channels": 3,
                  "patch_size": 8, "nerf_hidden_size": 16, "nerf_mlp_ratio": 2, "nerf_depth": 1,
                  "nerf_max_freqs": 4, "nerf_tile_size": 512, "nerf_final_head_type": "conv",
                  "nerf_embedder_dtype": None, "use_x0": False, "use_sequential_txt_ids": True},
            positive=((20, 33, 150),), negative=((5, 60, 20),),
        ),
        Network(
            name="OmniGen2", model=base.Omnigen2, config=supported.Omnigen2, latent=(16, 12, 14),
            unet={"image_model": "omnigen2", **_OMNIGEN, "text_feat_dim": WIDTH}, text_mask=True,
            positive=((20, 33, 150), (20, 33, 20)), negative=((5, 60, 20), (5, 60, 5)),
            references=(((12, 14),) * 3, ((12, 14), (10, 16), (12, 14))),
        ),
        Network(
            name="Boogu-Image", model=base.Boogu, config=supported.Boogu, latent=(16, 12, 14),
            unet={"image_model": "boogu", **_OMNIGEN, "num_double_stream_layers": 1,
                  "instruction_feat_dim": WIDTH},
            text_mask=True, positive=((20, 33, 150), (20, 20)), negative=((5, 60, 20), (5, 5)),
            references=(((10, 16),) * 3, (None, None)),
        ),
        Network(
            name="ERNIE-Image", model=base.ErnieImage, config=supported.ErnieImage, latent=(128, 7, 8),
            unet={"image_model": "ernie", "hidden_size": 128, "num_attention_heads": 1, "num_layers": 2,
                  "ffn_hidden_size": 256, "text_in_dim": WIDTH, "rope_axes_dim": (32, 48, 48)},
            positive=((20, 33, 150),), negative=((5, 60, 20),), text_mask=True,
        ),
        Network(
            name="JoyAI-Image", model=base.JoyImage, config=supported.JoyImage, latent=(16, 1, 12, 14),
            unet={"image_model": "joyimage", "hidden_size": 128, "num_attention_heads": 1, "num_layers": 2,
                  "text_dim": WIDTH, "theta": 10000, "rope_dim_list": [16, 56, 56]},
            positive=((20, 33, 150),), negative=((5, 60, 20),), references=(((10, 16),) * 3,),
        ),
        Network(
            name="Kandinsky 5 Image", model=base.Kandinsky5Image, config=supported.Kandinsky5Image,
            latent=(16, 1, 12, 14), pooled=32,
            unet={"image_model": "kandinsky5", "model_dim": 96, "ff_dim": 192, "time_dim": 64,
                  "visual_embed_dim": 64, "axes_dims": (8, 12, 12), "num_text_blocks": 2,
                  "in_text_dim": WIDTH, "in_text_dim2": 32,
                  "num_visual_blocks": 2, "rope_scale_factor": (1.0, 1.0, 1.0)},
            positive=((20, 42, 150),), negative=((5, 60, 42),),
        ),
        Network(
            name="SD3 (own attention)", model=base.SD3, config=supported.SD3, latent=(16, 12, 14),
            unet={**_SD3, "x_block_self_attn_layers": [0]}, pooled=32,
            positive=((154, 231, 154, 300),), negative=((154, 154, 200, 154),),
        ),
        Network(
            name="HiDream-I1", model=base.HiDream, config=supported.HiDream, latent=(16, 12, 14), pooled=32,
            unet={"image_model": "hidream", "attention_head_dim": 32, "axes_dims_rope": [16, 8, 8],
                  "caption_channels": [WIDTH, WIDTH], "max_resolution": [128, 128], "in_channels": 16,
                  "llama_layers": [0, 1, 1], "num_attention_heads": 2, "num_routed_experts": 4,
                  "num_activated_experts": 2, "num_layers": 2, "num_single_layers": 1, "out_channels": 16,
                  "patch_size": 2, "text_emb_dim": 32},
            positive=((128, 128, 128, 200),), negative=((128, 128, 128, 128),), llama=2,
        ),
        Network(
            name="HiDream-O1", model=base.HiDreamO1, config=supported.HiDreamO1, latent=(3, 64, 96), width=1,
            unet={"image_model": "hidream_o1", "vision_config_overrides": {
                      "hidden_size": 32, "num_heads": 2, "intermediate_size": 32, "depth": 1,
                      "deepstack_visual_indexes": ()},
                  "text_config_overrides": {
                      "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
                      "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32,
                      "rope_dims": [6, 5, 5]}},
            positive=((20, 33, 20),), negative=((5, 9, 5),), token_ids=True,
        ),
    )  # fmt: skip


def _smaller_adapter() -> Any:
    """Anima's text adapter has no sizes to choose."""
    small = partial(
        LLMAdapter, source_dim=WIDTH, target_dim=WIDTH, model_dim=WIDTH, num_layers=2, num_heads=2
    )
    return patch.object(comfy.ldm.anima.model, "LLMAdapter", small)


def build(network: Network, dtype: torch.dtype, device: str = "cpu") -> Any:
    """A MODEL with seeded random weights, made on the device, where every dtype gets the same values."""
    config = network.config.__new__(network.config)
    config.unet_config = {**network.unet, "dtype": dtype}
    config.latent_format = network.config.latent_format()
    config.sampling_settings = dict(network.config.sampling_settings or {})
    config.manual_cast_dtype = config.custom_operations = config.quant_config = None
    config.layer_quant_config = None
    config.optimizations, config.memory_usage_factor = {"fp8": False}, 1.0
    place = torch.device(device)
    with _smaller_adapter() if network.name == "Anima" else nullcontext():
        model = network.model(config, device=place)
    generator = torch.Generator(place).manual_seed(3)
    tables = [  # SD3's positions come with its weights
        (name, buffer) for name, buffer in model.diffusion_model.named_buffers() if name == "pos_embed"
    ]
    for name, weights in sorted([*model.diffusion_model.named_parameters(), *tables]):
        drawn = torch.randn(weights.shape, generator=generator, device=place)
        if weights.ndim >= 2:
            weights.copy_(drawn / weights[0].numel() ** 0.5)
        else:
            weights.copy_(0.05 * drawn if name.endswith(network.around_zero) else 1 + 0.1 * drawn)
    model.diffusion_model.to(dtype)
    return comfy.model_patcher.ModelPatcher(model, place, place)


def encoded(network: Network, length: int, seed: int, size: tuple[int, int] | None = None) -> Text:
    generator = torch.Generator().manual_seed(1000 * seed + length)
    text = torch.randn((1, length, network.width), generator=generator)
    options: dict[str, Any] = {"pooled_output": None}
    if network.pooled is not None:
        options["pooled_output"] = torch.randn((1, network.pooled), generator=generator)
    if network.text_mask:
        options["attention_mask"] = torch.ones((1, length), dtype=torch.long)
    if network.llama:
        shape = (1, network.llama, length, network.width)
        options["conditioning_llama3"] = torch.randn(shape, generator=generator)
        text = text[:, :128]
    if network.token_ids:
        options["text_input_ids"] = torch.randint(0, 150000, (1, length), generator=generator)
    if network.t5_tokens:
        tokens = length + length // 4
        options["t5xxl_ids"] = torch.randint(0, 32128, (tokens,), generator=generator, dtype=torch.int)
        options["t5xxl_weights"] = 0.5 + torch.rand(tokens, generator=generator)
    if size is not None:
        shape = (1, *network.latent[:-2], *size)
        options["reference_latents"] = [torch.randn(shape, generator=generator)]
    return text, options


def conditioning(texts: Sequence[Text]) -> list[list[Any]]:
    return [list(merge(texts))]


def alone(model: Any, latent: tuple[int, ...], positive: Text, negative: Text, seed: int, **how: Any) -> Any:
    """What KSampler does, and RandomNoise; `batch` pictures of one prompt and seed."""
    empty = torch.zeros((how.get("batch", 1), *latent))
    noise = comfy.sample.prepare_noise(empty, seed)
    steps, guidance, sampler = how.get("steps", STEPS), how["guidance"], how["sampler"]
    conds = [list(positive)], [list(negative)]
    return comfy.sample.sample(
        model, noise, steps, guidance, sampler, "simple", *conds, empty, disable_pbar=True, seed=seed
    )


def together(
    model: Any, latent: tuple[int, ...], positive: list[Any], negative: list[Any], seeds: Sequence[int],
    **how: Any,
) -> Any:  # fmt: skip
    """What SamplerCustomAdvanced does with the pack's nodes."""
    told = json.dumps(list(seeds))
    empty = torch.zeros((len(seeds), *latent))
    (noise,) = sampling.RandomNoiseBatch().make(told)
    stock = comfy.samplers.sampler_object(how["sampler"])
    (sampler,) = sampling.SamplerBatch().make(stock, told)
    (sigmas,) = sampling.SigmasLikeKSampler().compute(
        model, how["sampler"], "simple", how.get("steps", STEPS), 1.0
    )
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(how["guidance"])
    drawn = noise.generate_noise({"samples": empty})
    return guider.sample(drawn, empty, sampler, sigmas, seed=noise.seed, disable_pbar=True)


@contextmanager
def row_by_row() -> Iterator[None]:
    """Runs separately for each picture what float32 rounds differently in a batch, and nothing else.

    These are products with one row per picture (what modulates a block), and attention with masked keys,
    which here takes the keys that are seen.
    """
    linear = torch.nn.functional.linear

    def product(x: Any, weight: Any, bias: Any = None) -> Any:
        if x.ndim == 1 or len(x) == 1 or x[0].numel() > x.shape[-1]:
            return linear(x, weight, bias)
        return torch.cat([linear(row[None], weight, bias) for row in x])

    def unhidden(attention: Any) -> Any:
        def attend(q: Any, k: Any, v: Any, heads: int, mask: Any = None, **more: Any) -> Any:
            if mask is None or len(q) == 1:
                return attention(q, k, v, heads, mask=mask, **more)
            tokens = 2 if more.get("skip_reshape") else 1
            own = q.shape[tokens] == k.shape[tokens]  # self-attention: the padding has queries as well
            rows = []
            for i, hidden in enumerate(mask.reshape(len(q), -1) < 0):
                (seen,) = (~hidden).nonzero(as_tuple=True)
                asks = q[i : i + 1].index_select(tokens, seen) if own else q[i : i + 1]
                few = [each[i : i + 1].index_select(tokens, seen) for each in (k, v)]
                found = attention(asks, *few, heads, **more)
                whole = found.new_zeros((1, q.shape[tokens], found.shape[2]))
                rows.append(whole.index_copy(1, seen, found) if own else found)
            return torch.cat(rows)

        return attend

    wrappers = {each.__wrapped__: each for each in (optimized_attention, optimized_attention_masked)}
    cells = [
        (cell, inner)
        for inner, wrapper in wrappers.items()
        for cell in wrapper.__closure__
        if cell.cell_contents is inner
    ]
    for cell, inner in cells:
        cell.cell_contents = unhidden(inner)
    try:
        with patch.object(torch.nn.functional, "linear", product):
            yield
    finally:
        for cell, inner in cells:
            cell.cell_contents = inner


def measure(
    network: Network, model: Any, batch: int, exact: Any = None, **how: Any
) -> tuple[dict[str, Any], Any]:
    """The measurements of a batch, and everybody's lone picture; `exact` are the lone pictures in float64."""
    lengths, negative_lengths = network.positive[batch], network.negative[batch]
    sizes = network.references[batch] if network.references else (None,) * len(lengths)
    positive = [encoded(network, *each) for each in zip(lengths, range(50), sizes, strict=False)]
    negative = [
        encoded(network, *each) for each in zip(negative_lengths, range(50, 100), sizes, strict=False)
    ]
    seeds = [100 + i for i in range(len(lengths))]

    def fused(order: Sequence[int], *, careful: bool = True) -> Any:
        conds = [conditioning([side[i] for i in order]) for side in (positive, negative)]
        used = fused_model.FusedModel().patch(model, *conds)[0] if careful else model
        return together(used, network.latent, *conds, [seeds[i] for i in order], **how)

    runs = 1

    def prepare(guider: Any, *args: Any, **how: Any) -> None:
        nonlocal runs
        stock_prepare(guider, *args, **how)
        runs = len(guider.conds["positive"][0][fused_model.split._GROUPS])

    stock_prepare = fused_model.split.prepare
    each = [
        alone(model, network.latent, *three, **how) for three in zip(positive, negative, seeds, strict=True)
    ]
    solos = torch.cat(each)
    order = list(range(len(lengths)))
    with patch.object(fused_model.split, "prepare", prepare):
        result = fused(order)
    batches = (
        alone(model, network.latent, *three, batch=len(lengths), **how)
        for three in zip(positive, negative, seeds, strict=True)
    )
    family, multiple = fused_model._family(model)
    plans = [
        fused_model._plan("x", *conditioning(side)[0], family, multiple) for side in (positive, negative)
    ]
    kinds = dict.fromkeys(plan.kind for plan in plans)
    try:
        careless = float((fused(order, careful=False) - solos).abs().max())
    except (RuntimeError, ValueError, AssertionError):
        careless = None  # ComfyUI cannot even run it
    rounding = {}
    if exact is not None:
        with row_by_row():
            apart = fused(order)
        rounding = {
            "alone_from_exact": float((solos - exact).abs().max()),
            "fused_from_exact": float((result - exact).abs().max()),
            "apart": float((apart - solos).abs().max()),
        }
    told = {
        "network": network.name,
        "way": " / ".join(f"split ({runs})" if kind == "split" else kind for kind in kinds),
        "lengths": [list(lengths), list(negative_lengths)],
        "largest": float(solos.abs().max()),
        "latents": float((result - solos).abs().max()),
        "stock": None
        if how["sampler"] == ANCESTRAL
        else max(float((batch[:1] - solo).abs().max()) for batch, solo in zip(batches, each, strict=True)),
        "order": bool(torch.equal(fused(order[::-1]).flip(0), result)),
        "careless": careless,
        **rounding,
        **how,
    }
    return told, solos


def measure_sampler(network: Network, model: Any, sampler: str) -> dict[str, Any]:
    """How far each picture of a batch is from the one alone, with one of ComfyUI's samplers."""
    texts, seeds = [encoded(network, 20 + i, i) for i in range(3)], [7, 8, 9]
    conds = [conditioning(texts), conditioning(texts[::-1])]
    how = {"guidance": 2.0, "sampler": sampler, "steps": 5}
    fused = fused_model.FusedModel().patch(model, *conds)[0]
    try:
        result = together(fused, network.latent, *conds, seeds, **how)
    except Refused as refused:
        return {"sampler": sampler, "refused": str(refused)}
    each = zip(texts, texts[::-1], seeds, strict=True)
    solos = torch.cat([alone(model, network.latent, *three, **how) for three in each])
    return {
        "sampler": sampler,
        "latents": float((result - solos).abs().max()),
        "largest": float(solos.abs().max()),
    }


def refused_references(network: Network) -> str:
    """What a batch with reference pictures is told."""
    conds = [conditioning([encoded(network, 20, i, network.latent[-2:]) for i in range(2)])] * 2
    fused = fused_model.FusedModel().patch(build(network, torch.float32), *conds)[0]
    try:
        together(fused, network.latent, *conds, [7, 8], guidance=1.0, sampler="euler")
    except Refused as refused:
        return str(refused)
    return ""


def main() -> None:
    print(json.dumps({"version": comfyui_version.__version__, "torch": torch.__version__}), flush=True)
    chosen = [each for each in NETWORKS if not ONLY or each.name in ONLY]
    with torch.inference_mode():
        for network in chosen:
            exact: dict[tuple[int, float], Any] = {}
            for dtype in (torch.float64, torch.float32):
                double = dtype is torch.float64
                # ComfyUI's fast kernels have no float64; its own flag for training makes it use plain ones.
                comfy.model_management.in_training = double
                model = build(network, dtype)
                for batch in range(len(network.positive)):
                    for guidance in (1.0, 4.0):
                        for sampler in ("euler",) if double else ("euler", ANCESTRAL):
                            truth = exact.get((batch, guidance)) if sampler == "euler" else None
                            found, solos = measure(
                                network, model, batch, truth, guidance=guidance, sampler=sampler
                            )
                            if double:
                                exact[batch, guidance] = solos
                            print(json.dumps({**found, "dtype": str(dtype)[6:]}), flush=True)
        comfy.model_management.in_training = False
        for network in chosen:
            if network.token_ids:
                print(json.dumps({"references": refused_references(network)}), flush=True)
        if ONLY:
            return
        comfy.model_management.in_training = True
        network = next(each for each in NETWORKS if each.name == "Qwen-Image")
        model = build(network, torch.float64)
        for sampler in comfy.samplers.KSampler.SAMPLERS:
            print(json.dumps(measure_sampler(network, model, sampler)), flush=True)


if __name__ == "__main__":
    main()
