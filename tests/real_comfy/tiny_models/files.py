"""What the tiny model files hold: ComfyUI's own networks, smaller, with seeded random weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy.clip_model
import comfy.ldm.flux.model
import comfy.ldm.lumina.model
import comfy.ops
import comfy.taesd.taesd
import comfy.text_encoders.llama
import comfy.text_encoders.t5
import torch
from safetensors.torch import save_file

try:
    import gguf
except ImportError:
    gguf = None

TOLD = "tiny_config"  # the name of the tensor that says what a file holds
CHANNELS = "tae_latent_channels"  # in a small VAE's metadata
QWEN, T5, CLIP_L = 32, 64, 64  # the widths of a token
HOW = {"dtype": torch.float32, "device": "cpu", "operations": comfy.ops.disable_weight_init}
Weights = dict[str, torch.Tensor]

_FLUX = {"hidden_size": 128, "num_heads": 1, "depth": 1, "depth_single_blocks": 1, "patch_size": 2}


def telling(what: object) -> torch.Tensor:
    """In numbers that every file format keeps."""
    return torch.tensor(list(json.dumps(what).encode()), dtype=torch.float32)


def told(tensor: torch.Tensor) -> Any:
    return json.loads(bytes(int(number) for number in tensor.float().tolist()))


@torch.no_grad()
def drawn(network: torch.nn.Module, seed: int, gain: float = 1.0) -> Weights:
    """Weights under which values neither vanish nor explode."""
    generator = torch.Generator().manual_seed(seed)
    for name, weights in sorted(network.named_parameters()):
        values = torch.randn(weights.shape, generator=generator)
        if any(part in name for part in ("embed_tokens", "shared", "embedding", "pad_token")):
            weights.copy_(0.5 * values)
        elif weights.ndim >= 2:
            weights.copy_(gain * values / math.sqrt(weights[0].numel()))
        elif name.endswith("bias"):
            weights.copy_(0.05 * values)
        else:
            weights.copy_(1 + 0.1 * values)
    return dict(network.state_dict())


def flux1(*, guidance: bool = False) -> Weights:
    return drawn(
        comfy.ldm.flux.model.Flux(
            **_FLUX, in_channels=16, out_channels=16, vec_in_dim=CLIP_L, context_in_dim=T5, mlp_ratio=4.0,
            axes_dim=[16, 56, 56], theta=10000, qkv_bias=True, guidance_embed=guidance, txt_ids_dims=[],
            **HOW,
        ),
        11,
    )  # fmt: skip


def klein() -> Weights:
    sizes = {**_FLUX, "patch_size": 1}
    return drawn(
        comfy.ldm.flux.model.Flux(
            **sizes, in_channels=128, out_channels=128, vec_in_dim=None, context_in_dim=3 * QWEN,
            mlp_ratio=3.0, axes_dim=[32] * 4, theta=2000, qkv_bias=False, guidance_embed=False,
            txt_ids_dims=[3], global_modulation=True, mlp_silu_act=True, ops_bias=False,
            default_ref_method="index", ref_index_scale=10.0, **HOW,
        ),
        12,
    )  # fmt: skip


def z_image() -> Weights:
    sizes = {
        "image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 256, "cap_feat_dim": QWEN,
        "n_layers": 2, "n_refiner_layers": 1, "qk_norm": True, "n_heads": 4, "n_kv_heads": 4,
        "axes_dims": [16, 24, 24], "axes_lens": [1536, 512, 512], "rope_theta": 256.0, "time_scale": 1000.0,
        "ffn_dim_multiplier": 8 / 3, "z_image_modulation": True, "pad_tokens_multiple": 32,
        "tiny_zimage": True,
    }  # fmt: skip
    return {**drawn(comfy.ldm.lumina.model.NextDiT(**sizes, **HOW), 13), TOLD: telling(sizes)}


def encoder(network: torch.nn.Module, seed: int, kind: str, of: str, sizes: dict[str, Any]) -> Weights:
    """`kind`: ComfyUI's name for what the file holds; `of`: for which of a model's encoders."""
    halves = {name: weights.half() for name, weights in drawn(network, seed).items()}
    return {**halves, TOLD: telling({"kind": kind, "options": {f"{of}_model_config": sizes}})}


def qwen3() -> Weights:
    sizes = {
        "hidden_size": QWEN, "intermediate_size": 64, "num_hidden_layers": 28, "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }  # fmt: skip
    network = comfy.text_encoders.llama.Qwen3_4B(dict(sizes), *HOW.values())
    return encoder(network, 14, "QWEN3_4B", "qwen3_4b", sizes)


def t5() -> Weights:
    sizes = {"d_model": T5, "d_ff": 128, "d_kv": 32, "num_heads": 2, "num_layers": 2}
    network = comfy.text_encoders.t5.T5(_resized("text_encoders/t5_config_xxl.json", sizes), *HOW.values())
    return encoder(network, 15, "T5_XXL", "t5xxl", sizes)


def clip_l() -> Weights:
    sizes = {
        "hidden_size": CLIP_L, "intermediate_size": 128, "num_attention_heads": 2, "num_hidden_layers": 2,
    }  # fmt: skip
    network = comfy.clip_model.CLIPTextModel(_resized("sd1_clip_config.json", sizes), *HOW.values())
    return encoder(network, 16, "CLIP_L", "clip_l", sizes)


def _resized(config: str, sizes: dict[str, Any]) -> dict[str, Any]:
    file = Path(comfy.ops.__file__).parent / config
    return {**json.loads(file.read_text(encoding="utf-8")), **sizes}


def vae(channels: int) -> Weights:
    weights = drawn(comfy.taesd.taesd.TAESD(latent_channels=channels), 17, gain=1.2)
    last = max(int(name.split(".")[1]) for name in weights if name.startswith("taesd_decoder."))
    weights[f"taesd_decoder.{last}.weight"] *= 0.03  # pictures between black and white
    weights[f"taesd_decoder.{last}.bias"][:] = 0.5
    return {**weights, "vae_scale": torch.tensor(1.0), "vae_shift": torch.tensor(0.0)}


def checkpoint() -> Weights:
    parts = {
        "model.diffusion_model.": flux1(), "vae.": vae(16), "text_encoders.t5xxl.transformer.": t5(),
        "text_encoders.clip_l.transformer.": clip_l(),
    }  # fmt: skip
    return {prefix + name: weights for prefix, part in parts.items() for name, weights in part.items()}


RANK = 4


def lora(network: Weights, encoder_name: str, text: Weights) -> Weights:
    """A LoRA of every matrix of a network and of its text encoder, of about a third of their size."""
    generator = torch.Generator().manual_seed(18)
    found: Weights = {}
    for prefix, weights in (
        ("diffusion_model.", network),
        (f"text_encoders.{encoder_name}.transformer.", text),
    ):
        for name, matrix in weights.items():
            if name.endswith(".weight") and matrix.ndim == 2:
                key, (rows, columns) = prefix + name.removesuffix(".weight"), matrix.shape
                up = torch.randn((rows, RANK), generator=generator) / (3 * math.sqrt(RANK))
                down = torch.randn((RANK, columns), generator=generator) / math.sqrt(columns)
                found |= {f"{key}.lora_up.weight": up, f"{key}.lora_down.weight": down}
    return found


FILES: dict[str, Callable[[], Weights]] = {
    "checkpoints/flux1-schnell-fp8.safetensors": checkpoint,
    "diffusion_models/flux-2-klein-4b.safetensors": klein,
    "diffusion_models/flux-2-klein-4b-fp8.safetensors": klein,
    "diffusion_models/flux-2-klein-base-4b-fp8.safetensors": klein,
    "diffusion_models/flux1-dev.safetensors": lambda: flux1(guidance=True),
    "diffusion_models/flux1-schnell.safetensors": flux1,
    "diffusion_models/z_image_bf16.safetensors": z_image,
    "diffusion_models/z_image_turbo_bf16.safetensors": z_image,
    "loras/tiny_flux1.safetensors": lambda: lora(flux1(), "t5xxl", t5()),
    "loras/tiny_klein.safetensors": lambda: lora(klein(), "qwen3_4b", qwen3()),
    "loras/tiny_z_image.safetensors": lambda: lora(z_image(), "qwen3_4b", qwen3()),
    "text_encoders/clip_l.safetensors": clip_l,
    "text_encoders/qwen_3_4b.safetensors": qwen3,
    "text_encoders/t5xxl_fp16.safetensors": t5,
    "vae/ae.safetensors": lambda: vae(16),
    "vae/flux2-vae.safetensors": lambda: vae(128),
    "vae/full_encoder_small_decoder.safetensors": lambda: vae(128),
}
WIDE = ("vae/flux2-vae.safetensors", "vae/full_encoder_small_decoder.safetensors")
GGUF: dict[str, tuple[str, Callable[[], Weights]]] = {  # with ComfyUI-GGUF, which brings the package gguf
    "diffusion_models/flux-2-klein-4b-Q5_K_M.gguf": ("flux", klein),
    "diffusion_models/flux1-schnell-Q4_K_S.gguf": ("flux", flux1),
    "diffusion_models/z-image-turbo-Q5_K_M.gguf": ("lumina2", z_image),
    "text_encoders/Qwen3-4B-Q6_K.gguf": ("qwen3", lambda: llama_cpp_names(qwen3())),
}
_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "model.layers.": "blk.",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "post_attention_layernorm": "ffn_norm", "input_layernorm": "attn_norm",
}  # fmt: skip


def llama_cpp_names(weights: Weights) -> Weights:
    """As files of llama.cpp name what Qwen's own call otherwise."""
    renamed = {}
    for name, tensor in weights.items():
        theirs = name
        for own, other in _NAMES.items():
            theirs = theirs.replace(own, other)
        renamed[theirs] = tensor
    return renamed


def write_missing(models: Path) -> list[str]:
    """Writes each file that is not in the models folder yet; gives their names."""
    missing = [name for name in (*FILES, *(GGUF if gguf else ())) if not (models / name).exists()]
    for name in missing:
        part = models / f"{name}.part"
        part.parent.mkdir(parents=True, exist_ok=True)
        if name in GGUF:
            kind, make = GGUF[name]
            _write_gguf(part, kind, make())
        else:
            weights = {key: tensor.contiguous().clone() for key, tensor in FILES[name]().items()}
            save_file(weights, part, metadata={CHANNELS: "128"} if name in WIDE else {"format": "pt"})
        part.replace(models / name)
    return missing


def _write_gguf(file: Path, kind: str, weights: Weights) -> None:
    writer = gguf.GGUFWriter(file, kind)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    for name, tensor in weights.items():
        writer.add_tensor(name, tensor.float().contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
