"""A trained learner from its run, to be adapted to classes of one's own.

learner = metacli.load("runs/protonet-imagefolder/20261123-101500-1a2b3c")
predictor = learner.adapt(["cat1.jpg", "cat2.jpg", "dog1.jpg"], ["cat", "cat", "dog"])
predictor("new.jpg").labels
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

import torch

from metacli.build import build_tokenizer, learner_of, unloaded
from metacli.commands.saved import trained_run
from metacli.config.compatibility import batch_norm_mode, transductive_method
from metacli.config.construct import construct
from metacli.config.registry import component
from metacli.config.schema import Config
from metacli.config.validate import validate
from metacli.data.tagged import Tags
from metacli.episode import Examples, Predictor, TaskSpec
from metacli.errors import UserError
from metacli.learner import Learner
from metacli.library.images import ImageReader, Images
from metacli.library.labels import Label, numbered
from metacli.library.predictor import ClassPredictor, exactly
from metacli.library.tags import Sentences, TagPredictor, TagReader
from metacli.library.texts import Strings, TextReader
from metacli.rundir import RunFolder, open_run
from metacli.runtime import resolve_device, usual_tensors
from metacli.weights import load_into


def load(run: str | os.PathLike[str], *, device: str = "cpu") -> "TrainedLearner":
    """The learner that a run trained, with its best weights, in eval mode. The data set need not be there.

    run: its folder, or what `train` returned · device: cpu, cuda, cuda:N, mps or auto.
    Raises UserError where the folder is no run, its files are damaged, or the device is not there.
    """
    saved = trained_run(os.fspath(run), "load the run itself:")
    values = saved.config()
    values["device"]["name"] = str(device)
    config = validate(values)
    where = resolve_device(config.device.name)
    with usual_tensors():
        learner = learner_of(unloaded(config), _task(saved, config), where)
        load_into(learner, saved.best)
    return TrainedLearner(saved.path.absolute(), config, where, learner.eval())


@dataclass(frozen=True)
class TrainedLearner:
    """run: its folder · config: of the run · learner: the network and how it adapts, in core types."""

    run: Path
    config: Config = field(repr=False)
    device: torch.device
    learner: Learner = field(repr=False)

    @property
    def transductive(self) -> bool:
        """Whether images that are predicted together influence each other: by batch norm (bn_mode is batch), or by the
        method.

        Then predictions of one image alone are worse than what the report promises.
        """
        return transductive_method(self.config) or batch_norm_mode(self.config) == "batch"

    @overload
    def adapt(self, support: Examples) -> Predictor: ...
    @overload
    def adapt(  # type: ignore[overload-overlap]  # a text's label may be a tuple of strings
        self, support: Sentences, labels: Iterable[Sequence[str]]
    ) -> TagPredictor: ...
    @overload
    def adapt(self, support: Images | Strings, labels: Iterable[Label]) -> ClassPredictor[Label]: ...

    def adapt(
        self, support: Images | Strings | Sentences | Examples, labels: Iterable[Label] | None = None
    ) -> ClassPredictor[Label] | TagPredictor | Predictor:
        """Learn classes from a few labelled images or texts, or types of entities from tagged sentences. Nothing of the
        learner changes: adapt it as you like.

        support: images, see `ImageReader`, texts, or sentences, see `TagReader` · labels: one for each, any hashable
        values; a class may have more of them than another; of a sentence the tags of its words. Examples of T tasks,
        which bring their own labels, give a core Predictor.
        Raises UserError where items and labels do not fit each other or the network, and where a head that is built
        for so many classes (MAML's) is given another number.
        """
        with exactly(self.device):
            if isinstance(support, Examples):
                return self.learner.adapt(support.to(self.device))
            if self.learner.spec.kind == "tag":
                return self._of_tags(support, labels)  # type: ignore[arg-type]
            self._check_kind()
            read = self._reader()
            items = read(support)  # type: ignore[arg-type]
            classes, numbers = numbered(labels, len(items), read.what)
            self._check_ways(len(classes))
            examples = _one_task(items, numbers, len(classes)).to(self.device)
            return ClassPredictor(classes, self.learner.adapt(examples), read)

    def tagger(self) -> TagPredictor:
        """Of a run of `paradigm=tagger`: what tags words by the types that it was trained on, without a support set.

        Raises UserError for a run of another method, which `adapt` is for.
        """
        if not component("paradigm", self.config.paradigm.name).whole:
            raise UserError(
                f"{self.run}: {self.config.paradigm.name} learns its types from examples",
                "give it some: learner.adapt(sentences, tags)",
            )
        types = open_run(self.run).manifest().get("types")
        if types is None:
            raise UserError(
                f"{self.run}: made by an earlier metacli, which did not write down the types",
                f"train it again: metacli rerun {self.run}",
            )
        reader = self._tag_reader()
        with exactly(self.device):
            _, nothing = reader.support("-", [["B-any"]])
            return TagPredictor(tuple(types), self.learner.adapt(nothing), reader)

    def _of_tags(self, sentences: Sentences, tags: Iterable[Sequence[str]] | None) -> TagPredictor:
        name = self.config.paradigm.name
        if component("paradigm", name).whole:
            raise UserError(
                f"{self.run}: {name} knows the types that it was trained on, and learns no others",
                "learner.tagger() tags by those; a method that learns types from examples: paradigm=structshot",
            )
        reader = self._tag_reader()
        types, examples = reader.support(sentences, tags)
        self._check_ways(len(types))
        return TagPredictor(types, self.learner.adapt(examples), reader)

    def _tag_reader(self) -> TagReader:
        tags: Tags = "bio" if self.learner.spec.per_class == 2 else "io"
        return TagReader(build_tokenizer(self.config), tags, self.device)

    def _reader(self) -> ImageReader | TextReader:
        if tokenizer := build_tokenizer(self.config):
            return TextReader(tokenizer, self.device)
        dataset = construct("dataset", self.config.dataset)
        return ImageReader(self.learner.spec.shape, self.device, getattr(dataset, "read", None))

    def _check_kind(self) -> None:
        if self.learner.spec.kind != "classify":
            raise UserError(
                f"{self.run}: its tasks are to {self.learner.spec.kind}, not to classify",
                "give adapt the core type, metacli.episode.Examples",
            )
        if component("paradigm", self.config.paradigm.name).whole:
            raise UserError(
                f"{self.run}: {self.config.paradigm.name} knows the classes that it was trained on, and no others",
                "for classes of your own train paradigm=transfer, or another that adapts (metacli list paradigm)",
            )

    def _check_ways(self, ways: int) -> None:
        name, spec = self.config.paradigm.name, self.learner.spec
        trained = (spec.outputs - 1) // spec.per_class if spec.kind == "tag" else spec.outputs
        if component("paradigm", name).fixed_ways and ways != trained:
            raise UserError(
                f"{ways} classes: the head of {name} is built for {trained}",
                f"give examples of {trained} classes, or train with episode.train.ways={ways} (val and test, too),"
                " or a paradigm without a fixed head: paradigm=protonet",
            )


def _task(saved: RunFolder, config: Config) -> TaskSpec:
    """What the learner was built for."""
    written = saved.manifest().get("task")
    if written is None:  # a run of before it was written down: its data set says it
        shape = construct("dataset", config.dataset).describe().shape
        return TaskSpec("classify", shape, config.episode.train.ways)
    return TaskSpec(**written | {"shape": tuple(written["shape"])})


def _one_task(items: torch.Tensor, numbers: torch.Tensor, ways: int) -> Examples:
    """items [N, ...], numbers of their classes [N] -> T = 1."""
    labels = numbers[None]
    mask = torch.ones_like(labels, dtype=torch.bool)
    rows = torch.arange(len(numbers))[None]
    return Examples({"x": items[None]}, labels, mask, rows, torch.arange(ways)[None])
