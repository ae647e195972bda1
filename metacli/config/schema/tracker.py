"""tracker: where else a run is told of."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from metacli.config.schema.values import Folder, Node, Word, absolute


def _store(uri: str) -> str:
    """What MLflow takes for a store: its folders of files are gone."""
    if uri.startswith("sqlite:///"):
        return f"sqlite:///{absolute(uri.removeprefix('sqlite:///'))}"
    if uri.startswith("file:") or not (":" in uri or uri == "databricks"):
        raise ValueError(
            "no folder of files is a store of MLflow's any more; give sqlite:///FILE or a server, http://..."
        )
    return uri


Store = Annotated[str, AfterValidator(_store)]


class Jsonl(Node):
    file: Folder | None


class TensorBoard(Node):
    dir: Folder | None


class WandB(Node):
    mode: Literal["offline", "online"]
    project: Word
    entity: Word | None
    group: Word | None
    tags: list[Word]


class MLflow(Node):
    uri: Store | None
    experiment: Word
