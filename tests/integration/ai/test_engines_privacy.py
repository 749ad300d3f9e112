"""Many fused batches of strangers, with faults among them: nobody's file holds anything of anybody else.

``PRIVACY_BATCHES`` sets how many batches are run (a few by default, 1000 for the full measure).
"""

from __future__ import annotations

import os
import random
import re
import zlib

from modules.demo.comfy_server import ServerProfile, Timing
from modules.queue_manager.errors import GenerationError
from modules.queue_manager.jobs import GenerationRequest, Picture
from tests.integration.comfy_rig import Rig, ask, comfy_rig, heard, is_of

BATCHES = int(os.environ.get("PRIVACY_BATCHES", "60"))
SECRET = re.compile(rb"secret-[0-9a-f]{16}")


def strangers(dice: random.Random, count: int) -> list[GenerationRequest]:
    """People with secrets in their prompts, and models to choose from."""
    model = dice.choice(["flux", "z-image"])
    return [
        ask(
            f"secret-{dice.getrandbits(64):016x} " + dice.choice(["", '"], ["', "\\", "</s>", "é" * 50]),
            dice.getrandbits(53),
            model=model,
            user=dice.getrandbits(60),
        )
        for _ in range(count)
    ]


def readable(picture: Picture) -> bytes:
    """The file's bytes, and what its compressed parts hold."""
    inflated, data, at = b"", picture.data, 8
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind in (b"zTXt", b"iTXt"):
            inflated += zlib.decompressobj().decompress(data[at + 8 : at + 8 + length].rpartition(b"\0\0")[2])
        at += 12 + length
    return data + inflated


def secrets_of(request: GenerationRequest) -> tuple[bytes, ...]:
    """What nobody else may see."""
    return request.prompt[:23].encode(), str(request.user_id).encode()


async def one_batch(rig: Rig, engine: object, people: list[GenerationRequest]) -> int:
    """Run a batch; check each picture that comes of it; how many there were."""
    run = await engine.submit(rig.batch(*people))  # type: ignore[attr-defined]
    await heard(run)
    for index, owner in enumerate(people):
        picture = await run.fetch(index)
        assert is_of(picture, owner)
        held = readable(picture)
        assert set(SECRET.findall(held)) <= {owner.prompt[:23].encode()}  # nor of any batch before
        for other in people:
            for secret in secrets_of(other) if other is not owner else ():
                assert secret not in held
        assert str(owner.user_id).encode() not in held
    return len(people)


async def test_no_file_holds_anything_of_a_stranger() -> None:
    dice = random.Random(7)
    delivered, told, hidden = 0, [], set()
    for version in ("2.0.0", None):
        profile = ServerProfile(pack_version=version)
        async with comfy_rig(profile=profile, timing=Timing(encode=0.001)) as rig:
            engine = rig.engine(picture_format=dice.choice(["png", "webp"]))
            for _ in range(BATCHES if version else BATCHES // 6):
                people = strangers(dice, dice.randint(1, 6) if version else 1)
                rig.server.faults.clear()
                fault = dice.randrange(8)
                if fault == 0:
                    rig.server.faults.set(oom_above=dice.randint(1, 4))
                elif fault == 1:
                    rig.server.faults.set(poison=dice.choice(people).prompt)
                elif fault == 2:
                    await rig.server.drop_sockets()
                elif fault == 3:
                    rig.server.faults.set(foreign_outputs=True)
                elif fault == 4:
                    await rig.server.restart()
                try:
                    delivered += await one_batch(rig, engine, people)
                except GenerationError as error:
                    told.append(str(error))
                    hidden |= {secret.decode() for person in people for secret in secrets_of(person)}
    assert delivered > BATCHES
    assert told
    assert not [text for text in told if any(secret in text for secret in hidden)]
