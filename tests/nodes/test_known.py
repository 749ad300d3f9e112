"""What is known to keep rows apart: recognised by where its code comes from, even inside wrappers."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from fullet_nodes.known import KNOWN, home, module_name, package, parts, unknown


def written_in(module: str, name: str, function: Callable[..., Any]) -> Any:
    function.__module__, function.__qualname__ = module, f"{name}.execute.<locals>.patch"
    return function


def guidance_patch(rescaling_scale: float) -> Any:
    def patch() -> float:
        return rescaling_scale

    return written_in("comfy_extras.nodes_slg", "SkipLayerGuidanceDiT", patch)


def somebody_elses() -> Any:
    return written_in("/srv/comfy/custom_nodes/Pack.nodes", "TeaCache", lambda: None)


def test_a_node_of_comfyuis_own_is_known_under_the_path_that_the_server_loads_it_from() -> None:
    for module in (
        "comfy_extras.nodes_pag",
        "/srv/comfy/comfy_extras/nodes_pag",
        r"C:\comfy\comfy_extras\nodes_pag",
    ):
        assert not unknown(
            written_in(module, "PerturbedAttentionGuidance", lambda: None), sub_batches=True
        ), module


@pytest.mark.parametrize(
    "module",
    ["/srv/custom_nodes/nodes_pag", "/srv/custom_nodes/Pack.comfy_extras.nodes_pag", "nodes_pag"],
)
def test_a_name_like_one_of_comfyuis_is_not_enough(module: str) -> None:
    assert unknown(written_in(module, "PerturbedAttentionGuidance", lambda: None), sub_batches=False)


def test_self_attention_guidance_is_known_in_a_batch_but_not_in_sub_batches() -> None:
    patch = written_in("comfy_extras.nodes_sag", "SelfAttentionGuidance", lambda: None)
    assert not unknown(patch, sub_batches=False)
    assert unknown(patch, sub_batches=True)


def test_skip_layer_guidance_is_known_without_rescaling_only() -> None:
    assert not unknown(guidance_patch(0), sub_batches=True)
    assert not unknown(guidance_patch(0.0), sub_batches=True)
    assert unknown(guidance_patch(0.7), sub_batches=False)


def test_a_function_is_told_by_where_it_was_written_not_by_what_holds_it() -> None:
    function = somebody_elses()
    place = ("/srv/comfy/custom_nodes/Pack.nodes", "TeaCache")
    assert home(function) == home(partial(function, 1)) == place

    class Holder:
        def method(self) -> None: ...

        @classmethod
        def made(cls) -> None: ...

    own = (__name__, "test_a_function_is_told_by_where_it_was_written_not_by_what_holds_it")
    assert home(Holder()) == home(Holder) == home(Holder().method) == home(Holder.made) == own


def test_what_comfyui_wraps_around_a_function_does_not_hide_it() -> None:
    inner = somebody_elses()

    def around() -> Any:
        return inner()

    around.__module__ = "comfy.model_patcher"
    around.__qualname__ = "ModelPatcher.set_model_sampler_cfg_function.<locals>.<lambda>"
    assert list(parts({"sampler_cfg_function": around})) == [inner]


def test_plain_options_patch_nothing() -> None:
    options = {
        "disable_cfg1_optimization": True,
        "transformer_options": {"rope_options": {"scale_x": 1.5}, "names": ["a", None], "id": uuid.uuid4()},
    }
    assert list(parts(options)) == []


def test_all_that_is_not_plain_is_found_however_deep_it_lies() -> None:
    function, holder = somebody_elses(), SimpleNamespace()
    options = {"transformer_options": {"wrappers": {"outer": {None: [function]}}, "cache": (holder,)}}
    assert list(parts(options)) == [function, holder]


def test_a_pack_is_vouched_for_as_a_whole_and_comfyuis_nodes_file_by_file() -> None:
    assert package("/srv/custom_nodes/Pack_x_1.nodes.cache") == package("/srv/custom_nodes/Pack_x_1")
    assert package("/home/me/.comfy/custom_nodes/one") != package("/home/me/.comfy/custom_nodes/two")
    assert package(r"C:\me.comfy\custom_nodes\Pack.nodes") == r"C:\me.comfy\custom_nodes\Pack"
    assert package("/srv/comfy/comfy_extras/nodes_nag") == "comfy_extras.nodes_nag"
    assert package("comfy.samplers") != package("comfy.model_base")


def test_known_names_are_spelled_as_they_are_looked_up() -> None:
    for name in KNOWN:
        module, _, owner = name.rpartition(".")
        assert module_name(module) == module
        assert owner.isidentifier()
