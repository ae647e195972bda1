"""What is special about the settings of single data sets."""

import pytest

from metacli.config.compatibility import check
from metacli.config.validate import validate
from metacli.data.table import Description
from metacli.errors import UserError

MANY = Description(
    (3, 84, 84), {split: {f"{split} {n}": 40 for n in range(20)} for split in ("train", "val", "test")}
)


@pytest.mark.parametrize(("then", "now"), [(True, "classes"), (False, "none"), ("episode", "episode")])
def test_rotations_of_earlier_runs_are_understood(then, now, composed):
    values = composed("dataset=omniglot")
    values["dataset"]["rotations"] = then
    assert validate(values).dataset.rotations == now


def test_a_run_from_before_augmentation_is_understood_as_it_ran(composed):
    values = composed("dataset=imagefolder")
    del values["dataset"]["augment"]
    assert validate(values).dataset.augment.model_dump() == {"flip": False, "crop": 0, "colour": 0.0}


def test_an_unknown_kind_of_rotation_is_refused(composed):
    values = composed("dataset=omniglot")
    values["dataset"]["rotations"] = "batch"
    with pytest.raises(UserError, match=r"dataset\.rotations=batch: .*'classes', 'episode' or 'none'"):
        validate(values)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("crop", 84, r"augment\.crop=84 should be less than size=84"),
        ("crop", -1, r"dataset\.augment\.crop=-1"),
        ("colour", 1.0, r"dataset\.augment\.colour=1\.0: .*less than 1"),
        ("flip", "maybe", r"dataset\.augment\.flip=maybe"),
        ("color", 0.1, r"unknown key dataset\.augment\.color=0\.1"),
    ],
)
def test_impossible_augmentation_is_refused(key, value, said, composed):
    values = composed("dataset=imagefolder")
    values["dataset"]["augment"][key] = value
    with pytest.raises(UserError, match=said):
        validate(values)


@pytest.mark.parametrize(
    ("paradigm", "training"), [("nearest_centroid", True), ("protonet", False), ("protonet", True)]
)
def test_augmentation_without_training_is_said_to_do_nothing(paradigm, training, composed):
    override = "dataset.augment.flip=true"
    config = validate(composed("dataset=imagefolder", f"paradigm={paradigm}", override))
    notes = check(config, MANY, [override], training=training)
    without_effect = any(note.startswith("dataset.augment.flip has no effect") for note in notes)
    assert without_effect == (paradigm == "nearest_centroid" or not training)
