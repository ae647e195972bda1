"""load and adapt: the run's own predictions again, images in every form, any labels, and what is refused."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import metacli
from metacli.build import episode_shape
from metacli.config.validate import validate
from metacli.experiment import assemble
from metacli.library.images import ImageReader
from metacli.rundir import RunFolder
from metacli.runtime import borrowed


@pytest.fixture(scope="session")
def learner(protonet) -> metacli.TrainedLearner:
    return metacli.load(protonet)


@pytest.fixture(scope="session")
def first_episode():
    """Of a run's test: core types, and the items' files."""

    def get(run):
        with borrowed():
            config = validate(RunFolder(run.path).config())
            experiment = assemble(config)
            shape, source = config.episode.test, experiment.data.sources["test"]
            episode = next(source.fixed_episodes(source.sampler(episode_shape(shape)), shape.count, 1))
        table = experiment.data.table
        root = Path(config.dataset.root)

        def files(examples):
            return [root / table.items[row] for row in examples.rows[0].tolist()]

        names = [table.classes[c] for c in episode.support.classes[0, episode.support.labels[0]].tolist()]
        return episode, files(episode.support), names, files(episode.query)

    return get


def pixels(files) -> np.ndarray:
    return np.stack([np.asarray(Image.open(file)) for file in files])[..., None]


@pytest.fixture
def some(photos) -> tuple[np.ndarray, list[str]]:
    """Five images of three classes."""
    files = [
        photos / name for name in ("class_00/00.png", "class_00/01.png", "class_01/00.png", "class_02/00.png")
    ]
    files.append(photos / "class_02" / "01.png")
    return pixels(files), ["ash", "ash", "oak", "elm", "elm"]


@pytest.mark.parametrize("paradigm", ["protonet", "maml"])
def test_a_loaded_run_predicts_what_its_report_says(paradigm, request, first_episode):
    run = request.getfixturevalue(paradigm)
    _, support, names, queries = first_episode(run)
    with (run.path / "report" / "predictions.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["episode"] == "0"]
    found = metacli.load(run).adapt(support, names)(queries)
    assert found.labels == [row["predicted"] for row in rows]
    np.testing.assert_allclose(found.confidence, [float(row["confidence"]) for row in rows], rtol=2e-5)


def test_images_may_come_as_files_bytes_or_floats(learner, first_episode, protonet):
    episode, support, names, queries = first_episode(protonet)
    wanted = learner.adapt(support, names)(queries).probabilities
    assert wanted.shape == (10, 5)
    assert wanted.dtype == np.float32
    np.testing.assert_allclose(wanted.sum(1), 1, rtol=1e-6)
    x, floats = torch.from_numpy(pixels(support)), episode.support.inputs["x"][0]
    for images in (list(map(str, support)), x, x.numpy(), floats, floats.numpy(), floats.double()):
        np.testing.assert_array_equal(learner.adapt(images, names)(queries).probabilities, wanted)
    predictor = learner.adapt(support, names)
    read_only = np.asarray(Image.open(queries[3]))[None, ..., None]
    for one in (queries[3], os.fspath(queries[3]), pixels(queries[3:4]), read_only):
        np.testing.assert_allclose(predictor(one).probabilities, wanted[3:4], rtol=1e-5)


def test_examples_give_a_predictor_of_core_types(learner, first_episode, protonet):
    episode, support, names, queries = first_episode(protonet)
    outputs = learner.adapt(episode.support)(episode.query.inputs)
    assert outputs.shape == (1, 10, 5)
    wanted = learner.adapt(support, names)(queries).probabilities
    np.testing.assert_array_equal(outputs[0].softmax(-1).detach().numpy(), wanted)


@pytest.mark.parametrize(
    "labels",
    [
        ["ash", "ash", "oak", "elm", "elm"],
        [7, 7, 8, 9, 9],
        [("a", 1), ("a", 1), None, ("b",), ("b",)],
        np.array(["ash", "ash", "oak", "elm", "elm"]),
        torch.tensor([7, 7, 8, 9, 9]),
    ],
    ids=["words", "numbers", "anything", "an array", "a tensor"],
)
def test_classes_may_be_of_any_number_size_and_name(labels, learner, some):
    images, _ = some
    predictor = learner.adapt(images, labels)
    given = labels if isinstance(labels, list) else labels.tolist()
    assert predictor.classes == (given[0], given[2], given[3])
    found = predictor(images)
    assert found.labels == given
    assert found.classes == predictor.classes
    assert found.probabilities.shape == (5, 3)
    assert (found.confidence == found.probabilities.max(1)).all()
    assert type(found.labels[0]) is type(given[0])


def test_adapting_leaves_the_learner_as_it_was(maml, first_episode):
    _, support, names, _ = first_episode(maml)
    learner = metacli.load(maml)
    before = {name: tensor.clone() for name, tensor in learner.learner.state_dict().items()}
    with torch.inference_mode():  # of the user's
        predictor = learner.adapt(support, names)
    assert not learner.learner.training
    for name, tensor in learner.learner.state_dict().items():
        assert tensor.equal(before[name])
    assert not any(tensor.requires_grad for tensor in predictor.predictor.state.values())


def test_a_learner_says_whether_images_predicted_together_matter(maml, learner):
    assert metacli.load(maml).transductive
    assert not learner.transductive


MISTAKES = {
    "fewer labels": (lambda x, y: (x, y[:4]), "5 images and 4 labels\ngive one label for each"),
    "no labels": (lambda x, y: (x,), "labels: None is no list\n"),
    "a word for labels": (lambda x, y: (x, "abcde"), "labels: 'abcde' is no list\n"),
    "one class": (lambda x, y: (x, ["a"] * 5), "labels: all are 'a'\n"),
    "labels that are lists": (lambda x, y: (x, [[1]] * 5), "labels: values of type list can be no names\n"),
    "nothing": (lambda x, y: ([], []), "no images\n"),
    "nothing in an array": (lambda x, y: (x[:0], []), "no images\n"),
    "one image": (
        lambda x, y: (x[0], ["a"]),
        r"images \[10, 10, 1\]: .* uint8\nfor one image: images\[None\]",
    ),
    "another size": (
        lambda x, y: (x[:, 1:], y),
        r"images \[5, 9, 10, 1\]: the network takes \[N, 10, 10, 1\] of uint8\nconvert them .*, or give paths",
    ),
    "three channels": (lambda x, y: (x.repeat(3, 3), y), r"images \[5, 10, 10, 3\]: .*\nconvert them"),
    "no channel": (lambda x, y: (x[..., 0], y), r"images \[5, 10, 10\]: .*\n.* images\[..., None\]"),
    "channels first": (
        lambda x, y: (np.moveaxis(x, -1, 1), y),
        r".*\nmove .*: numpy.moveaxis\(images, 1, -1\)",
    ),
    "channels last": (lambda x, y: (x / 255, y), r".*of float64\nmove .*: numpy.moveaxis\(images, -1, 1\)"),
    "another type": (lambda x, y: (x.astype(int), y), "images of type int64: neither uint8"),
    "floats up to 255": (
        lambda x, y: (1.0 * np.moveaxis(x, -1, 1), y),
        "images: floats go from 0 to 1 and these",
    ),
    "not a number": (
        lambda x, y: (
            np.where(np.arange(5)[:, None, None, None] == 3, np.nan, np.moveaxis(x, -1, 1) / 255),
            y,
        ),
        "images: number 3 holds NaN or an infinity\n",
    ),
    "no file": (lambda x, y: (["there.png"] * 5, y), "there.png: no such file\n"),
    "no image file": (
        lambda x, y: ([__file__] * 5, y),
        "cannot read the image .*\nmend the file, or leave it out$",
    ),
    "a list of arrays": (lambda x, y: (list(x), y), "images: ndarray is neither a path .*\n.*numpy.stack"),
    "a picture": (lambda x, y: (Image.new("L", (9, 9)), y), "images: Image is neither a path"),
}


@pytest.mark.parametrize(("change", "problem"), MISTAKES.values(), ids=MISTAKES)
def test_what_a_network_cannot_take_is_refused(change, problem, learner, some):
    with pytest.raises(metacli.UserError, match=f"^{problem}"):
        learner.adapt(*change(*some))


def test_a_head_refuses_another_number_of_classes(maml, some):
    told = "^3 classes: the head of maml is built for 5\n.*episode.train.ways=3.* paradigm=protonet"
    with pytest.raises(metacli.UserError, match=told):
        metacli.load(maml).adapt(*some)


def test_where_a_data_set_has_no_files_paths_are_refused(photos):
    read = ImageReader((1, 10, 10), torch.device("cpu"), None)
    with pytest.raises(metacli.UserError, match=r"never were files\ngive an array of uint8 \[N, 10, 10, 1\]"):
        read(photos / "class_00" / "00.png")


def test_a_run_is_loaded_where_its_data_are_not(protonet, photos, some):
    away = photos.rename(photos.with_name("away"))
    try:
        assert metacli.load(protonet).adapt(*some)(some[0]).probabilities.shape == (5, 3)
    finally:
        away.rename(photos)


def test_a_run_of_before_its_task_was_written_down_is_loaded(protonet, learner, some, tmp_path):
    copy = RunFolder(Path(shutil.copytree(protonet.path, tmp_path / "older")))
    assert copy.manifest()["task"]["shape"] == [1, 10, 10]
    copy.update_manifest(task=None)
    found = metacli.load(copy.path).adapt(*some)(some[0])
    np.testing.assert_array_equal(found.probabilities, learner.adapt(*some)(some[0]).probabilities)


def test_what_cannot_be_loaded_is_refused(protonet, evaluation, tmp_path):
    with pytest.raises(metacli.UserError, match="not a run\n"):
        metacli.load(tmp_path)
    with pytest.raises(
        metacli.UserError, match=f"an evaluation, not a run\nload the run itself: {protonet.path}"
    ):
        metacli.load(evaluation)
    with pytest.raises(metacli.UserError, match=r"device\.name=gpu: should be auto, cpu"):
        metacli.load(protonet, device="gpu")
    copy = Path(shutil.copytree(protonet.path, tmp_path / "copy"))
    (copy / "checkpoints" / "best.safetensors").write_bytes(b"")
    with pytest.raises(metacli.UserError, match="truncated or altered"):
        metacli.load(copy)
