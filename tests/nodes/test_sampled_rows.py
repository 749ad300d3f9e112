"""A whole batch through the pack's nodes, on stand-in networks: everybody gets their lone run's latents."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from fullet_nodes import guard, previews  # noqa: E402
from fullet_nodes.fused_model import FusedModel  # noqa: E402
from fullet_nodes.inputs import Refused  # noqa: E402
from fullet_nodes.rows import JoinRows  # noqa: E402
from fullet_nodes.sampling import RandomNoiseBatch, SamplerBatch, SigmasLikeKSampler  # noqa: E402

from tests.nodes import stand_in  # noqa: E402

SEEDS = (7, 8, 9)
STEPS = 3
EULER, ANCESTRAL = stand_in.sample_euler, stand_in.sample_euler_ancestral
Conditioning = list[list[Any]]


def encoded(length: int, person: int) -> Conditioning:
    generator = torch.Generator().manual_seed(1000 * person + length)
    text = torch.randn((1, length, stand_in.WIDTH), dtype=torch.float64, generator=generator)
    return [[text, {"pooled_output": None}]]


def empty(people: int) -> torch.Tensor:
    return torch.zeros((people, *stand_in.LATENT), dtype=torch.float64)


def alone(model: Any, positive: Conditioning, negative: Conditioning, seed: int, *how: Any) -> torch.Tensor:
    """As stock nodes make it, with a sampler and a guidance."""
    sampler, cfg = how
    noise = torch.randn((1, *stand_in.LATENT), generator=torch.Generator().manual_seed(seed)).double()
    guider = stand_in.CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(cfg)
    sigmas = stand_in.Schedule(model, steps=STEPS).sigmas
    return guider.sample(noise, empty(1), stand_in.KSampler(sampler), sigmas, seed=seed)


def joined(rows: Sequence[Conditioning]) -> Conditioning:
    return JoinRows().join(**{f"row{i}": [row] for i, row in enumerate(rows)})[0]


def together(
    model: Any, positive: Sequence[Conditioning], negative: Sequence[Conditioning], sampler: Any, cfg: float,
    **more: Any,
) -> torch.Tensor:  # fmt: skip
    """As the bot's graphs make it."""
    seeds = json.dumps(SEEDS[: len(positive)])
    sides = joined(positive), joined(negative)
    (fused,) = FusedModel().patch(model, *sides)
    return sampled(fused, sides, seeds, sampler, cfg, **more)


def sampled(
    model: Any, sides: tuple[Conditioning, Conditioning], seeds: str, sampler: Any, cfg: float, **more: Any
) -> torch.Tensor:
    (noise,) = RandomNoiseBatch().make(seeds)
    (batch,) = SamplerBatch().make(stand_in.KSampler(sampler), seeds)
    (sigmas,) = SigmasLikeKSampler().compute(model, "euler", "simple", STEPS, 1.0)
    guider = stand_in.CFGGuider(model)
    guider.set_conds(*sides)
    guider.set_cfg(cfg)
    latent = empty(len(json.loads(seeds)))
    drawn = noise.generate_noise({"samples": latent})
    return guider.sample(drawn, latent, batch, sigmas, seed=noise.seed, **more)


WAYS = {
    "repeated": (stand_in.UNetModel, (3, 6, 12), (3, 3, 3), {3}),
    "sub-batches, because repeating would be too long": (stand_in.UNetModel, (5, 7, 5), (3, 3, 3), {2, 1}),
    "hidden keys": (stand_in.Flux, (3, 12, 7), (5, 2, 9), {3}),
    "the model's own mask": (stand_in.QwenImageTransformer2DModel, (3, 12, 7), (5, 2, 9), {3}),
    "sub-batches of equal length": (stand_in.Anima, (4, 9, 4), (2, 3, 2), {2, 1}),
    "a call for each, because nobody knows the network": (stand_in.Network, (4, 4, 4), (2, 2, 2), {1}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cfg", [1.0, 4.0])
@pytest.mark.parametrize("sampler", [EULER, ANCESTRAL])
def test_everybody_gets_the_latents_of_their_lone_run(way: str, cfg: float, sampler: Any) -> None:
    kind, lengths, negative_lengths, calls = WAYS[way]
    model = stand_in.model(kind)
    positive = [encoded(length, i) for i, length in enumerate(lengths)]
    negative = [encoded(length, 50 + i) for i, length in enumerate(negative_lengths)]
    people = zip(positive, negative, SEEDS, strict=True)
    lone = torch.cat([alone(model, *person, sampler, cfg) for person in people])
    network = model.model.diffusion_model
    network.rows.clear()
    result = together(model, positive, negative, sampler, cfg)
    assert set(network.rows) == calls
    torch.testing.assert_close(result, lone, rtol=0, atol=1e-12)
    distances = (result[:, None] - lone[None]).flatten(2).abs().amax(2)
    assert distances.fill_diagonal_(1.0).min() > 1e-3, "nobody is near to anybody else"


def test_with_an_attention_that_drops_masks_each_runs_in_a_call_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guard, "exact_attention", lambda: False)
    model = stand_in.model(stand_in.Flux)
    positive, negative = [encoded(4 + i, i) for i in range(3)], [encoded(2, 50 + i) for i in range(3)]
    lone = [alone(model, *person, EULER, 4.0) for person in zip(positive, negative, SEEDS, strict=True)]
    model.model.diffusion_model.rows.clear()
    result = together(model, positive, negative, EULER, 4.0)
    torch.testing.assert_close(result, torch.cat(lone), rtol=0, atol=1e-12)
    assert max(model.model.diffusion_model.rows) == 1


@pytest.mark.parametrize("asked", ["sage_attention_enabled", "comfy_kitchen_attention_enabled"])
def test_no_attention_in_8_bits_is_exact(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    assert guard.exact_attention()
    monkeypatch.setattr(guard.comfy.model_management, asked, lambda: True, raising=False)
    assert not guard.exact_attention()


def test_texts_of_unequal_length_without_fused_model_are_refused() -> None:
    sides = joined([encoded(3, 0), encoded(5, 1)]), joined([encoded(2, 2), encoded(2, 3)])
    with pytest.raises(Refused, match="put FusedModel before the sampler"):
        sampled(stand_in.model(stand_in.Flux), sides, "[1, 2]", EULER, 4.0)


def patched(model: Any) -> Any:
    """By a node that nobody knows."""

    class TeaCache:
        @staticmethod
        def function(args: Any) -> Any:
            return args["denoised"]

    TeaCache.function.__module__ = "custom_nodes.somebodys"
    changed = model.clone()
    changed.model_options["sampler_post_cfg_function"] = [TeaCache.function]
    return changed


@pytest.mark.parametrize("later", [False, True], ids=["before FusedModel", "after FusedModel"])
def test_a_patch_that_nobody_knows_is_refused_for_several_people_and_not_for_one(later: bool) -> None:
    model = stand_in.model(stand_in.Flux)

    def run(people: int, vouched: str = "[]") -> torch.Tensor:
        sides = tuple(joined([encoded(3, side + i) for i in range(people)]) for side in (0, 50))
        (fused,) = FusedModel().patch(model if later else patched(model), *sides, vouched=vouched)
        seeds = json.dumps(SEEDS[:people])
        return sampled(patched(fused) if later else fused, sides, seeds, EULER, 4.0)

    with pytest.raises(Refused, match=r"is patched by .*not known to keep the pictures of a batch apart"):
        run(2)
    node = type("TeaCacheNode", (), {"__module__": "custom_nodes.somebodys"})
    sys.modules["nodes"].NODE_CLASS_MAPPINGS["TeaCache"] = node  # type: ignore[attr-defined]
    try:
        run(2, '["TeaCache"]')
    finally:
        del sys.modules["nodes"].NODE_CLASS_MAPPINGS["TeaCache"]  # type: ignore[attr-defined]
    assert torch.equal(run(1), alone(model, encoded(3, 0), encoded(3, 50), SEEDS[0], EULER, 4.0))


def test_a_sampler_that_takes_seeds_gets_all_of_them() -> None:
    seen = []

    def sample_dpmpp_sde(  # noqa: PLR0917 - as k-diffusion's are
        model: Any, x: Any, sigmas: Any, extra_args: Any, callback: Any, noise_sampler: Any = None
    ) -> Any:
        seen.append((extra_args["seed"], noise_sampler))
        return x

    sample_dpmpp_sde.__module__ = "comfy.k_diffusion.sampling"
    people = [encoded(3, i) for i in range(3)]
    together(stand_in.model(stand_in.UNetModel), people, people, sample_dpmpp_sde, 1.0)
    assert seen == [([7, 8, 9], None)]


def test_stocks_ancestral_sampler_gives_a_batch_other_pictures() -> None:
    """So the test above would see a stream that people share."""
    model, person = stand_in.model(stand_in.UNetModel), encoded(3, 0)
    guider = stand_in.CFGGuider(model)
    guider.set_conds(person, person)
    noise, sigmas = RandomNoiseBatch().make("[7, 8]")[0], stand_in.Schedule(model, steps=STEPS).sigmas
    drawn = noise.generate_noise({"samples": empty(2)})
    batch = guider.sample(drawn, empty(2), stand_in.KSampler(ANCESTRAL), sigmas, seed=7)
    lone = [alone(model, person, person, seed, ANCESTRAL, 1.0) for seed in SEEDS[:2]]
    assert (batch - torch.cat(lone)).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("sampler", "why"),
    [
        (stand_in.KSampler(lambda: None), "is not one of ComfyUI's own samplers"),
        (object(), "object is not one of ComfyUI's own samplers"),
        (stand_in.KSampler(EULER, {"s_churn": 2.0}), "churn draws noise from one stream"),
    ],
)
def test_a_sampler_that_mixes_rows_or_that_nobody_knows_is_refused(sampler: Any, why: str) -> None:
    with pytest.raises(Refused, match=f"^SamplerBatch: input sampler: .*{why}"):
        SamplerBatch().make(sampler, "[1, 2]")


def test_a_range_of_the_steps_is_what_ksampler_advanced_would_run() -> None:
    model = stand_in.model(stand_in.UNetModel)

    def levels(*how: Any) -> list[float]:
        return SigmasLikeKSampler().compute(model, "euler", "simple", 4, 1.0, *how)[0].tolist()

    assert levels() == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert levels(1, 3, "enable") == [0.75, 0.5, 0.25]
    assert levels(1, 3, "disable") == [0.75, 0.5, 0.0]
    assert levels(4, 10000) == []


# ── previews ────────────────────────────────────────────────────────────────────────────────────

KEYS = tuple(f"{n:032x}" for n in range(3))


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A running prompt whose pictures are to be previewed at every second step."""
    save = {"images": ["decode", 0], "keys": json.dumps(KEYS), "preview_every": 2}
    graph = {
        "sampler": {"class_type": "SamplerCustomAdvanced", "inputs": {}},
        "decode": {"class_type": "VAEDecode", "inputs": {"samples": ["sampler", 0]}},
        "save": {"class_type": "SaveImageBatch", "inputs": save},
    }
    told = {"client_id": "the bot", "last_prompt_id": "p1", "last_node_id": "sampler", "graph": graph}
    for name, value in {**told, "sent": []}.items():
        monkeypatch.setattr(stand_in.SERVER, name, value)
    return stand_in.SERVER


def previewed(calls: list[int]) -> None:
    people = [encoded(3 + i, i) for i in range(3)]
    more = {"callback": lambda step, *_: calls.append(step)}
    together(stand_in.model(stand_in.Flux), people, people, EULER, 1.0, **more)
    previews._encoder().submit(lambda: None).result(10)  # what was sent before it has arrived


def test_everybodys_preview_goes_out_under_their_own_key(watching: Any) -> None:
    calls: list[int] = []
    previewed(calls)
    assert calls == [0, 1, 2]
    assert [(name, data["key"], data["step"], to) for name, data, to in watching.sent] == [
        ("fullet_preview", key, 2, "the bot") for key in KEYS
    ]
    assert len({data["image"] for _, data, _ in watching.sent}) == 3


@pytest.mark.parametrize("part", ["latent_to_rgb", "_jpeg"])
def test_a_preview_that_fails_is_logged_once_and_does_not_fail_the_run(
    part: str, watching: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("no colours")

    watching.graph["save"]["inputs"]["preview_every"] = 1
    monkeypatch.setattr(previews, part, fails)
    calls: list[int] = []
    previewed(calls)
    assert calls == [0, 1, 2]
    assert watching.sent == []
    assert [record.message for record in caplog.records] == ["no more previews for this run"]
