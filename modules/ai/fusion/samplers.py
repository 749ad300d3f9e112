"""Samplers as a graph has them, and their exact equivalents that give each row its own noise."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from modules.ai import node_pack as pack
from modules.ai.workflows.constants import FOLDED
from modules.ai.workflows.graph import JSON, Graph, Link, Node, NodeInput, named

KSAMPLER = "KSampler"
CUSTOM = "SamplerCustom"
ADVANCED = "SamplerCustomAdvanced"
RANGED = "KSamplerAdvanced"
SAMPLERS = frozenset({KSAMPLER, RANGED, CUSTOM, ADVANCED})
OWN_NOISE = frozenset({"noise", "seed", "noise_seed"})
"""The inputs by which a sampler gets its noise."""
SEED_HOLDERS = FOLDED | {"CR Seed", "Seed (rgthree)", "easy seed"}
"""Nodes that pass on the number they hold."""

GUIDERS = {
    "CFGGuider": ("positive", "negative"),
    "BasicGuider": ("conditioning",),
    "DualCFGGuider": ("cond1", "cond2", "negative"),
}
"""The guiders that are known to be exact, and the inputs of their conditionings, the positive ones first."""

STOCK_SAMPLERS = frozenset({
    "ddim", "ddpm", "deis", "dpm_2", "dpm_2_ancestral", "dpm_fast", "dpmpp_2m", "dpmpp_2m_cfg_pp",
    "dpmpp_2m_sde", "dpmpp_2m_sde_gpu", "dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun_gpu", "dpmpp_2s_ancestral",
    "dpmpp_2s_ancestral_cfg_pp", "dpmpp_3m_sde", "dpmpp_3m_sde_gpu", "dpmpp_sde", "dpmpp_sde_gpu", "er_sde",
    "euler", "euler_ancestral", "euler_ancestral_cfg_pp", "euler_cfg_pp", "exp_heun_2_x0",
    "exp_heun_2_x0_sde", "gradient_estimation", "gradient_estimation_cfg_pp", "heun", "heunpp2", "ipndm",
    "ipndm_v", "lcm", "lms", "res_multistep", "res_multistep_ancestral", "res_multistep_ancestral_cfg_pp",
    "res_multistep_cfg_pp", "sa_solver", "sa_solver_pece", "seeds_2", "seeds_3", "uni_pc", "uni_pc_bh2",
})  # fmt: skip
"""ComfyUI's samplers that are exact for each row; samplers from other packs may not be."""

_STEP_NOISE = ("ancestral", "sde", "ddpm", "lcm", "sa_solver", "seeds_")
"""What is in the names of the samplers that add noise at each step."""

Seed = int | list[int | float]
"""An entry of RandomNoiseBatch's seeds: a seed, or [seed, variation seed, strength]."""


class Unfusible(Exception):
    """The graph cannot serve several people in one run; the message says which node is the reason."""


def seed_place(graph: Graph, node_id: str) -> NodeInput | None:
    """The input with the seed of a sampler's noise, or None."""
    node = graph[node_id]
    if node.class_type != ADVANCED:
        return NodeInput(node_id, "seed" if node.class_type == KSAMPLER else "noise_seed")
    noise = _linked(graph, node_id, "noise")
    if noise.class_type == "DisableNoise":
        return None
    if noise.class_type != "RandomNoise":
        raise Unfusible(
            f"{named(graph, node_id)}: its noise comes from a {noise.class_type}, not from RandomNoise"
        )
    return NodeInput(_link(graph, node_id, "noise").node, "noise_seed")


def draws_step_noise(sampler_name: JSON | Link) -> bool:
    """Whether one of ComfyUI's samplers adds noise at each step."""
    return isinstance(sampler_name, str) and any(part in sampler_name for part in _STEP_NOISE)


def draws_noise(graph: Graph, node_id: str) -> bool:
    """Whether the sampler adds noise to what it starts from."""
    if graph[node_id].class_type == ADVANCED:
        return seed_place(graph, node_id) is not None
    adds = graph[node_id].inputs.get("add_noise", True)
    if adds not in (True, False, "enable", "disable"):
        raise Unfusible(f"{named(graph, node_id)}: its add_noise is computed in the graph")
    return adds in (True, "enable")


def fused_sampler(graph: Graph, node_id: str, seeds: Sequence[Seed]) -> dict[str, Node]:
    """The nodes that stand in for the sampler ``node_id`` (itself among them, under its own id)."""
    return _REWRITERS[graph[node_id].class_type](graph, node_id, json.dumps(list(seeds)))


def varied_sampler(graph: Graph, node_id: str, seed: Seed) -> dict[str, Node]:
    """The nodes that stand in for the sampler ``node_id`` where its one picture starts from mixed noise;
    model, guider, sampler and schedule stay as they are."""
    node, noise, guider = graph[node_id], f"fullet_{node_id}_noise", f"fullet_{node_id}_guider"
    mixed = {noise: Node(class_type=pack.NOISE, inputs={"seeds": json.dumps([seed])})}
    if node.class_type == ADVANCED:
        return {**mixed, node_id: node.having(noise=Link(noise, 0))}
    schedule, sampler, sigmas = _scheduled(graph, node_id)
    inputs = _inputs(graph, node_id, "model", "positive", "negative", "cfg")
    return {
        **mixed,
        **schedule,
        guider: Node(class_type="CFGGuider", inputs=inputs),
        node_id: _advanced(graph, node_id, sampler=sampler, sigmas=sigmas),
    }


def _scheduled(graph: Graph, node_id: str) -> tuple[dict[str, Node], Link, Link]:
    """The extra nodes that choose a sampler and its noise levels, and the links to both."""
    if graph[node_id].class_type == CUSTOM:
        return {}, _link(graph, node_id, "sampler"), _link(graph, node_id, "sigmas")
    # KSampler computes its sigmas itself and drops the last but one for some samplers: so does this node.
    sigmas = _inputs(graph, node_id, "model", "sampler_name", "scheduler", "steps")
    if graph[node_id].class_type == KSAMPLER:
        sigmas |= _inputs(graph, node_id, "denoise")
    else:
        sigmas |= _inputs(graph, node_id, "start_at_step", "end_at_step", "return_with_leftover_noise")
        sigmas["denoise"] = 1.0
    select, sigma_id = f"fullet_{node_id}_select", f"fullet_{node_id}_sigmas"
    nodes = {
        select: Node(class_type="KSamplerSelect", inputs={"sampler_name": sigmas["sampler_name"]}),
        sigma_id: Node(class_type=pack.SIGMAS, inputs=sigmas),
    }
    return nodes, Link(select, 0), Link(sigma_id, 0)


def _from_custom(graph: Graph, node_id: str, seeds: str) -> dict[str, Node]:
    refuse_choices(graph, node_id)
    schedule, sampler, sigmas = _scheduled(graph, node_id)
    batch, noise = f"fullet_{node_id}_sampler", Node(class_type=pack.NOISE, inputs={"seeds": seeds})
    return {
        **schedule,
        **_with_guider(graph, node_id),
        f"fullet_{node_id}_noise": noise if draws_noise(graph, node_id) else Node(class_type="DisableNoise"),
        batch: Node(class_type=pack.SAMPLER, inputs={"sampler": sampler, "seeds": seeds}),
        node_id: _advanced(graph, node_id, sampler=Link(batch, 0), sigmas=sigmas),
    }


def _from_advanced(graph: Graph, node_id: str, seeds: str) -> dict[str, Node]:
    node = graph[node_id]
    guider_id = _link(graph, node_id, "guider").node
    guider = graph[guider_id]
    if guider.class_type not in GUIDERS:
        raise Unfusible(
            f"{named(graph, guider_id)}: only the guiders {' and '.join(GUIDERS)} are known to be exact"
        )
    positive, *others = GUIDERS[guider.class_type]
    fused = f"fullet_{guider_id}_model"
    model = _fused_model(graph, guider_id, positive, *others[-1:])
    changed: dict[str, Link] = {"sampler": Link(f"fullet_{node_id}_sampler", 0)}
    nodes = {
        fused: model,
        guider_id: guider.having(model=Link(fused, 0)),
        changed["sampler"].node: Node(
            class_type=pack.SAMPLER, inputs={"sampler": _link(graph, node_id, "sampler"), "seeds": seeds}
        ),
    }
    if seed_place(graph, node_id) is not None:
        changed["noise"] = Link(f"fullet_{node_id}_noise", 0)
        nodes[changed["noise"].node] = Node(class_type=pack.NOISE, inputs={"seeds": seeds})
    return {**nodes, node_id: node.having(**changed)}


def refuse_choices(graph: Graph, node_id: str) -> None:
    """Raise `Unfusible` if a node names a sampler that is not one of ComfyUI's exact ones."""
    value = graph[node_id].inputs.get("sampler_name")
    if value == "dpm_adaptive":
        raise Unfusible(f"{named(graph, node_id)}: {value} chooses its steps from the whole batch")
    if value is not None and not (isinstance(value, str) and value in STOCK_SAMPLERS):
        raise Unfusible(f"{named(graph, node_id)}: its sampler_name is not known to be exact in a batch")


_REWRITERS: Mapping[str, Callable[[Graph, str, str], dict[str, Node]]] = {
    KSAMPLER: _from_custom,
    RANGED: _from_custom,
    CUSTOM: _from_custom,
    ADVANCED: _from_advanced,
}


def _with_guider(graph: Graph, node_id: str) -> dict[str, Node]:
    fused, guider = f"fullet_{node_id}_model", f"fullet_{node_id}_guider"
    inputs = _inputs(graph, node_id, "positive", "negative", "cfg")
    return {
        fused: _fused_model(graph, node_id, "positive", "negative"),
        guider: Node(class_type="CFGGuider", inputs={"model": Link(fused, 0), **inputs}),
    }


def _fused_model(graph: Graph, node_id: str, positive: str, negative: str | None = None) -> Node:
    inputs: dict[str, JSON] = {
        "model": _link(graph, node_id, "model"),
        "positive": _link(graph, node_id, positive),
    }
    if negative is not None:
        inputs["negative"] = _link(graph, node_id, negative)
    return Node(class_type=pack.MODEL, inputs=inputs)


def _advanced(graph: Graph, node_id: str, *, sampler: Link, sigmas: Link) -> Node:
    return Node(
        class_type=ADVANCED,
        inputs={
            "noise": Link(f"fullet_{node_id}_noise", 0),
            "guider": Link(f"fullet_{node_id}_guider", 0),
            "sampler": sampler,
            "sigmas": sigmas,
            "latent_image": _link(graph, node_id, "latent_image"),
        },
        title=graph[node_id].title,
    )


def _inputs(graph: Graph, node_id: str, *names: str) -> dict[str, JSON]:
    node = graph[node_id]
    for name in names:
        if name not in node.inputs:
            raise Unfusible(f"{named(graph, node_id)}: its input {name} is missing")
    return {name: node.inputs[name] for name in names}


def _link(graph: Graph, node_id: str, name: str) -> Link:
    link = graph[node_id].inputs.get(name)
    if not isinstance(link, Link):
        raise Unfusible(f"{named(graph, node_id)}: its input {name} is not connected")
    return link


def _linked(graph: Graph, node_id: str, name: str) -> Node:
    return graph[_link(graph, node_id, name).node]
