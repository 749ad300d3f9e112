"""What a newcomer sees first: two other people ask for pictures, which run together, and each shares one,
so that the status page and the gallery are not empty."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from modules.demo.invocation import InvocationFailed, Payload
from modules.demo.users import SimulatedUser, components_of, text_of

log = logging.getLogger(__name__)

PROMPTS = (
    ("a castle in the mountains at dawn", "tokyo at night, neon", "a desert at dusk"),
    ("un zorro en la colina al atardecer", "a ringed planet", "an owl in a forest by moonlight"),
)
PATIENCE = 600.0


async def opening(page: str, people: Sequence[int]) -> None:
    """Return once everybody has their pictures. If the page or the bot goes away meanwhile, it returns
    too."""
    try:
        await asyncio.gather(*(_ask(page, *one) for one in zip(people, PROMPTS, strict=False)))
    except (InvocationFailed, asyncio.TimeoutError, ConnectionError) as error:
        log.warning("The people of the demonstration did not get their pictures: %s", error)


async def _ask(page: str, person: int, prompts: Sequence[str]) -> None:
    async with await SimulatedUser.connect(page, person) as user:
        channel = await user.wait_for_channel(lambda found: found.get("name") == "general")
        models = await user.autocomplete("imagine", channel["id"], "model")
        for prompt in prompts:
            model = str(models[0]["value"])
            await (await user.command("imagine", channel["id"], model=model, prompt=prompt)).reply()
        made = [await user.wait_for_message(_result_of(prompt), PATIENCE) for prompt in prompts]
        share = _share(made[0])
        assert share is not None  # the page has a gallery
        await (await user.click(made[0], share)).reply()


def _result_of(prompt: str) -> Callable[[Payload], bool]:
    return lambda message: prompt in text_of(message) and _share(message) is not None


def _share(message: Payload) -> str | None:
    """The button under a result, whatever the person's language."""
    names = (str(component.get("custom_id", "")) for component in components_of(message))
    return next((name for name in names if "share" in name), None)
