"""What kind of ComfyUI the embedded server claims to be, and how long its work takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

GIB = 1024**3


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerProfile:
    """The server's traits as a client can see them.

    ``cache_lru`` 0 is the default cache, which keeps the last prompt's nodes only; any other number is
    the server's flag ``--cache-lru``; ``flags`` are any others. ``pack_version`` None is a plain server
    without the node pack.
    ``extra_models`` adds file names to a folder (such as ``loras``). ``api_key`` is asked for as a Bearer
    token, or as HTTP Basic when it holds a colon. With ``ngrok`` every request without the header that
    skips ngrok's warning page gets that page.
    """

    version: str = "0.33.0"
    device: str = "cuda:0 NVIDIA GeForce RTX 4090 : cudaMallocAsync"
    vram_total: int = 24 * GIB
    cache_lru: int = 0
    flags: tuple[str, ...] = ()
    pack_version: str | None = "2.0.0"
    gguf: bool = True
    missing_models: frozenset[str] = frozenset()
    missing_nodes: frozenset[str] = frozenset()
    extra_models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    api_key: str | None = None
    ngrok: bool = False

    @property
    def argv(self) -> list[str]:
        """The command line as /system_stats shows it."""
        line = ["main.py", "--listen", "127.0.0.1", "--port", "8188", "--disable-auto-launch", *self.flags]
        return [*line, "--cache-lru", str(self.cache_lru)] if self.cache_lru else line


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """How long things take, in seconds, before ``speed`` divides the GPU's share of them.

    A sampler run of ``n`` rows takes ``steps · (step + n · row)``, times a factor drawn from
    ``1 ± noise`` (seeded, one draw per run). ``load`` is what reading a diffusion model costs, ``decode``
    one picture's VAE decoding, ``encode`` one picture's compression (for SaveImage the sampler waits
    for it, for SaveImageBatch it does not), ``fetch`` one picture's download, ``handover`` one POST /prompt,
    ``between`` the pause from one prompt to the next.
    """

    load: float = 0.0
    step: float = 0.0
    row: float = 0.0
    decode: float = 0.0
    encode: float = 0.0
    fetch: float = 0.0
    handover: float = 0.0
    between: float = 0.0
    noise: float = 0.0
    speed: float = 1.0

    def sampling(self, *, steps: int, rows: int, factor: float) -> float:
        """Seconds of one sampler run, given the noise ``factor``."""
        return steps * (self.step + rows * self.row) * factor / self.speed

    @classmethod
    def measured(
        cls,
        *,
        batch: float,
        picture: float,
        steps: int,
        load: float = 0.0,
        noise: float = 0.15,
        speed: float = 1.0,
    ) -> Timing:
        """A run of ``n`` pictures takes ``batch + n · picture``; what surrounds it costs about what was
        measured on a real server at 1024²: 1.6 ms to hand over, 5.7 ms of pause (of which 4 are slept: the
        simulation itself takes some), 170 ms to encode, 2.5 ms to fetch."""
        return cls(
            load=load,
            step=batch / steps,
            row=picture / steps,
            encode=0.17,
            fetch=0.0025,
            handover=0.0016,
            between=0.004,
            noise=noise,
            speed=speed,
        )
