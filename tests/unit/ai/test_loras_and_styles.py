"""``loras.toml`` and ``styles.toml``: what they may say, and the sentence for what they may not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modules.ai.models.loras_and_styles import misfits, read_loras, read_styles
from modules.queue_manager.errors import BadWorkflow
from modules.queue_manager.jobs import Style
from modules.queue_manager.manager import MAX_PROMPT
from modules.queue_manager.offers import LoraOffer
from modules.queue_manager.stranded import PATIENCE
from tests.workflow_graphs import FLUJOS, SHIPPED

LEAST = '[grain]\nlabel = "Film grain"\nfile = "photo\\\\grain.safetensors"\nmodels = ["flux"]\n'
STYLE = '[noir]\nprompt = "noir {prompt}, rain"\nlabel.en = "Noir"\n'


def test_a_short_entry_is_enough(tmp_path: Path) -> None:
    (tmp_path / "loras.toml").write_text(LEAST, encoding="utf-8")
    (lora,) = read_loras(tmp_path)
    assert lora == LoraOffer(
        name="grain",
        label="Film grain",
        file="photo/grain.safetensors",
        models=("flux",),
        strengths=(0.25, 1.5),
        strength=1.0,
    )
    assert lora.steps() == [0.25, 0.5, 0.75, 1.0, 1.25, 1.5]
    (tmp_path / "styles.toml").write_text(STYLE, encoding="utf-8")
    assert read_styles(tmp_path) == (
        Style(name="noir", label=(("en", "Noir"),), prompt="noir {prompt}, rain"),
    )


def test_a_full_entry_says_all_of_it(tmp_path: Path) -> None:
    more = 'trigger_words = "grainy"\nstrengths = [-1, 0.5]\ndefault = 0.25\nclip = true\nroles = [12, 34]\n'
    (tmp_path / "loras.toml").write_text(LEAST + more, encoding="utf-8")
    (lora,) = read_loras(tmp_path)
    assert (lora.words, lora.strengths, lora.strength, lora.clip) == ("grainy", (-1.0, 0.5), 0.25, True)
    assert (lora.allows([34]), lora.allows([56])) == (True, False)


def test_what_we_ship_is_right_and_without_the_files_there_is_nothing(tmp_path: Path) -> None:
    assert (read_loras(tmp_path), read_styles(tmp_path)) == ((), ())
    assert read_loras(FLUJOS) == ()
    styles = read_styles(FLUJOS)
    assert 8 <= len(styles) <= 12
    assert all({"en", "es"} == dict(style.label).keys() for style in styles)
    example = (FLUJOS / "loras.toml").read_text(encoding="utf-8").partition("# [film")[2]
    uncommented = "[film" + example.replace("\n# ", "\n")
    (tmp_path / "loras.toml").write_text(uncommented, encoding="utf-8")
    (lora,) = read_loras(tmp_path)
    assert (lora.name, list(misfits(lora, SHIPPED))) == ("film-grain", [])


def test_what_the_documentation_shows_is_right(tmp_path: Path) -> None:
    told = (FLUJOS.parent / "docs" / "create.md").read_text(encoding="utf-8")
    loras, styles = re.findall(r"```toml\n(.*?)```", told, re.DOTALL)
    (tmp_path / "loras.toml").write_text(loras, encoding="utf-8")
    (tmp_path / "styles.toml").write_text(styles, encoding="utf-8")
    assert [lora.name for lora in read_loras(tmp_path)] == ["film-grain"]
    assert read_styles(tmp_path)[0] in read_styles(FLUJOS)
    assert f"{MAX_PROMPT} characters" in told
    assert f"{PATIENCE / 60:g} minutes" in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LEAST.replace("label", "lable"), "grain.label is missing"),
        (LEAST.replace('"flux"', ""), "grain.models: at least one is needed"),
        (LEAST.replace("[grain]", "[none]"), "none: a table is needed, such as [film-grain]"),
        (LEAST.replace("[grain]", "[Grain]"), "Grain: a table is needed"),
        ("grain = 1", "grain: a table is needed"),
        (LEAST + "strengths = [0.25]", "grain.strengths: [least, most] is needed"),
        (LEAST + "strengths = [0.2, 1]", "in steps of 0.25"),
        (LEAST + "strengths = [1, 0.5]", "grain.strengths"),
        (LEAST + "strengths = [nan, inf]", "grain.strengths"),
        (LEAST + "strengths = [-4, 4]", "at most 25 strengths"),
        (LEAST + "default = 2", "grain.default: 2 is not a number from 0.25 to 1.5"),
        (LEAST + "default = 0.3", "grain.default: a multiple of 0.25 is needed"),
        (LEAST + 'roles = ["12"]', "grain.roles: a list of Discord role IDs is needed, without quotes"),
        (LEAST + "strenght = 1", "grain.strenght: no such field"),
        ("[grain", "not TOML"),
    ],
)
def test_a_faulty_entry_is_told_with_its_field(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "loras.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BadWorkflow) as fault:
        read_loras(tmp_path)
    assert fault.value.reason.startswith("loras.toml: ")
    assert words in fault.value.reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (STYLE.replace("{prompt}", ""), "noir.prompt: it needs {prompt} once"),
        (STYLE.replace("{prompt}", "{prompt} {prompt}"), "noir.prompt: it needs {prompt} once"),
        (STYLE.replace("label.en", "label.es"), "noir.label.en is missing"),
        (STYLE + "colour = 1", "noir.colour: no such field"),
    ],
)
def test_a_faulty_style_is_told_with_its_field(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "styles.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BadWorkflow) as fault:
        read_styles(tmp_path)
    assert words in fault.value.reason


def test_models_that_it_does_not_fit_are_told(tmp_path: Path) -> None:
    (tmp_path / "loras.toml").write_text(
        LEAST.replace('"flux"', '"flux", "flx", "upscale"'), encoding="utf-8"
    )
    (lora,) = read_loras(tmp_path)
    assert list(misfits(lora, SHIPPED)) == [
        ("flx", "there is no model flx; did you mean flux?"),
        ("upscale", "it cannot be used with upscale: an upscale takes no LoRA"),
    ]
