"""What ``check --fusion`` calls equal, and what it compares."""

from __future__ import annotations

import io
import math

import pytest
from PIL import Image

from modules.ai.fusion_check.difference import APART, EXACT, Difference, between, limit, worst
from modules.ai.fusion_check.people import COMPARED, COMPARED_NEGATIVES, People
from modules.ai.fusion_check.stock_batch import judged, stock_batch
from modules.ai.fusion_check.trial import Comparison, ModelTrial
from modules.ai.workflows.cards import read_card
from modules.ai.workflows.graph import Link, read_graph
from modules.ai.workflows.templates import WorkflowTemplate
from tests.workflow_graphs import SHIPPED, node


def png(colour: tuple[int, int, int], size: tuple[int, int] = (10, 10), spot: int | None = None) -> bytes:
    image = Image.new("RGB", size, colour)
    if spot is not None:
        image.putpixel((3, 4), (spot, *colour[1:]))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_pictures_are_compared_byte_by_byte() -> None:
    assert between(png((1, 2, 3)), png((1, 2, 3))) == Difference()
    assert Difference().psnr == math.inf
    spot = between(png((10, 20, 30)), png((10, 20, 30), spot=13))
    assert (spot.largest, spot.share) == (3, pytest.approx(1 / 300))
    assert spot.rms == pytest.approx(math.sqrt(9 / 300))
    assert between(png((0, 0, 0)), png((255, 255, 255))).psnr == 0
    assert between(png((0, 0, 0)), png((0, 0, 0), size=(10, 9))) == APART
    assert worst([spot, Difference(largest=1, share=1.0, rms=0.1)]) == Difference(
        largest=3, share=1.0, rms=spot.rms
    )


def test_a_fused_picture_may_be_twice_as_far_as_a_stock_batch_but_never_half_way_to_somebody_elses() -> None:
    assert limit(Difference(rms=3.0), apart=60.0) == 6.0
    assert limit(Difference(rms=0.0), apart=60.0) == EXACT, "rounding in one byte of 2,000 needs no excuse"
    assert limit(Difference(rms=40.0), apart=60.0) == 30.0
    assert limit(None, apart=60.0) == EXACT


@pytest.mark.parametrize(("rms", "same"), [(5.9, True), (6.1, False)])
def test_only_what_is_too_far_sets_a_model_to_one_by_one(rms: float, same: bool) -> None:
    stock = Difference(largest=30, share=0.5, rms=3.0)
    fine = Comparison(rows=2, fused=stock, stock=stock, allowed=limit(stock, apart=60.0))
    found = Comparison(
        rows=4, fused=Difference(largest=30, share=0.5, rms=rms), stock=stock, allowed=limit(stock, 60.0)
    )
    trial = ModelTrial(
        model="flux", version="v", comparisons=(fine, found), alone=2.0, batches={1: 2.1, 2: 1.2, 4: 0.9}
    )
    outcome = trial.outcome(123.0)
    assert outcome is not None
    assert (outcome.version, outcome.checked_at, outcome.rows) == ("v", 123.0, 4)
    assert outcome.gain == pytest.approx(2.0 / 0.9)
    if same:
        assert outcome.why_alone is None
    else:
        differ = "in a batch of 4, its pictures differ from those made alone (PSNR 32.4 dB"
        assert differ in str(outcome.why_alone)


def test_what_could_not_be_found_out_changes_nothing() -> None:
    assert ModelTrial(model="flux", error="out of memory").outcome(1.0) is None


def test_everybody_asks_for_something_else_each_time() -> None:
    people = People(template=SHIPPED["flux"], first_seed=7)
    asked = [*people.requests(4), *people.requests(8, turn=1), *people.requests(8, turn=2)]
    assert len({each.prompt for each in asked}) == len({each.seed for each in asked}) == 20
    for texts in (COMPARED, COMPARED_NEGATIVES):
        assert any(len(text.split()) > 512 for text in texts), "longer than FLUX's encoders pad"
        assert any(len(text.split()) < 5 for text in texts)
    edits = People(template=SHIPPED["flux_edit"], first_seed=7).requests(4)
    assert len({source.key for each in edits for source in each.sources}) == 4
    assert len({each.size for each in edits}) == 1, "they can share a run"


def two_passes(sampler: str = "euler") -> WorkflowTemplate:
    def ksampler(latent: str) -> dict[str, object]:
        return node(
            "KSampler", model=["1", 0], seed=0, steps=4, cfg=1.0, sampler_name=sampler, scheduler="simple",
            positive=["4", 0], negative=["4", 0], latent_image=[latent, 0], denoise=1.0,
        )  # fmt: skip

    graph = {
        "1": node("CheckpointLoaderSimple", ckpt_name="a.safetensors"),
        "4": node("CLIPTextEncode", clip=["1", 1], text=""),
        "6": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "7": ksampler("6"),
        "8": node("LatentUpscaleBy", samples=["7", 0], upscale_method="bilinear", scale_by=2.0),
        "9": ksampler("8"),
        "10": node("VAEDecode", samples=["9", 0], vae=["1", 2]),
        "11": node("SaveImage", images=["10", 0], filename_prefix="x"),
    }
    card = {
        "label": "two", "kind": "imagine", "steps": 4, "sizes": ["64x64"],
        "roles": {"prompt": "4.text", "seed": ["7.seed", "9.seed"], "output": "11.images"},
    }  # fmt: skip
    return WorkflowTemplate(name="two", card=read_card(card), graph=read_graph(graph))


def test_a_stock_batch_repeats_what_the_first_sampler_starts_from() -> None:
    made = stock_batch(two_passes(), 4)
    assert made is not None
    repeated = made.graph["7"].inputs["latent_image"]
    assert isinstance(repeated, Link)
    assert made.graph[repeated.node].class_type == "RepeatLatentBatch"
    assert made.graph[repeated.node].inputs == {"samples": Link("6", 0), "amount": 4}
    assert made.graph["9"].inputs["latent_image"] == Link("8", 0), "it gets the batch of the first"
    assert stock_batch(SHIPPED["upscale"], 4) is None


@pytest.mark.parametrize(
    ("sampler", "instead"),
    [("euler_ancestral", "euler"), ("dpmpp_2m_sde", "euler"), ("lcm", "euler"), ("uni_pc", "uni_pc")],
)
def test_samplers_that_add_noise_at_each_step_are_judged_with_euler(sampler: str, instead: str) -> None:
    template = two_passes(sampler)
    compared = judged(template)
    assert {compared.graph[place].inputs["sampler_name"] for place in ("7", "9")} == {instead}
    assert (compared is template) == (sampler == instead)


def test_a_sampler_without_a_name_is_judged_with_euler() -> None:
    template = SHIPPED["flux"]
    graph = dict(template.graph)
    (chosen,) = (place for place, each in graph.items() if each.class_type == "KSamplerSelect")
    own = node("SamplerEulerAncestral", eta=1.0, s_noise=1.0)
    graph[chosen] = read_graph({chosen: own})[chosen]
    compared = judged(WorkflowTemplate(name="own", card=template.card, graph=graph))
    assert compared.graph[chosen].inputs == {"sampler_name": "euler"}
