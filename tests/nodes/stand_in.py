"""What the node pack uses of ComfyUI, written from scratch: sampling, a model, guiders, the server.

`install` puts it where the pack imports ComfyUI from. It has ComfyUI's names and calls, and nothing of its
code; the networks attend to a text in the ways that the pack tells apart.
"""

from __future__ import annotations

import copy
import sys
import types
import uuid
from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

WIDTH = 8  # of a text's token, and of a latent's channels
LATENT = (WIDTH, 3, 4)


class Executor:
    """Calls the wrappers around a function, the first one first."""

    def __init__(self, function: Any, owner: Any, wrappers: Sequence[Any]) -> None:
        self.function, self.class_obj, self.wrappers = function, owner, wrappers

    def __call__(self, *args: Any, **more: Any) -> Any:
        if not self.wrappers:
            return self.function(*args, **more)
        return self.wrappers[0](Executor(self.function, self.class_obj, self.wrappers[1:]), *args, **more)


class Patcher:
    """A MODEL."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.model_options: dict[str, Any] = {"transformer_options": {}}
        self.wrappers: dict[str, dict[str, list[Any]]] = {}
        self.callbacks: dict[str, Any] = {}
        self.object_patches: dict[str, Any] = {}
        self.injections: dict[str, Any] = {}
        self.additional_models: dict[str, Any] = {}

    def clone(self) -> Patcher:
        other = copy.copy(self)
        other.model_options = {**self.model_options}
        other.model_options["transformer_options"] = {**self.model_options["transformer_options"]}
        other.wrappers = {place: dict(keyed) for place, keyed in self.wrappers.items()}
        return other

    def add_wrapper_with_key(self, place: str, key: str, wrapper: Any) -> None:
        self.wrappers.setdefault(place, {}).setdefault(key, []).append(wrapper)

    def remove_wrappers_with_key(self, place: str, key: str) -> None:
        self.wrappers.get(place, {}).pop(key, None)

    def around(self, place: str) -> list[Any]:
        return [each for keyed in self.wrappers.get(place, {}).values() for each in keyed]


class CondRegular:
    """A tensor that the model is called with, a row for each picture or one for all."""

    def __init__(self, cond: torch.Tensor) -> None:
        self.cond = cond

    def process_cond(self, batch_size: int, **_: Any) -> CondRegular:
        return CondRegular(self.cond.expand(batch_size, *self.cond.shape[1:]))

    def can_concat(self, other: CondRegular) -> bool:
        return self.cond.shape == other.cond.shape

    def concat(self, others: Sequence[CondRegular]) -> torch.Tensor:
        return torch.cat([self.cond, *(each.cond for each in others)])

    def size(self) -> list[int]:
        return list(self.cond.shape)


class Model:
    """Its class's name, which the pack goes by, is the network's name for the model."""

    latent_format = SimpleNamespace(latent_rgb_factors=[[0.05 * i, 0.1, 0.2] for i in range(WIDTH)])
    patcher: Patcher

    def __init__(self, network: Network) -> None:
        self.diffusion_model = network

    def extra_conds(self, cond: dict[str, Any]) -> dict[str, CondRegular]:
        given = {"c_crossattn": cond["cross_attn"], "attention_mask": cond.get("attention_mask")}
        return {name: CondRegular(tensor) for name, tensor in given.items() if tensor is not None}

    def apply_model(self, x: torch.Tensor, t: torch.Tensor, conds: Any, options: Any) -> torch.Tensor:
        text = conds.pop("c_crossattn")
        around = self.patcher.around("apply_model")
        return Executor(self._apply, self, around)(x, t, None, text, None, options, **conds)

    def _apply(  # noqa: PLR0917 - the pack calls it so
        self, x: torch.Tensor, t: Any, concat: Any, text: Any, control: Any, options: Any, **more: Any
    ) -> torch.Tensor:
        image = x.flatten(2).mT
        return self.diffusion_model(image, text, options, **more).mT.reshape(x.shape)


def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, mask: torch.Tensor | None = None
) -> torch.Tensor:
    scores = q @ k.mT / WIDTH**0.5
    return (scores if mask is None else scores + mask).softmax(-1) @ v


class Network(nn.Module):
    """Knows nothing of a text's length: its image attends to all tokens."""

    of = "SomeModel"

    def __init__(self) -> None:
        super().__init__()
        self.own, self.keys = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2 * WIDTH)
        self.rows: list[int] = []  # of each call

    def forward(self, image: Any, text: Any, options: Any, **more: Any) -> torch.Tensor:
        self.rows.append(len(image))
        return image + self.attended(self.own(image), text, options, **more)

    def attended(self, image: Any, text: Any, options: Any) -> torch.Tensor:
        k, v = self.keys(text).chunk(2, dim=-1)
        return attention(image, k, v, 1)


class UNetModel(Network):
    of = "BaseModel"


class Anima(Network):
    of = "Anima"


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(WIDTH, 3 * WIDTH)

    def forward(self, both: Any, transformer_options: Any = None) -> torch.Tensor:
        override = (transformer_options or {}).get("optimized_attention_override")
        q, k, v = self.mix(both).chunk(3, dim=-1)
        return both + (override(attention, q, k, v, 1) if override else attention(q, k, v, 1))


class Flux(Network):
    """Text and image attend to each other in blocks, which take another attention from their options."""

    of = "Flux"

    def __init__(self) -> None:
        super().__init__()
        self.double_blocks = nn.ModuleList([Block()])
        self.single_blocks = nn.ModuleList([Block(), Block()])

    def attended(self, image: Any, text: Any, options: Any) -> torch.Tensor:
        both = torch.cat([text, image], dim=1)
        for block in (*self.double_blocks, *self.single_blocks):
            both = block(both, transformer_options=options)
        return both[:, text.shape[1] :]


class QwenImageTransformer2DModel(Network):
    """Takes a mask over its text."""

    of = "QwenImage"

    def attended(self, image: Any, text: Any, options: Any, attention_mask: Any = None) -> torch.Tensor:
        k, v = self.keys(text).chunk(2, dim=-1)
        hidden = None if attention_mask is None else (attention_mask[:, None] - 1).to(text) * 1e30
        return attention(image, k, v, 1, hidden)


def model(kind: type[Network]) -> Patcher:
    torch.manual_seed(11)
    network = kind().double().requires_grad_(False)
    made = type(kind.of, (Model,), {})(network)
    made.patcher = Patcher(made)
    return made.patcher


class Sampler:
    pass


class KSampler(Sampler):
    """A SAMPLER around a function of k-diffusion's kind."""

    def __init__(self, function: Any, extra_options: Any = None, inpaint_options: Any = None) -> None:
        self.sampler_function = function
        self.extra_options, self.inpaint_options = extra_options or {}, inpaint_options or {}

    def sample(  # noqa: PLR0917 - the pack calls it so
        self, guider: Any, sigmas: Any, extra_args: Any, callback: Any, noise: Any, latent: Any = None,
        mask: Any = None, quiet: bool = False,
    ) -> torch.Tensor:  # fmt: skip
        def told(step: int, denoised: torch.Tensor, x: torch.Tensor) -> None:
            if callback is not None:
                callback(step, denoised, x, len(sigmas) - 1)

        start = noise * sigmas[0] + latent
        return self.sampler_function(guider, start, sigmas, extra_args, told, **self.extra_options)


def sample_euler(
    model: Any, x: torch.Tensor, sigmas: torch.Tensor, extra_args: Any, callback: Any
) -> torch.Tensor:
    for step, (now, then) in enumerate(pairwise(sigmas)):
        denoised = model(x, now.expand(len(x)), **extra_args)
        callback(step, denoised, x)
        x = denoised + (x - denoised) * (then / now)
    return x


def sample_euler_ancestral(  # noqa: PLR0917 - as k-diffusion's are
    model: Any,
    x: torch.Tensor,
    sigmas: torch.Tensor,
    extra_args: Any,
    callback: Any,
    noise_sampler: Any = None,
) -> torch.Tensor:
    """Adds noise at each step: from one stream for the whole batch, if it is not told otherwise."""
    stream = torch.Generator().manual_seed(extra_args["seed"] + 1)
    draw = noise_sampler or (lambda *_: torch.randn(x.shape, dtype=x.dtype, generator=stream))
    for step, (now, then) in enumerate(pairwise(sigmas)):
        denoised = model(x, now.expand(len(x)), **extra_args)
        callback(step, denoised, x)
        x = denoised + (x - denoised) * (then / now) / 2 + draw(now, then) * then / 2
    return x


for _function in (sample_euler, sample_euler_ancestral):
    _function.__module__ = "comfy.k_diffusion.sampling"


class Schedule:
    """What KSampler's node makes its noise levels with."""

    SAMPLERS, SCHEDULERS = ("euler", "euler_ancestral"), ("simple",)

    def __init__(self, model: Any, *, steps: int, **_: Any) -> None:
        self.sigmas = torch.linspace(1, 0, steps + 1, dtype=torch.float64)


class CFGGuider:
    def __init__(self, patcher: Patcher) -> None:
        self.model_patcher, self.model_options = patcher, patcher.model_options
        self.given: dict[str, list[dict[str, Any]]] = {}
        self.cfg = 1.0

    def set_conds(self, positive: Any, negative: Any) -> None:
        for kind, parts in (("positive", positive), ("negative", negative)):
            self.given[kind] = [
                {"model_conds": {}, **options, "cross_attn": text, "uuid": uuid.uuid4()}
                for text, options in parts
            ]

    def set_cfg(self, cfg: float) -> None:
        self.cfg = cfg

    def sample(self, noise: Any, latent: Any, sampler: Any, sigmas: Any, **more: Any) -> torch.Tensor:
        self.conds = {kind: [dict(cond) for cond in conds] for kind, conds in self.given.items()}
        options = self.model_patcher.model_options
        self.model_options = {**options, "transformer_options": dict(options["transformer_options"])}
        self.model_patcher.model.patcher = self.model_patcher  # whose wrappers its calls get
        around = self.model_patcher.around("outer_sample")
        how = (more.get("denoise_mask"), more.get("callback"), True, more.get("seed"))
        return Executor(self._sample, self, around)(noise, latent, sampler, sigmas, *how)

    def _sample(  # noqa: PLR0917 - the pack calls it so
        self,
        noise: Any,
        latent: Any,
        sampler: Any,
        sigmas: Any,
        mask: Any,
        callback: Any,
        quiet: Any,
        seed: Any,
    ) -> torch.Tensor:
        self.inner_model = self.model_patcher.model
        self.conds = process_conds(self.inner_model, noise, self.conds, noise.device, latent, mask, seed)
        extra = {"model_options": self.model_options, "seed": seed}
        around = self.model_patcher.around("sampler_sample")
        run = Executor(sampler.sample, sampler, around)
        return run(self, sigmas, extra, callback, noise, latent, mask, True)

    def __call__(self, x: Any, sigma: Any, model_options: Any, seed: Any) -> torch.Tensor:
        sides = [self.conds["positive"], self.conds["negative"] if self.cfg != 1 else None]
        around = self.model_patcher.around("calc_cond_batch")
        run = Executor(calculate, self, around)
        positive, negative = run(self.inner_model, sides, x, sigma, model_options)
        return negative + self.cfg * (positive - negative) if self.cfg != 1 else positive


CFGGuider.__module__ = "comfy.samplers"


def process_conds(model: Model, noise: Any, conds: Any, *_: Any, **__: Any) -> Any:
    return {
        kind: [{**cond, "model_conds": {**cond["model_conds"], **model.extra_conds(cond)}} for cond in conds]
        for kind, conds in conds.items()
    }


def calculate(model: Model, conds: Any, x: torch.Tensor, sigma: Any, options: Any) -> list[torch.Tensor]:
    def one(cond: Any) -> torch.Tensor:
        called = {
            name: each.process_cond(batch_size=len(x), area=None).cond
            for name, each in cond["model_conds"].items()
        }
        return model.apply_model(x, sigma, called, options["transformer_options"])

    return [
        torch.stack([one(cond) for cond in each]).mean(0) if each else torch.zeros_like(x) for each in conds
    ]


class Server:
    """Stands for PromptServer: one prompt runs, and what is sent is kept."""

    def __init__(self) -> None:
        self.client_id: str | None = None
        self.last_prompt_id = self.last_node_id = ""
        self.graph: dict[str, Any] = {}
        self.sent: list[tuple[str, dict[str, Any], str]] = []
        self.prompt_queue = self

    def get_current_queue(self) -> tuple[list[Any], list[Any]]:
        return [(0, self.last_prompt_id, self.graph, {}, [])], []

    def send_sync(self, event: str, data: dict[str, Any], client_id: str) -> None:
        self.sent.append((event, data, client_id))


SERVER = Server()


def install() -> None:
    """Puts the stand-ins among Python's modules. The server has no folder for temporary files yet."""
    hooks = ("HookGroup", "WeightHook", "AdditionalModelsHook", "TransformerOptionsHook")
    places = ("OUTER_SAMPLE", "SAMPLER_SAMPLE", "CALC_COND_BATCH", "APPLY_MODEL")
    modules: dict[str, dict[str, Any]] = {
        "comfy": {"__path__": []},
        "comfy.conds": {"CONDRegular": CondRegular},
        "comfy.controlnet": {},
        "comfy.hooks": {name: type(name, (), {}) for name in hooks},
        "comfy.model_management": {"sage_attention_enabled": lambda: False},
        "comfy.patcher_extension": {"WrappersMP": SimpleNamespace(**{each: each.lower() for each in places})},
        "comfy.samplers": {
            "Sampler": Sampler, "KSAMPLER": KSampler, "KSampler": Schedule, "CFGGuider": CFGGuider,
            "process_conds": process_conds,
        },
        "folder_paths": {},
        "nodes": {"NODE_CLASS_MAPPINGS": {}},
        "server": {"PromptServer": SimpleNamespace(instance=SERVER)},
    }  # fmt: skip
    for name, content in modules.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        sys.modules[name] = module
        parent, _, own = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], own, module)
