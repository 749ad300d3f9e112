"""Graphs for the tests of the GPU side: the shipped models, and exported workflows of many shapes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from modules.ai.fusion.sources import scaling
from modules.ai.inspection import inspect_models
from modules.ai.workflows.cards import read_card, read_fields
from modules.ai.workflows.graph import read_graph, write_graph
from modules.ai.workflows.templates import WorkflowTemplate
from modules.demo.comfy_server.nodes.node_table import NodeTable
from modules.demo.comfy_server.nodes.validation import validate
from modules.demo.comfy_server.profile import ServerProfile

FLUJOS = Path(__file__).parent.parent / "flujos"
SHIPPED = inspect_models(FLUJOS)[0]

_TABLE = NodeTable(
    ServerProfile(extra_models={"loras": ("one.safetensors", "two.safetensors")}), frozenset(), frozenset()
)


def refusals(graph: Any) -> list[Any]:
    """What a ComfyUI with the node pack would refuse in a graph, by its recorded node table."""
    verdict = validate(write_graph(graph), _TABLE, lambda class_type, inputs: None)
    return [verdict.error, verdict.node_errors] if verdict.error or verdict.node_errors else []


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """A node as an export has it."""
    return {"class_type": class_type, "inputs": inputs}


def template(graph: dict[str, Any], card: str, name: str = "dropped-in") -> WorkflowTemplate:
    """A model made of an exported graph and a card's text."""
    read, parsed = read_graph(json.loads(json.dumps(graph))), read_card(read_fields(card))
    scalings = tuple(scaling(read, place.node) for place in parsed.places("sources"))
    return WorkflowTemplate(name=name, card=parsed, graph=read, scalings=scalings)


@dataclass(frozen=True)
class Exported:
    """A workflow as somebody might have drawn it, and what of it must survive fusion."""

    graph: dict[str, Any]
    card: str
    kept: frozenset[str]
    negative: str

    @property
    def template(self) -> WorkflowTemplate:
        return template(self.graph, self.card)


@st.composite
def exported(draw: st.DrawFn, *, runnable: bool = True) -> Exported:
    """Text-to-image workflows: loaders, LoRAs, model patches, guidance, every kind of sampler."""
    names = iter(draw(st.permutations([str(n) for n in range(1, 60)] + [f"{n}:{n + 3}" for n in range(9)])))
    graph: dict[str, Any] = {}

    def add(class_type: str, **inputs: Any) -> list[Any]:
        node_id = next(names)
        graph[node_id] = node(class_type, **inputs)
        return [node_id, 0]

    model = add("UnetLoaderGGUF", unet_name="flux-2-klein-4b-Q5_K_M.gguf")
    clip = add("CLIPLoaderGGUF", clip_name="Qwen3-4B-Q6_K.gguf", type="flux2")
    vae = add("VAELoader", vae_name="flux2-vae.safetensors")
    kept = {model[0], clip[0], vae[0]}
    for lora in draw(st.lists(st.sampled_from(["one.safetensors", "two.safetensors"]), max_size=3)):
        model = add("LoraLoaderModelOnly", model=model, lora_name=lora, strength_model=0.5)
        kept.add(model[0])
    for patch in draw(st.lists(st.sampled_from(["ModelSamplingAuraFlow", "ModelSamplingSD3"]), max_size=2)):
        model = add(patch, model=model, shift=3.0)
        kept.add(model[0])

    prompt = positive = add("CLIPTextEncode", clip=clip, text="a constant prompt")
    if draw(st.booleans()):
        positive = add("FluxGuidance", conditioning=positive, guidance=3.5)
        kept.add(positive[0])
    use = draw(st.sampled_from(["none", "own", "shared"]))
    text = None
    if use != "none" or draw(st.booleans()):
        text = negative = add("CLIPTextEncode", clip=clip, text="a constant negative")
    else:
        negative = add("ConditioningZeroOut", conditioning=positive)
        kept.add(negative[0])

    latent = add("EmptyFlux2LatentImage", width=256, height=256, batch_size=1)
    kept.add(latent[0])
    sizes = [latent[0]]
    sampler_name = draw(st.sampled_from(["euler", "euler_ancestral", "dpm_2", "uni_pc", "res_multistep"]))
    kind = draw(st.sampled_from(["KSampler", "SamplerCustom", "CFGGuider", "BasicGuider"]))
    if kind == "KSampler":
        sampled = add(
            "KSampler", model=model, seed=5, steps=4, cfg=2.0, sampler_name=sampler_name, scheduler="simple",
            positive=positive, negative=negative, latent_image=latent, denoise=1.0,
        )  # fmt: skip
        seed = f"{sampled[0]}.seed"
    else:
        sampler = add("KSamplerSelect", sampler_name=sampler_name)
        if draw(st.booleans()):
            sigmas = add("Flux2Scheduler", steps=4, width=256, height=256)
            sizes.append(sigmas[0])
        else:
            sigmas = add("BasicScheduler", model=model, scheduler="simple", steps=4, denoise=1.0)
        kept |= {sampler[0], sigmas[0]}
    if kind == "SamplerCustom":
        sampled = add(
            "SamplerCustom", model=model, add_noise=True, noise_seed=5, cfg=2.0, positive=positive,
            negative=negative, sampler=sampler, sigmas=sigmas, latent_image=latent,
        )  # fmt: skip
        seed = f"{sampled[0]}.noise_seed"
    elif kind != "KSampler":
        noise = add("RandomNoise", noise_seed=5)
        if kind == "CFGGuider":
            guider = add("CFGGuider", model=model, positive=positive, negative=negative, cfg=2.0)
        else:
            guider = add("BasicGuider", model=model, conditioning=positive)
        sampled = add(
            "SamplerCustomAdvanced", noise=noise, guider=guider, sampler=sampler, sigmas=sigmas,
            latent_image=latent,
        )  # fmt: skip
        seed = f"{noise[0]}.noise_seed"
    if kind == "BasicGuider":  # nothing negative leads to the output
        use, text = "none", None
        kept.discard(negative[0])
    image = add("VAEDecode", samples=sampled, vae=vae)
    kept.add(image[0])
    if draw(st.booleans()):
        add("PreviewImage", images=image)
    output = add("SaveImage", filename_prefix="mine", images=image)

    shuffled = {node_id: graph[node_id] for node_id in draw(st.permutations(sorted(graph)))}
    card = "\n".join([
        'label = "Dropped in"', 'kind = "imagine"', "steps = 4", f'negative = "{use}"',
        'sizes = ["256x256"]', "[roles]", f'prompt = "{prompt[0]}.text"', f'seed = "{seed}"',
        *([f'negative = "{text[0]}.text"'] if use != "none" and text is not None else []),
        f"width = {json.dumps([f'{n}.width' for n in sizes])}",
        f"height = {json.dumps([f'{n}.height' for n in sizes])}",
        f'batch = "{latent[0]}.batch_size"', f'output = "{output[0]}.images"',
    ])  # fmt: skip
    return Exported(graph=shuffled, card=card, kept=frozenset(kept), negative=use)
