"""Methods that tag words: against loops in numpy on states that are given, and from a config to a report on a small
encoder; what the contract asks of others."""

import csv
import json
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

import metacli
from metacli import api, build, experiment
from metacli.config.compatibility import check
from metacli.config.compose import composed, values_of
from metacli.config.construct import construct
from metacli.config.validate import validate
from metacli.console import Console
from metacli.episode import Episode, Examples, TaskSpec
from metacli.errors import UserError
from metacli.evaluator import evaluate
from metacli.objectives import ABSENT
from metacli.paradigms.nnshot import NNShot
from metacli.paradigms.protobert import ProtoBERT
from metacli.paradigms.structshot import StructShot
from metacli.paradigms.token_finetune import TokenFinetune
from metacli.weights import load_into

METHODS = {
    "nnshot": [],
    "protobert": [],
    "structshot": [],
    "token_finetune": [],
    "container": ["paradigm.finetune.steps=1"],
    "transfer": ["pretrain=none", "paradigm.finetune.steps=1", "paradigm.moves.inner=[backbone,head]"],
    "maml": [],
    "anil": [],
}
WAYS, PER_CLASS = 2, 2
SPEC = TaskSpec("tag", (9,), outputs=1 + WAYS * PER_CLASS, per_class=PER_CLASS)


def examples(seed, sentences):
    """2 tasks; the last word of every sentence but the first is padding, and the second has no state."""
    random = torch.Generator().manual_seed(seed)
    states = torch.randn(2, sentences, 6, 5, generator=random, dtype=torch.float64)
    labels = torch.randint(0, SPEC.outputs, (2, sentences, 6), generator=random)
    labels[labels == SPEC.outputs - 1] = 0  # I of the second type does not occur
    labels[:, 1:, -1] = -1
    words = labels >= 0
    words[:, :, 1] = False
    rows = torch.arange(2 * sentences).view(2, sentences)
    inputs = {"states": states * words.unsqueeze(-1), "words": words}
    return Examples(inputs, labels, words, rows, torch.tensor([[4, 2], [0, 1]]))


@pytest.fixture
def episode():
    return Episode(examples(0, 5), examples(1, 3), torch.arange(2))


def of_tag(episode, task, tag):
    support = episode.support
    return support.inputs["states"][task][support.mask[task] & (support.labels[task] == tag)].numpy()


@pytest.mark.parametrize("o_class", ["prototype", "learned_bias"])
def test_protobert_measures_to_the_mean_of_each_tag(o_class, episode):
    learner = ProtoBERT(spec=SPEC, backbone=nn.Identity(), o_class=o_class, bn_mode="running").double()
    if o_class == "learned_bias":
        nn.init.constant_(learner.o_score, -3.5)
    outputs = learner.adapt(episode.support)(episode.query.inputs).detach().numpy()
    query = episode.query.inputs["states"].numpy()
    for task in range(2):
        for tag in range(SPEC.outputs - 1):
            away = query[task] - of_tag(episode, task, tag).mean(0)
            expected = -(away**2).sum(-1)
            if tag == 0 and o_class == "learned_bias":
                expected = np.full_like(expected, -3.5)
            np.testing.assert_allclose(outputs[task, ..., tag], expected)
    assert (outputs[..., -1] == ABSENT).all()


def test_fine_tuning_descends_the_loss_of_each_support_set_from_its_means(episode):
    settings = {"scale": 3.0, "finetune_lr": 0.02, "finetune_weight_decay": 0.1, "bn_mode": "running"}
    learner = TokenFinetune(spec=SPEC, backbone=nn.Identity(), finetune_steps=4, **settings)
    outputs = learner.adapt(episode.support)(episode.query.inputs)
    seen = SPEC.outputs - 1
    for task in range(2):
        labels, mask = episode.support.labels[task], episode.support.mask[task]
        words = nn.functional.normalize(episode.support.inputs["states"][task], dim=-1)[mask]
        means = torch.stack([words[labels[mask] == tag].mean(0) for tag in range(seen)])
        layer = nn.Linear(5, seen).double()
        layer.load_state_dict({"weight": means, "bias": torch.zeros(seen)})
        descent = torch.optim.AdamW(layer.parameters(), lr=0.02, weight_decay=0.1)
        for _ in range(4):
            loss = nn.functional.cross_entropy(3.0 * layer(words), labels[mask])
            descent.zero_grad()
            loss.backward()
            descent.step()
        query = nn.functional.normalize(episode.query.inputs["states"][task], dim=-1)
        torch.testing.assert_close(outputs[task][..., :-1], 3.0 * layer(query))
    assert (outputs[..., -1] == ABSENT).all()


@pytest.mark.parametrize("normalise", [True, False])
def test_nnshot_measures_to_the_nearest_word_of_each_tag(normalise, episode):
    learner = NNShot(spec=SPEC, backbone=nn.Identity(), normalise=normalise, bn_mode="running")
    outputs = learner.adapt(episode.support)(episode.query.inputs).numpy()

    def unit(vectors):
        return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)

    for task in range(2):
        for tag in range(SPEC.outputs - 1):
            known, query = of_tag(episode, task, tag), episode.query.inputs["states"][task].numpy()
            if normalise:
                known, query = unit(known), unit(query)
            expected = -((query[..., None, :] - known) ** 2).sum(-1).min(-1)
            np.testing.assert_allclose(outputs[task, ..., tag], expected, atol=1e-12)


def test_structshot_is_nnshot_where_transitions_say_nothing(episode):
    learner = StructShot(spec=SPEC, backbone=nn.Identity(), normalise=True, tau=1e-9, bn_mode="running")
    learner.transitions.counts.fill_(1)
    scores = learner.adapt(episode.support)(episode.query.inputs)
    plain = learner.nearest.adapt(episode.support)(episode.query.inputs)
    there = episode.query.mask
    assert torch.equal(scores.argmax(-1)[there], plain.argmax(-1)[there])


class Always(nn.Module):
    """A learner that answers the second tag everywhere."""

    spec = SPEC

    def adapt(self, support):
        return lambda inputs: torch.eye(SPEC.outputs)[1].expand(*inputs["words"].shape, -1)


def test_no_word_is_left_out_of_the_evaluation_and_one_without_a_state_is_o(episode):
    class Table:
        classes = tuple("abcde")
        words = ()
        fingerprint = ""

    found = evaluate(Always(), [episode], Table()).results
    there = episode.query.labels >= 0
    assert len(found.truth) == there.sum() == 32
    answered = episode.query.mask[there].numpy()
    first = np.where(found.episode == 0, 1 + 2 * 4, 1 + 2 * 0)  # B of the first type of each episode
    np.testing.assert_array_equal(found.predicted, np.where(answered, first, 0))
    way = (episode.query.labels - 1) // 2
    classes = episode.query.classes.gather(1, way.clamp(min=0).flatten(1)).view_as(way)
    own = torch.where(episode.query.labels > 0, 2 - episode.query.labels % 2 + 2 * classes, 0)
    np.testing.assert_array_equal(found.truth, own[there].numpy())


@pytest.fixture(scope="module")
def column_files(tmp_path_factory):
    """Of each type three words of its own; a sentence of 60 words, more than the encoder takes."""
    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("columns")
    for name in ("train", "dev", "test"):
        lines = []
        for number in range(60):
            for _ in range(random.integers(1, 4)):
                lines += [f"word{n} O" for n in random.integers(20, 60, random.integers(0, 4))]
                kind = int(random.integers(4))
                lines += [f"word{3 * kind} B-t{kind}"]
                lines += [f"word{3 * kind + n} I-t{kind}" for n in range(1, random.integers(1, 4))]
            lines += ["word50 O"] * (50 if number == 0 else 0) + [""]
        (folder / f"{name}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture
def config_of(column_files, encoder_folder):
    def make(paradigm, *overrides):
        files = ["dataset.train=[train.txt]", "dataset.val=[dev.txt]", "dataset.test=[test.txt]"]
        encoder = ["backbone=hf_text", f"backbone.model={encoder_folder}", "backbone.weights=none"]
        small = [
            "backbone.max_length=30",
            "episode.train={ways: 3, shots: 1, queries: 1}",
            "episode.val={ways: 3, shots: 1, queries: 1, count: 4}",
            "episode.test={ways: 3, shots: 1, queries: 2, count: 8}",
            "trainer={steps: 4, meta_batch: 2, chunk: 2, val_every: 2, log_every: 2}",
            "device.threads=1",
        ]
        given = ["dataset=conll", f"dataset.root={column_files}", *files, *encoder, *small]
        return validate(values_of(composed([*given, f"paradigm={paradigm}", *overrides])[0]))

    return make


def words_of(run):
    return list(csv.DictReader((run.report / "predictions.csv").read_text().splitlines()))


@pytest.fixture(autouse=True)
def switches(monkeypatch):
    monkeypatch.setattr(experiment, "prepare", lambda device, threads: None)


@pytest.mark.parametrize(("method", "tags"), [("nnshot", "io"), ("structshot", "bio"), ("protobert", "bio")])
def test_a_config_becomes_a_report_and_a_run_is_repeated(method, tags, config_of, tmp_path):
    precision = "bf16" if method == "protobert" else "fp32"
    config = config_of(method, f"dataset.tags={tags}", f"device.precision={precision}")
    assert check(config, construct("dataset", config.dataset).describe()) == []
    run = api.train(config, tmp_path / "one")
    report = json.loads((run.report / "report.json").read_text())
    assert report["task"] == "tag"
    assert report["run"]["precision"] == run.manifest()["precision"] == precision
    assert report["metrics"]["span_f1"]["n"] == 8
    names = {entry["class"][:2] for entry in report["per_class"]}
    assert names == ({"B-", "I-", "O"} if tags == "bio" else {"I-", "O"})
    assert report["protocol"]["episode"]["test"]["shots"] == "1~2"
    rows = words_of(run)
    assert sum(entry["support"] for entry in report["per_class"]) == len(rows)
    assert "Sentences" in (run.report / "report.html").read_text()
    built = experiment.assemble(config)
    load_into(built.learner, run.best)
    assert built.evaluate("test", Console()).result_hash == run.manifest()["result_hash"]


def answers_of(run, predictor, rows):
    """(what Python says, what predictions.csv says) of the sentences that an episode asked."""
    sentences = {}
    for row in rows:
        sentences.setdefault((row["episode"], row["row"]), []).append((row["word"], row["predicted"]))
    found = predictor([[word for word, _ in own] for own in sentences.values()])
    return found.tags, [[tag for _, tag in own] for own in sentences.values()]


@pytest.mark.parametrize(("method", "tags"), [("nnshot", "io"), ("structshot", "bio")])
def test_from_python_a_run_tags_sentences_as_its_report_does(method, tags, config_of, tmp_path):
    config = config_of(method, f"dataset.tags={tags}", "dataset.limit.test=40")
    run = api.train(config, tmp_path)
    built = experiment.assemble(config)
    source = built.data.sources["test"]
    episode = next(source.fixed_episodes(source.sampler(build.episode_shape(config.episode.test)), 1))
    table, support = built.data.table, episode.support
    shown = [row for row in support.rows[0].tolist() if row >= 0]
    types = [table.classes[c] for c in support.classes[0].tolist()]
    gold = [
        [_tag(label, tags, types) for label in labels if label >= 0] for labels in support.labels[0].tolist()
    ]
    learner = metacli.load(run.path)
    predictor = learner.adapt([table.words[row] for row in shown], gold[: len(shown)])
    assert sorted(predictor.types) == sorted(types)
    said, kept = answers_of(run, predictor, [row for row in words_of(run) if row["episode"] == "0"])
    assert said == kept
    one = predictor(" ".join(table.words[shown[0]]))
    assert method != "nnshot" or one.tags[0] == gold[0]  # each of its words is nearest to itself
    entity = one.entities[0][0]
    assert entity.text == " ".join(one.words[0][entity.first : entity.last + 1])
    assert entity.type in types


def _tag(label, tags, types):
    if label == 0:
        return "O"
    return f"I-{types[label - 1]}" if tags == "io" else f"{'IB'[label % 2]}-{types[(label - 1) // 2]}"


MARKED = (["word1 word2"], [["B-x", "O"]])


MISTAKES = [
    (lambda learner: learner.adapt(5, [["O"]]), "sentences: 5 is no sentence"),
    (lambda learner: learner.adapt([], []), "no sentences"),
    (lambda learner: learner.adapt(["word1", " "], [["O"], []]), "number 1 holds no words"),
    (lambda learner: learner.adapt(["word1 word2"], [["B-x"]]), "not one for each word of the 1 sentences"),
    (lambda learner: learner.adapt(["word1"], None), "not one for each word"),
    (lambda learner: learner.adapt(["word1"], [["x"]]), 'tags of sentence 0: tag "x" is none: O, B-TYPE'),
    (lambda learner: learner.adapt(["word1"], [["O"]]), "tags: all are O"),
    (lambda learner: learner.adapt(*MARKED)(5), "sentences: 5 is no sentence"),
    (lambda learner: learner.tagger(), "nnshot learns its types from examples"),
]


def test_what_is_no_sentence_is_refused_from_python(config_of, tmp_path):
    learner = metacli.load(api.train(config_of("nnshot"), tmp_path).path)
    for change, said in MISTAKES:
        with pytest.raises(UserError) as raised:
            change(learner)
        assert said in str(raised.value)


def test_a_tagger_is_trained_and_asked_on_whole_splits(config_of, tmp_path):
    learning = ["pretrain.epochs=12", "optimizer@pretrain.optimizer=adam", "pretrain.optimizer.lr=0.01"]
    config = config_of("tagger", "dataset.tags=bio", *learning)
    assert check(config, construct("dataset", config.dataset).describe()) == []
    run = api.train(config, tmp_path)
    report = json.loads((run.report / "report.json").read_text())
    f1, pooled = report["metrics"]["span_f1"], report["metrics"]["pooled_span_f1"]
    assert f1["n"] == 60
    assert f1["mean"] == pytest.approx(pooled["mean"])
    assert f1["mean"] > 0.9
    assert 0 < f1["ci95"] < 0.1
    rows = words_of(run)
    table = experiment.assemble(config).data.table
    asked = [table.words[row] for row in table.rows["test"]]
    assert [row["word"] for row in rows] == [word for sentence in asked for word in sentence]
    text, page = ((run.report / f"report.{kind}").read_text() for kind in ("txt", "html"))
    assert "95 % CI over 60 sentences" in text
    assert "all of the split, 60 sentences" in text
    assert "episode" not in "\n".join(line for line in text.splitlines() if "hash" not in line)
    assert "over 60 test sentences" in " ".join(page.split())
    assert not (run.report / "episodes.png").exists()
    learner = metacli.load(run.path)
    said, kept = answers_of(run, learner.tagger(), rows)
    assert said == kept
    with pytest.raises(UserError, match="tagger knows the types that it was trained on"):
        learner.adapt(["word1"], [["B-x"]])


def test_what_was_learned_of_the_source_helps_on_new_episodes(config_of, tmp_path):
    raw = api.train(config_of("nnshot", "episode.test.count=30"), tmp_path)
    learning = ["pretrain.epochs=6", "optimizer@pretrain.optimizer=adam", "pretrain.optimizer.lr=0.01"]
    config = config_of(
        "nnshot", "episode.test.count=30", "pretrain=tagger", "pretrain.held_out=0.1", *learning
    )
    run = api.train(config, tmp_path)
    before, after = (
        json.loads((each.report / "report.json").read_text())["metrics"]["span_f1"] for each in (raw, run)
    )
    assert after["mean"] - after["ci95"] > before["mean"] + before["ci95"]
    assert "54 sentences of 4 meta-train classes" in (run.report / "report.txt").read_text().replace(
        "\n" + 19 * " ", " "
    )


def test_what_is_trained_on_one_corpus_is_asked_another(config_of, column_files, tmp_path, monkeypatch):
    monkeypatch.setenv("METACLI_CACHE", str(tmp_path / "cache"))
    lines = [f"word{7 * n % 60} O\nword{n % 60} B-u{n % 3}\n" for n in range(180)]
    (tmp_path / "other.txt").write_text("\n".join(lines))
    other = ["dataset@target=conll", f"target.root={tmp_path}", "target.train=[other.txt]"]
    encoder = config_of("nnshot").backbone.model
    run = metacli.train(
        "dataset=conll",
        f"dataset.root={column_files}",
        *other,
        "backbone=hf_text",
        f"backbone.model={encoder}",
        "backbone.weights=none",
        "backbone.max_length=30",
        "paradigm=nnshot",
        "episode.test={ways: 3, shots: 1, queries: 2, count: 4}",
        "device={threads: 1, name: cpu}",
        f"run.root={tmp_path / 'runs'}",
    )
    assert run.report["run"]["target"] == "conll"
    assert {row["class"] for row in run.report["spans"]["per_class"]} <= {"u0", "u1", "u2"}
    assert "tested on" in run.text
    again = metacli.evaluate(run, "target.limit.test=30")
    assert again.report["protocol"]["episode_hash"] != run.report["protocol"]["episode_hash"]
    with pytest.raises(UserError, match=r"^target\.train=nothing\.txt: no such file in target\.root="):
        metacli.evaluate(run, "target.train=[nothing.txt]")


def test_a_tagger_can_only_find_what_it_has_seen(config_of):
    with pytest.raises(UserError, match=r"val has the type t\d, which train lacks"):
        experiment.assemble(config_of("tagger", "dataset.split_by=class", "dataset.split_sizes=[1,1,2]"))


def test_every_method_sees_the_same_episodes_and_changes_nothing_by_adapting(config_of):
    hashes = set()
    for method, small in METHODS.items():
        built = experiment.assemble(config_of(method, *small))
        before = deepcopy(built.learner.state_dict())
        hashes.add(built.evaluate("test", Console()).episode_hash)
        assert all(torch.equal(tensor, before[name]) for name, tensor in built.learner.state_dict().items())
    assert len(hashes) == 1


def test_protobert_learns(config_of, tmp_path):
    config = config_of(
        "protobert",
        "trainer={steps: 40, meta_batch: 2, chunk: 2, val_every: 20, log_every: 20}",
        "optimizer.lr=0.003",
        "episode.test.count=30",
    )
    built = experiment.assemble(config)
    before = built.evaluate("test", Console()).results.values()["span_f1"]
    load_into(built.learner, api.train(config, tmp_path).best)
    gained = built.evaluate("test", Console()).results.values()["span_f1"] - before
    assert gained.mean() > max(0.05, 3 * gained.std() / len(gained) ** 0.5)


def test_transitions_are_those_of_meta_train_and_stay_with_the_weights(config_of, tmp_path):
    config = config_of("structshot")
    run = api.train(config, tmp_path)
    built = experiment.assemble(config)
    assert not built.learner.transitions.counts.any()
    load_into(built.learner, run.best)
    types, kinds, first = built.data.table.sequences("train")
    counts = built.learner.transitions.counts
    assert counts.sum() == len(types) == sum(len(built.data.table.words[row]) for row in range(60))
    assert counts[3].sum() == first.sum() == 60
    assert counts[:, :, 0].sum() == (kinds == 0).sum()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["episode.test.ways=5"], "episode.test.ways=5: of 4 types of the test split 4 have 1 + 2 entities"),
        (["paradigm=reptile"], "paradigm=reptile: does classify, regress, but dataset conll is to tag"),
        (["paradigm=maml", "paradigm.moves.inner=[backbone]"], "only a head that moves tells them apart"),
        (["paradigm=transfer"], "is to tag\npretrain=tagger or pretrain=none"),
        (["paradigm=tagger", "pretrain=none"], "pretrain=none: tagger is what pretraining makes of it"),
        (["pretrain=supervised"], "pretrain=supervised: it learns to classify, and dataset conll is to tag"),
        (["paradigm=container", "paradigm.moves.inner=[head]"], "nearest=states asks the encoder alone"),
        (["dataset.word=-1"], "word=-1 and tag=-1 are the same column"),
        (["dataset.encoding=klingon"], "is no encoding that is known here"),
        (["dataset.scheme=biluo"], "dataset.scheme"),
    ],
)
def test_mistakes_are_answered_before_anything_is_computed(overrides, said, config_of):
    def checked():
        config = config_of("nnshot", *overrides)
        check(config, construct("dataset", config.dataset).describe())

    with pytest.raises(UserError) as raised:
        checked()
    assert said in str(raised.value)
