"""Models are data: one file more in the folder is one more choice in /imagine."""

from __future__ import annotations

import shutil
from pathlib import Path

from modules.ai.models.loading import load_templates, offers
from tests.discord_stand import colour_of, make_engine, pixel, result_for, whole_room

FLUJOS = Path(__file__).parents[2] / "flujos"


async def test_a_workflow_file_dropped_in_is_one_more_choice_that_makes_pictures(tmp_path: Path) -> None:
    flujos = shutil.copytree(FLUJOS, tmp_path / "flujos")
    shutil.copy(flujos / "z-image.json", flujos / "Dream of mine.json")
    before = {offer.name for offer in offers(load_templates(FLUJOS).values())}
    after = offers(load_templates(flujos).values())
    engine = make_engine()
    engine.limits = {offer.name: 4 for offer in after}
    async with whole_room(tmp_path, offers=after, engine=engine) as stand:
        ana = await stand.person()
        choices = {c["value"]: c["name"] for c in await ana.autocomplete("imagine", stand.general, "model")}
        imagined = {offer.name for offer in after if offer.kind == "imagine"}
        assert set(choices) == imagined == {"dream-of-mine", *(before & imagined)}
        assert "Dream of mine" in choices["dream-of-mine"]
        await ana.command("imagine", stand.general, model="dream-of-mine", prompt="a hill", seed=3)
        result = await result_for(ana, "seed `3`")
        assert "Dream of mine" in result["content"]
        assert pixel(await ana.download(result["attachments"][0]["url"])) == colour_of("a hill", 3)
