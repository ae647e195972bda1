"""Names in a config -> code. A config can only name what stands here, or what the user has added (extensions.py).

Each entry also declares what the component accepts and needs; `compatibility` is what reads that.
"""

import importlib
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from metacli.config.extensions import VARIABLE, extensions, opening
from metacli.config.schema import (
    attack,
    backbone,
    dataset,
    features,
    head,
    optimizer,
    paradigm,
    pretrain,
    tracker,
)
from metacli.config.schema.features import Form
from metacli.config.schema.values import Node
from metacli.errors import UserError, suggest
from metacli.letters import brief


@dataclass(frozen=True)
class Component:
    """`target` is "module:Class", imported when used.

    kinds: task kinds it handles · inputs: what a backbone or features take, by what an item is · second_order: can be
    differentiated twice · weights: has some of its own · trains: has an outer loop · fixed_ways: its head is built
    for one number of ways · queries: its training episodes need some · query_loss: is trained on the loss of its
    queries, so that attacking them makes sense; attacks replace its episodes, whatever a `meta_loss` of its own
    (pmf) makes of them · attacks_itself: needs an attack, and says what is attacked ·
    takes_head: the one that the group head names · inner: "module:maker" of its argument `inner`, to which go the
    values that the maker takes · batch_norm: has batch norms of its own, whatever the backbone has
    · whole_step: in training, its batch norms take the statistics of all tasks of a step together · maps: needs a
    backbone that keeps its last map · transductive: answers the queries of a task together, whatever bn_mode · sources:
    of a data set, makes a source of episodes for each split of what it built · plain: a backbone that was not written
    with a task axis, whose features of an item depend on nothing else (layers/plain.py) · tokenizer: of a backbone
    for text, makes what turns texts into its tokens, of the backbone's settings · embeds: of a backbone for text, that
    it takes tokens displaced (layers/tokens.py), so that they can be attacked · still: a paradigm whose `adapt`
    leaves the backbone as it is · whole: one that is given nothing of a task, but asked all of a split with all
    classes of meta-train · varies_images: a paradigm that does, at test tasks · extra: the optional package
    that it needs, and metacli's extra of the same name.
    """

    target: str
    schema: type[Node]
    kinds: tuple[str, ...] = ("classify",)
    second_order: bool = True
    weights: bool = True
    trains: bool = True
    fixed_ways: bool = False
    queries: bool = True
    batch_norm: bool = False
    whole_step: bool = False
    maps: bool = False
    transductive: bool = False
    query_loss: bool = True
    attacks_itself: bool = False
    plain: bool = False
    still: bool = False
    whole: bool = False
    varies_images: bool = False
    extra: str = ""
    inputs: tuple[str, ...] = ("image",)
    takes_head: bool = False
    inner: str = ""
    sources: str = "metacli.data.images:sources"
    tokenizer: str = ""
    embeds: bool = False

    @property
    def form(self) -> Form:
        """Of what a backbone gets, where features can give several: the simplest that it takes."""
        forms: tuple[Form, ...] = ("vector", "sequence", "image", "text")
        return next(form for form in forms if form in self.inputs)

    @property
    def summary(self) -> str:
        """First sentence of the module's docstring, read without importing it."""
        spec = find_spec(self.target.partition(":")[0])
        return opening(Path(str(spec and spec.origin)))


_MAML = Component(
    "metacli.paradigms.maml:MAML",
    paradigm.MAML,
    kinds=("classify", "regress"),
    fixed_ways=True,
    inner="metacli.paradigms.inner_loop:InnerLoop",
)
_MAML_OF_TAGS = replace(_MAML, kinds=("classify", "regress", "tag"))
_FROZEN = Component(
    "metacli.paradigms.frozen:Frozen",
    paradigm.Paradigm,
    weights=False,
    trains=False,
    takes_head=True,
    still=True,
)
_NNSHOT = Component(
    "metacli.paradigms.nnshot:NNShot",
    paradigm.NNShot,
    kinds=("tag",),
    weights=False,
    trains=False,
    still=True,
)
_ANYTHING = ("image", "vector")
_TOKENS = "metacli.data.tokens:sources"

_BUILT_IN: dict[str, dict[str, Component]] = {
    "dataset": {
        "glyphs": Component("metacli.data.glyphs:Glyphs", dataset.Glyphs),
        "omniglot": Component("metacli.data.omniglot:Omniglot", dataset.Omniglot),
        "imagefolder": Component("metacli.data.imagefolder:ImageFolder", dataset.ImageFolder),
        "digits": Component("metacli.data.digits:Digits", dataset.Digits),
        "clinc150": Component("metacli.data.clinc150:Clinc150", dataset.Clinc150, sources=_TOKENS),
        "financial_phrasebank": Component(
            "metacli.data.financial_phrasebank:FinancialPhraseBank",
            dataset.FinancialPhraseBank,
            sources=_TOKENS,
        ),
        "text": Component("metacli.data.text:TextFiles", dataset.TextFiles, sources=_TOKENS),
        "conll": Component(
            "metacli.data.conll:Conll", dataset.Conll, sources="metacli.data.tag_episodes:sources"
        ),
        "sinusoid": Component(
            "metacli.data.sinusoid:Sinusoid", dataset.Sinusoid, sources="metacli.data.functions:sources"
        ),
    },
    "features": {
        "none": Component(
            "metacli.features.none:none",
            features.Features,
            weights=False,
            trains=False,
            inputs=(*_ANYTHING, "text"),
        ),
        "pca": Component("metacli.features.pca:PCA", features.PCA),
        "autoencoder": Component("metacli.features.autoencoder:Encoder", features.Autoencoder),
    },
    "backbone": {
        "conv4": Component("metacli.backbones.conv4:Conv4", backbone.Conv4),
        "resnet12": Component("metacli.backbones.resnet12:ResNet12", backbone.ResNet12),
        "cnn": Component("metacli.backbones.cnn:CNN", backbone.CNN),
        "rnn": Component("metacli.backbones.rnn:RNN", backbone.RNN, inputs=("image", "sequence")),
        "mlp": Component("metacli.backbones.mlp:MLP", backbone.MLP, inputs=_ANYTHING),
        "pixels": Component(
            "metacli.backbones.pixels:Pixels", backbone.Pixels, weights=False, inputs=_ANYTHING
        ),
        "torchvision": Component(
            "metacli.backbones.torchvision:torchvision", backbone.Pretrained, plain=True
        ),
        "timm": Component("metacli.backbones.timm:timm", backbone.Pretrained, plain=True, extra="timm"),
        "huggingface": Component(
            "metacli.backbones.huggingface:huggingface", backbone.HuggingFace, plain=True
        ),
        "hf_text": Component(
            "metacli.backbones.text:text_encoder",
            backbone.TextEncoder,
            inputs=("text",),
            plain=True,
            tokenizer="metacli.backbones.tokenizer:tokenizer",
            embeds=True,
        ),
    },
    "pretrain": {
        "none": Component("metacli.pretrain.none:none", pretrain.Pretrain, trains=False),
        "supervised": Component("metacli.pretrain.supervised:Classifier", pretrain.Supervised),
        "tagger": Component("metacli.pretrain.tagger:Tagger", pretrain.ByEpochs, kinds=("tag",)),
    },
    "head": {
        "none": Component("metacli.heads.none:none", head.Head),
        "centroid": Component("metacli.heads.centroid:Centroid", head.CentroidHead),
        "logreg": Component("metacli.heads.logistic:Logistic", head.Logistic),
        "distribution_calibration": Component(
            "metacli.heads.distribution_calibration:DistributionCalibration", head.DistributionCalibration
        ),
        "label_propagation": Component(
            "metacli.heads.propagation:LabelPropagation", head.LabelPropagation, transductive=True
        ),
        "fine_tuned": Component("metacli.heads.fine_tuned:FineTuned", head.FineTuned),
        "probe": Component("metacli.heads.probe:Probe", head.Probe),
    },
    "optimizer": {
        "adam": Component("torch.optim:Adam", optimizer.Scheduled),
        "adamw": Component("torch.optim:AdamW", optimizer.Scheduled),
        "sgd": Component("torch.optim:SGD", optimizer.SGD),
        "metagrad": Component("metacli.optim.metagrad:MetaGrad", optimizer.MetaGrad),
        "adaptive_metagrad": Component(
            "metacli.optim.adaptive_metagrad:AdaptiveMetaGrad", optimizer.AdaptiveMetaGrad
        ),
    },
    "attack": {
        "none": Component("metacli.attacks.none:none", attack.Attack),
        "fgsm": Component("metacli.attacks.fgsm:FGSM", attack.Perturbation),
        "pgd": Component("metacli.attacks.pgd:PGD", attack.PGD),
        "fgm": Component("metacli.attacks.fgm:FGM", attack.Perturbation),
        "freelb": Component("metacli.attacks.freelb:FreeLB", attack.FreeLB),
    },
    "paradigm": {
        "maml": _MAML_OF_TAGS,
        "anil": _MAML_OF_TAGS,
        "fomaml": _MAML_OF_TAGS,
        "meta_sgd": replace(_MAML, target="metacli.paradigms.meta_sgd:MetaSGD", schema=paradigm.MetaSGD),
        "maml_pp": replace(
            _MAML,
            target="metacli.paradigms.maml_pp:MAMLPlusPlus",
            schema=paradigm.MAMLPlusPlus,
            inner="metacli.paradigms.inner_loop:without_norms",
        ),
        "imaml": replace(_MAML, target="metacli.paradigms.imaml:IMAML", schema=paradigm.IMAML),
        "alfa": replace(
            _MAML,
            target="metacli.paradigms.alfa:ALFA",
            schema=paradigm.ALFA,
            inner="metacli.paradigms.inner_loop:without_norms",
        ),
        "reptile": replace(
            _MAML,
            target="metacli.paradigms.reptile:Reptile",
            schema=paradigm.Reptile,
            queries=False,
            query_loss=False,
        ),
        "adml": replace(
            _MAML, target="metacli.paradigms.adml:ADML", kinds=("classify",), attacks_itself=True
        ),
        "metagrad": replace(_MAML, kinds=("classify",)),
        "adaptive_metagrad": replace(_MAML, kinds=("classify",)),
        "joint": replace(_MAML, schema=paradigm.Joint, kinds=("regress",)),
        "protonet": Component(
            "metacli.paradigms.protonet:ProtoNet", paradigm.ProtoNet, weights=False, still=True
        ),
        "matchingnet": Component(
            "metacli.paradigms.matchingnet:MatchingNet", paradigm.MatchingNet, still=True
        ),
        "gnn": Component(
            "metacli.paradigms.gnn:GNN", paradigm.GNN, fixed_ways=True, batch_norm=True, whole_step=True
        ),
        "relationnet": Component(
            "metacli.paradigms.relationnet:RelationNet", paradigm.RelationNet, batch_norm=True, maps=True
        ),
        "tpn": Component("metacli.paradigms.tpn:TPN", paradigm.TPN, transductive=True, still=True),
        "r2d2": Component("metacli.paradigms.r2d2:R2D2", paradigm.R2D2, still=True),
        "meta_baseline": Component(
            "metacli.paradigms.meta_baseline:MetaBaseline", paradigm.MetaBaseline, still=True
        ),
        "frozen": _FROZEN,
        "simpleshot": _FROZEN,
        "baseline": _FROZEN,
        "baseline_pp": _FROZEN,
        "transfer": Component(
            "metacli.paradigms.transfer:Transfer",
            paradigm.Transfer,
            kinds=("classify", "tag"),
            weights=False,
            trains=False,
        ),
        "pmf": Component("metacli.paradigms.pmf:PMF", paradigm.PMF, varies_images=True),
        "nearest_centroid": Component(
            "metacli.paradigms.nearest_centroid:NearestCentroid",
            paradigm.NearestCentroid,
            weights=False,
            trains=False,
            still=True,
        ),
        "token_finetune": replace(
            _NNSHOT, target="metacli.paradigms.token_finetune:TokenFinetune", schema=paradigm.TokenFinetune
        ),
        "tagger": Component(
            "metacli.paradigms.tagger:WholeTagger",
            paradigm.OfWords,
            kinds=("tag",),
            trains=False,
            still=True,
            whole=True,
        ),
        "classifier": Component(
            "metacli.paradigms.classifier:WholeClassifier",
            paradigm.Paradigm,
            trains=False,
            still=True,
            whole=True,
        ),
        "protobert": Component(
            "metacli.paradigms.protobert:ProtoBERT",
            paradigm.ProtoBERT,
            kinds=("tag",),
            weights=False,
            still=True,
        ),
        "container": Component(
            "metacli.paradigms.container:Container", paradigm.Container, kinds=("tag",), queries=False
        ),
        "nnshot": _NNSHOT,
        "structshot": replace(
            _NNSHOT, target="metacli.paradigms.structshot:StructShot", schema=paradigm.StructShot
        ),
    },
    "tracker": {
        "jsonl": Component("metacli.trackers.jsonl:Jsonl", tracker.Jsonl),
        "tensorboard": Component(
            "metacli.trackers.tensorboard:TensorBoard", tracker.TensorBoard, extra="tensorboard"
        ),
        "wandb": Component("metacli.trackers.wandb:WandB", tracker.WandB, extra="wandb"),
        "mlflow": Component("metacli.trackers.mlflow:MLflow", tracker.MLflow, extra="mlflow"),
    },
}

# Groups of which a run may have several components, or none. Each stands under its name: tracker.wandb.project.
SEVERAL = ("tracker",)

# Places beside the groups for one component more of a group: place -> its group. It is chosen by GROUP@PLACE=OPTION.
ELSEWHERE = {"target": "dataset"}

# Where a component stands inside another's settings: place -> its group. It is chosen by GROUP@PLACE=OPTION.
INSIDE = {"pretrain.optimizer": "optimizer", "head.optimizer": "optimizer"}


def components(group: str) -> dict[str, Component]:
    """Those that come with metacli."""
    return _BUILT_IN[group]


def names(group: str) -> list[str]:
    """Of every component of a group, built in or added. Raises UserError where two have one name."""
    added = extensions(group)
    for name in added.keys() & components(group).keys():
        raise UserError(f"{added[name]}: metacli has a {group} of that name", "give it another")
    return [*components(group), *added]


def groups() -> tuple[str, ...]:
    """Those of which a run has one component, which its config names."""
    return tuple(group for group in _BUILT_IN if group not in SEVERAL)


def component(group: str, name: str) -> Component:
    """Raises UserError where there is none, or where that of somebody else does not load."""
    known = names(group)
    if name in components(group):
        return components(group)[name]
    if name not in known:
        raise UserError(
            f"{group}.name={brief(name)}: no such {group}",
            f"{suggest(brief(name), known)}; if it is your own: {VARIABLE}=DIR, with {group}/{brief(name)}.py in DIR",
        )
    added = extensions(group)[name]
    declared = added.load()
    if not isinstance(declared, Component):
        raise UserError(f"{added}: no Component, but {declared!r}", "see metacli.config.registry.Component")
    return declared


def summary(group: str, name: str) -> str:
    """What a component is, in a sentence."""
    added = extensions(group).get(name)
    return (added and added.about()) or component(group, name).summary


def code(group: str, name: str) -> Any:
    """The class of a component. Raises UserError where somebody else's is not where its declaration says."""
    target = component(group, name).target
    try:
        return load(target)
    except (ImportError, AttributeError) as error:
        added = extensions(group).get(name)
        if added is None:
            raise
        raise UserError(
            f"{added}: its component names {target}, but {error}",
            'a class of the same file is f"{__name__}:Class"; METACLI_TRACEBACK=1 shows the traceback',
        ) from error


def load(target: str) -> Any:
    """Import "module:Class"."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
