# SPDX-License-Identifier: GPL-3.0-or-later
"""Where each network attends to its text, so that a shorter text's padding can be hidden (pure).

Each entry was measured: tests/real_comfy/networks.py runs it on small networks, and docs/fidelity.md has
the numbers. Networks go by the class names of ComfyUI's base model and of the network itself, exactly: a
subclass may use its text differently.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Paths of modules in a network; a list of modules stands for each of them."""

    text: tuple[str, ...] = ()  # their keys are the text
    joint: tuple[str, ...] = ()  # their keys are the text and the image
    last: bool = False  # the text comes after the image
    times: int = 1  # how many times the text is repeated there
    pair: bool = False  # hide only if there are as many keys as tokens in the module's first two arguments
    mask: str | None = None  # the argument that takes the mask; without it, they take transformer_options
    positions: str | None = None  # the module that embeds positions, if the image's follow the text's
    axes: tuple[int, ...] = ()  # the axes of the positions on which they follow
    unless: str | None = None  # the rope option with which they do not follow
    counted: bool = False  # the model takes the sum of the batch's attention mask for the number of tokens


_FLUX = ("double_blocks", "single_blocks")
_OMNIGEN = {"positions": "rope_embedder.rope_embedder", "axes": (0,), "counted": True}

LAYOUTS: dict[tuple[str, str], Layout] = {
    ("Flux", "Flux"): Layout(joint=_FLUX),
    ("Flux2", "Flux"): Layout(joint=_FLUX),
    ("Chroma", "Chroma"): Layout(joint=_FLUX),
    ("ChromaRadiance", "ChromaRadiance"): Layout(joint=_FLUX),
    ("LongCatImage", "Flux"): Layout(joint=_FLUX, positions="pe_embedder", axes=(1, 2), unless="shift_y"),
    ("Krea2", "SingleStreamDiT"): Layout(text=("txtfusion.refiner_blocks",), joint=("blocks",)),
    ("Omnigen2", "OmniGen2Transformer2DModel"): Layout(
        text=("context_refiner",), joint=("layers",), **_OMNIGEN
    ),
    ("Boogu", "BooguTransformer2DModel"): Layout(
        text=("context_refiner",),
        joint=("double_stream_layers.img_instruct_attn", "single_stream_layers"),
        **_OMNIGEN,
    ),
    ("ErnieImage", "ErnieImageModel"): Layout(
        joint=("layers",), last=True, mask="attention_mask", positions="pos_embed", axes=(0,)
    ),
    ("JoyImage", "JoyImageTransformer3DModel"): Layout(joint=("double_blocks",), last=True),
    ("HiDream", "HiDreamImageTransformer2DModel"): Layout(
        joint=("double_stream_blocks", "single_stream_blocks"), last=True, times=2
    ),
    ("SD3", "OpenAISignatureMMDITWrapper"): Layout(joint=("joint_blocks",), pair=True),
    ("Kandinsky5Image", "Kandinsky5"): Layout(
        text=("text_transformer_blocks", "visual_transformer_blocks.cross_attention")
    ),
}
