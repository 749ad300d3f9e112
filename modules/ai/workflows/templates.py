"""A model as the bot knows it: its card and its graph."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace

from modules.ai.workflows.cards import ModelCard
from modules.ai.workflows.downloads import ModelDownload
from modules.ai.workflows.graph import Graph, write_graph
from modules.ai.workflows.node_table import FILE_ENDINGS
from modules.queue_manager.jobs import MaskUse, ModelOffer, Scaling


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkflowTemplate:
    """``scalings``: how the graph scales each of its sources, None where it does not. ``starts``, ``masks``
    and ``version``: as those of `ModelOffer`. ``file``: the name of its workflow file, if that is not
    ``name`` with ``.json``."""

    name: str
    card: ModelCard
    graph: Graph
    scalings: tuple[Scaling | None, ...] = ()
    starts: bool = False
    masks: MaskUse = "none"
    version: str = ""
    file: str = ""
    downloads: tuple[ModelDownload, ...] = ()

    @property
    def workflow_file(self) -> str:
        """The name of its workflow file."""
        return self.file or f"{self.name}.json"

    @property
    def card_file(self) -> str:
        """The name of its card's file, which may not be there."""
        return f"{self.workflow_file.rpartition('.')[0]}.toml"

    def fetch_line(self, file: str) -> str:
        """The command that downloads a model file of the graph; empty if its address is not clear."""
        path = file.replace("\\", "/")
        name = path.rpartition("/")[2]
        named = (download for download in self.downloads if download.name.rpartition("/")[2] == name)
        lines = {replace(download, name=path).fetch_line for download in named}
        return lines.pop() if len(lines) == 1 else ""

    @property
    def id(self) -> str:
        """As that of `ModelOffer`."""
        return f"{self.name}@{self.version}" if self.version else self.name

    @property
    def files(self) -> tuple[str, ...]:
        """The model files that the graph loads."""
        values = (value for node in self.graph.values() for value in node.inputs.values())
        files = {value for value in values if isinstance(value, str) and value.lower().endswith(FILE_ENDINGS)}
        return tuple(sorted(files))

    @property
    def weights(self) -> str:
        """Models with equal weights need no loading in between."""
        return " ".join(self.files) or self.name

    @property
    def fingerprint(self) -> str:
        """Differs for every graph and card."""
        text = json.dumps([asdict(self.card), write_graph(self.graph)], default=sorted, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def offer(self) -> ModelOffer:
        """What people may ask of the model."""
        card = self.card
        return ModelOffer(
            name=self.name, label=card.label, kind=card.kind, description=card.description, sizes=card.sizes,
            default_size=card.default_size, steps=card.steps, negative=card.negative,
            source_count=card.source_count, scalings=self.scalings,
            size_multiple=card.size_multiple, upscale=card.upscale, max_batch=card.max_batch, nsfw=card.nsfw,
            weights=self.weights, version=self.version, starts=self.starts, masks=self.masks,
        )  # fmt: skip
