"""What fits together: declarations in, one error or some notes out."""

from dataclasses import replace

import pytest

from metacli.config import registry
from metacli.config.compatibility import batch_norm_mode, check, features_kept, transductive_method
from metacli.config.validate import validate
from metacli.data.table import Description
from metacli.errors import UserError


def described(classes: int = 30, items: int = 20, side: int = 28) -> Description:
    names = {f"class {number}": items for number in range(classes)}
    return Description((1, side, side), {"train": names, "val": names, "test": names})


@pytest.fixture
def notes(composed):
    """Overrides, and what the data is like -> what is said of settings without effect."""
    return lambda *overrides, **data: check(validate(composed(*overrides)), described(**data), overrides)


def test_what_fits_leaves_nothing_to_say(notes):
    assert notes("paradigm=maml", "paradigm.inner.steps=5", "optimizer.lr=0.1") == []


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_more_ways_than_classes_are_refused_with_both_numbers(split, notes):
    with pytest.raises(UserError, match=rf"episode\.{split}\.ways=20: the {split} split has 6 classes"):
        notes("paradigm=protonet", f"episode.{split}.ways=20", classes=6)


def test_more_items_than_a_class_has_are_refused_with_its_name(notes):
    with pytest.raises(UserError, match=r'episode\.train: 1 shots \+ 5 queries .* class "class 0"'):
        notes("paradigm=protonet", items=5)


def test_only_the_split_that_is_read_counts_where_nothing_trains(notes):
    assert notes("paradigm=nearest_centroid", "episode.val.ways=20", "report.split=test", classes=6) == [
        "episode.val.ways has no effect: nearest_centroid does not train"
    ]


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("paradigm", ["maml", "anil", "fomaml"])
def test_a_head_of_five_ways_refuses_ten_and_names_five(paradigm, split, notes):
    with pytest.raises(
        UserError, match=rf"episode\.{split}\.ways=10: the head of {paradigm} is built for 5 ways"
    ):
        notes(f"paradigm={paradigm}", f"episode.{split}.ways=10")


def test_second_order_needs_a_backbone_that_allows_it(notes, monkeypatch):
    pixels = registry.component("backbone", "pixels")
    monkeypatch.setitem(registry.components("backbone"), "pixels", replace(pixels, second_order=False))
    with pytest.raises(UserError, match=r"paradigm\.order=second: backbone pixels"):
        notes("paradigm=maml", "backbone=pixels")
    notes("paradigm=fomaml", "backbone=pixels")


def test_more_processes_than_chunks_are_refused_with_the_chunk_that_suffices(notes):
    chunked = ["trainer.meta_batch=8", "trainer.chunk=3"]
    notes(*chunked, "device.processes=3")
    with pytest.raises(
        UserError,
        match=r"device\.processes=4: a meta-batch of 8 tasks has 3 chunks of 3 to share\nlower trainer\.chunk to 2",
    ):
        notes(*chunked, "device.processes=4")
    notes("trainer.meta_batch=8", "trainer.chunk=2", "device.processes=4")
    with pytest.raises(
        UserError, match=r"device\.processes=9: .*\nno more processes than trainer\.meta_batch=8"
    ):
        notes(*chunked, "device.processes=9")
    notes(*chunked, "device.processes=9", "paradigm=nearest_centroid")


@pytest.mark.parametrize("device", ["mps", "cuda:0"])
def test_one_device_is_not_for_two_processes(device, notes):
    with pytest.raises(UserError, match=rf"device\.processes=2: device\.name={device} is a single device"):
        notes("trainer.chunk=4", "device.processes=2", f"device.name={device}")


def test_where_torchrun_says_how_many_processes_there_are_the_config_need_not(notes, monkeypatch):
    for name, value in {"RANK": 0, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1}.items():
        monkeypatch.setenv(name, str(value))
    said = notes("trainer.chunk=4", "device.processes=3")
    assert said == ["device.processes has no effect: torchrun says how many there are"]
    with pytest.raises(UserError, match=r"torchrun's 2 processes: a meta-batch of 8 tasks has 1 chunk of 8"):
        notes("trainer.chunk=8")


def test_bf16_is_refused_where_nothing_would_be_rounded_or_too_much(notes):
    with pytest.raises(UserError, match=r"device\.precision=bf16: backbone conv4 .*\n.*torchvision"):
        notes("paradigm=protonet", "device.precision=bf16")
    chosen = ["backbone=resnet18", "optimizer.lr=0.0001", "device.precision=bf16"]
    with pytest.raises(
        UserError, match=r"device\.precision=bf16: with paradigm\.order=second .*\n.*order=first"
    ):
        notes("paradigm=maml", *chosen)
    assert notes("paradigm=fomaml", *chosen) == []


def test_images_that_pooling_would_use_up_are_refused(notes):
    with pytest.raises(UserError, match=r"backbone=conv4: nothing is left of an image of 12 pixels"):
        notes("backbone=conv4", side=12)
    notes("backbone=conv4", side=16)
    notes("backbone=conv4", "backbone.depth=3", side=12)
    notes("backbone=conv4_stride", side=12)


@pytest.mark.parametrize("norm", ["group", "layer", "none"])
def test_bn_mode_without_batch_norm_is_said_to_have_no_effect(norm, notes, composed):
    overrides = [f"backbone.norm={norm}", "paradigm.bn_mode=support"]
    assert notes(*overrides) == ["paradigm.bn_mode has no effect: backbone conv4 has no batch norm"]
    assert batch_norm_mode(validate(composed(*overrides))) == "none"


def test_nothing_to_train_is_refused(notes):
    with pytest.raises(UserError, match="backbone=pixels: it has no weights, nor has protonet"):
        notes("paradigm=protonet", "backbone=pixels")
    notes("paradigm=anil", "backbone=pixels")
    notes("paradigm=nearest_centroid", "backbone=pixels")


def test_a_rate_that_undoes_what_others_have_trained_is_warned_of(notes):
    trained = ("paradigm=protonet", "backbone=resnet18", "episode=5w1s")
    assert notes(*trained, "optimizer.lr=0.003")[0].startswith(
        "optimizer.lr=0.003 is high for weights that others"
    )
    assert notes(*trained, "optimizer.lr=0.0001") == []
    assert notes(*trained, "backbone.weights=none", "optimizer.lr=0.003") == []


def test_a_seed_that_nothing_is_drawn_by_is_said_to_have_no_effect(notes):
    said = ["seed has no effect: neither nearest_centroid nor pixels draws anything"]
    assert notes("paradigm=nearest_centroid", "seed=1") == said
    assert notes("paradigm=nearest_centroid", "backbone=mlp", "seed=1") == []


def test_what_belongs_to_training_is_said_to_have_no_effect_where_nothing_trains(notes):
    keys = ["optimizer", "optimizer.lr", "trainer", "trainer.clip", "episode.train.shots", "episode.val"]
    values = ["sgd", "0.1", "long", "1.0", "2", "{ways: 5, shots: 1, queries: 5, count: 3}"]
    overrides = [f"{key}={value}" for key, value in zip(keys, values, strict=True)]
    said = notes("paradigm=nearest_centroid", *overrides, "trainer.chunk=2", "episode.test.shots=2")
    assert said == [f"{key} has no effect: nearest_centroid does not train" for key in keys]


def test_what_an_evaluation_does_not_read_is_said_to_have_no_effect(composed):
    keys = ["trainer.steps", "optimizer.lr", "seed", "episode.train.ways", "episode.val.shots", "run.name"]
    overrides = [f"{key}=1" for key in keys]
    read = ["trainer.chunk=1", "episode.test.shots=1", "dataset.size=28", "paradigm.inner.eval_steps=2"]
    said = check(validate(composed()), described(), [*overrides, *read], training=False)
    assert said == [f"{key} has no effect: nothing is trained here" for key in keys]


def test_an_evaluation_asks_of_the_data_only_what_it_reads(composed):
    data = described()
    few = replace(data, splits={**data.splits, "train": {}, "val": {}})
    config = validate(composed("paradigm=maml"))
    assert check(config, few, training=False) == []
    with pytest.raises(UserError, match="the train split has 0 classes"):
        check(config, few)


def test_bn_mode_with_batch_norm_stands_in_the_report(composed):
    assert batch_norm_mode(validate(composed("paradigm.bn_mode=support"))) == "support"


def test_a_method_or_its_head_may_answer_queries_together(composed):
    for overrides, together in [
        (["paradigm=tpn"], True),
        (["paradigm=simpleshot"], False),
        (["paradigm=simpleshot", "head=label_propagation"], True),
        (["paradigm=maml", "head=label_propagation"], False),
    ]:
        assert transductive_method(validate(composed(*overrides))) == together


def test_a_method_that_compares_maps_is_refused_a_backbone_that_keeps_none(notes):
    for backbone in ("conv4_stride", "resnet12", "mlp", "cnn"):
        with pytest.raises(
            UserError, match=rf"backbone={backbone[:3]}.*its last map as it is, which relationnet"
        ):
            notes("paradigm=relationnet", f"backbone={backbone}")
    for fine in (["backbone=conv4"], ["backbone=cnn", "backbone.hidden=0"], []):
        notes("paradigm=relationnet", *fine)
    with pytest.raises(UserError, match=r"paradigm\.bn_mode=support: .*'batch' or 'running'"):
        notes("paradigm=relationnet", "paradigm.bn_mode=support")


WAVES = Description((1,), {split: {} for split in ("train", "val", "test")}, kind="regress")


def test_regression_needs_no_classes_and_says_that_ways_do_nothing(composed):
    overrides = ["dataset=sinusoid", "episode.test.ways=7"]
    assert check(validate(composed(*overrides)), WAVES, overrides) == [
        "episode.test.ways has no effect: dataset sinusoid has no classes"
    ]


def test_a_paradigm_of_another_kind_of_task_is_refused_with_those_that_fit(composed):
    config = validate(composed("dataset=sinusoid", "paradigm=protonet", "backbone=mlp40"))
    with pytest.raises(UserError, match=r"does classify, but dataset sinusoid is to regress\n.*maml.*joint"):
        check(config, WAVES)
    with pytest.raises(UserError, match="paradigm=joint: does regress, but dataset glyphs is to classify"):
        check(validate(composed("paradigm=joint")), described())


def test_a_backbone_for_images_is_refused_where_items_are_vectors(composed):
    config = validate(composed("dataset=sinusoid", "backbone=conv4"))
    with pytest.raises(UserError, match=r"backbone=conv4: takes no vector.*\n.*mlp, mlp128, mlp40, pixels"):
        check(config, WAVES)


def test_a_range_that_goes_down_is_refused(composed):
    values = composed("dataset=sinusoid", "dataset.x=[5,-5]")
    with pytest.raises(UserError, match=r"dataset\.x=\[5, -5\]: should be \[low, high\]"):
        validate(values)


def test_numbers_without_end_are_no_range(composed):
    values = composed("dataset=sinusoid")
    values["dataset"]["x"] = [float("-inf"), float("inf")]
    with pytest.raises(UserError, match=r"dataset\.x"):
        validate(values)


def test_one_episode_is_too_few_for_an_interval(composed):
    with pytest.raises(UserError, match=r"episode\.test\.count=1: .*2"):
        validate(composed("episode.test.count=1"))


def test_pretraining_needs_classes_and_a_backbone_with_weights(composed, notes):
    overrides = ["dataset=sinusoid", "pretrain=supervised"]
    with pytest.raises(
        UserError, match="pretrain=supervised: it learns to classify, and dataset sinusoid is to regress"
    ):
        check(validate(composed(*overrides)), WAVES, overrides)
    with pytest.raises(UserError, match="pretrain=supervised: backbone pixels has no weights"):
        notes("paradigm=nearest_centroid", "pretrain=supervised")
    notes("paradigm=nearest_centroid", "pretrain=supervised", "backbone=mlp")


def test_pretraining_reads_the_validation_episodes_of_what_does_not_train(notes):
    pretrained = ["paradigm=nearest_centroid", "backbone=mlp", "pretrain=supervised"]
    assert notes(*pretrained, "episode.val.shots=2", "dataset.size=28", "seed=1") == []
    assert notes(*pretrained, "episode.train.shots=2") == [
        "episode.train.shots has no effect: nearest_centroid does not train"
    ]
    with pytest.raises(UserError, match=r"episode\.val\.ways=20"):
        notes(*pretrained, "episode.val.ways=20", classes=6)


def test_features_are_given_in_the_form_that_the_backbone_takes(composed):
    def shape(*overrides):
        config = validate(composed(*overrides))
        return config.features.output((1, 28, 28), registry.component("backbone", config.backbone.name).form)

    for backbone, square, found in (
        ("mlp128", (64,), (64,)),
        ("cnn64", (1, 8, 8), (64, 4, 4)),
        ("rnn64", (1, 8, 8), (1, 16, 64)),
    ):
        assert shape("features=pca", f"backbone={backbone}") == square
        assert shape("features=autoencoder", f"backbone={backbone}") == found
        assert shape("features=none", f"backbone={backbone}") == (1, 28, 28)


def test_components_are_a_square_where_the_backbone_takes_images(notes):
    with pytest.raises(UserError, match=r"features=pca: the backbone takes images, .*; 49 has one"):
        notes("features=pca", "features.components=60", "backbone=cnn64")
    assert notes("features=pca", "features.components=60", "backbone=mlp128") == []


def test_there_are_no_more_components_than_numbers_or_images(notes):
    few = ["features=pca", "backbone=mlp128"]
    with pytest.raises(UserError, match="features=pca: an image has 36 numbers"):
        notes(*few, side=6)
    with pytest.raises(UserError, match=r"64 numbers of an image need so many images; it has 50"):
        notes(*few, "features.images=50")
    with pytest.raises(UserError, match=r"meta-train has 60"):
        notes(*few, classes=10, items=6)
    assert notes(*few, "features.images=50", "features.fit=false") == [
        "features.images has no effect: they are not fitted"
    ]


def test_maps_of_features_may_be_too_small_for_a_backbone(notes):
    with pytest.raises(UserError, match="nothing is left of a map of features=autoencoder of 4 pixels"):
        notes("features=autoencoder", "backbone=conv4")
    assert notes("features=autoencoder", "backbone=conv4_stride") == []


def test_features_are_of_images(composed):
    overrides = ["dataset=sinusoid", "features=pca", "backbone=mlp40"]
    with pytest.raises(
        UserError, match="features=pca: takes no vector, which is what dataset sinusoid holds"
    ):
        check(validate(composed(*overrides)), WAVES, overrides)


def test_second_order_needs_features_that_allow_it(notes, monkeypatch):
    once = replace(registry.component("features", "pca"), second_order=False)
    monkeypatch.setitem(registry.components("features"), "pca", once)
    with pytest.raises(
        UserError, match=r"paradigm\.order=second: features pca cannot be differentiated twice"
    ):
        notes("paradigm=maml", "features=pca", "backbone=mlp128")


def test_features_that_move_are_something_to_train(notes):
    with pytest.raises(UserError, match="nothing to train"):
        notes("paradigm=protonet", "features=pca", "backbone=pixels")
    moved = "paradigm.moves.outer=[features,head]"
    assert notes("paradigm=anil", "features=pca", "backbone=pixels", moved) == []


def test_what_only_fitting_reads_is_said_to_have_no_effect_where_nothing_is_fitted(notes, composed):
    keys = ["images", "epochs", "batch", "lr", "noise", "held_out", "loss"]
    values = ["3000", "3", "4", "0.1", "0.2", "0.2", "mse"]
    overrides = [f"features.{key}={value}" for key, value in zip(keys, values, strict=True)]
    which = ["features=autoencoder", "backbone=mlp128"]
    assert notes(*which, *overrides) == []
    expected = [f"features.{key} has no effect: they are not fitted" for key in keys]
    assert notes(*which, "features.fit=false", *overrides) == expected
    evaluated = check(validate(composed(*which)), described(), overrides, training=False)
    assert evaluated == [f"features.{key} has no effect: nothing is trained here" for key in keys]


def test_the_report_says_which_features_there_are_and_what_moves_them(composed):
    def kept(*overrides):
        return features_kept(validate(composed("paradigm=fomaml", *overrides)))

    assert kept() is None
    pca = ("features=pca", "backbone=mlp128")
    assert kept(*pca) == {"name": "pca", "fitted": True, "moved_by": []}
    assert kept(*pca, "features.fit=false", "paradigm.moves.outer=[features,head]") == {
        "name": "pca",
        "fitted": False,
        "moved_by": ["outer"],
    }


def test_episodes_without_queries_are_for_what_learns_from_whole_episodes(notes):
    assert notes("paradigm=reptile", "episode.train.queries=0") == []
    with pytest.raises(UserError, match=r"episode\.train\.queries=0: maml is trained on its answers"):
        notes("paradigm=maml", "episode.train.queries=0")
    with pytest.raises(UserError, match=r"episode\.test\.queries=0"):
        notes("paradigm=reptile", "episode.test.queries=0")


@pytest.mark.parametrize(
    ("inner", "outer"), [("head", "backbone,head"), ("backbone", "bias"), ("norm,head", "last_block")]
)
def test_reptile_refuses_to_move_outside_what_stays_inside(inner, outer, notes):
    moves = [f"paradigm.moves.inner=[{inner}]", f"paradigm.moves.outer=[{outer}]"]
    with pytest.raises(UserError, match=rf"moves\.outer=\[{outer}\]: Reptile .* moves\.inner=\[{inner}\]"):
        notes("paradigm=reptile", *moves)
    assert notes("paradigm=reptile", "paradigm.moves.outer=[last_block,bias]") == []


def test_an_attack_is_refused_where_there_is_nothing_to_classify(composed):
    config = validate(composed("dataset=sinusoid", "attack=pgd"))
    functions = Description((1,), {"train": {}, "val": {}, "test": {}}, kind="regress")
    with pytest.raises(
        UserError,
        match="attack=pgd: it perturbs images or texts that are to be classified, and dataset sinusoid",
    ):
        check(config, functions)


def test_a_method_that_needs_an_attack_has_one_and_says_itself_what_it_is_on(notes):
    assert notes("paradigm=adml", "attack.epsilon=0.2") == []
    assert notes("paradigm=adml", "attack=pgd", "attack.steps=3") == []
    with pytest.raises(UserError, match="attack=none: adml trains on attacked examples"):
        notes("paradigm=adml", "attack=none")
    with pytest.raises(UserError, match=r"attack\.train_on=query: adml says itself what is attacked"):
        notes("paradigm=adml", "attack.train_on=query")


def test_attacking_the_training_of_what_has_no_query_loss_is_refused(notes, monkeypatch):
    assert notes("paradigm=protonet", "attack=pgd", "attack.train_on=query", "attack.steps=3") == []
    other = replace(registry.component("paradigm", "protonet"), query_loss=False)
    monkeypatch.setitem(registry.components("paradigm"), "protonet", other)
    with pytest.raises(
        UserError, match=r"attack\.train_on=support: protonet is not trained on the loss of its queries"
    ):
        notes("paradigm=protonet", "attack=pgd", "attack.train_on=support")
    assert notes("paradigm=protonet", "attack=pgd") == []
    for paradigm in ("nearest_centroid", "transfer", "classifier"):
        train = "pretrain=supervised" if paradigm == "classifier" else "pretrain=none"
        with pytest.raises(
            UserError, match=rf"train_on=query: {paradigm} is not trained on.*\nattack.train_on=none"
        ):
            notes(f"paradigm={paradigm}", train, "attack=pgd", "attack.train_on=query")


def test_what_an_attack_does_in_training_is_said_to_have_no_effect_where_nothing_is_attacked_there(
    composed, notes
):
    said = ["attack.steps has no effect: no training episode is attacked"]
    assert notes("paradigm=maml", "attack=pgd", "attack.steps=3") == said
    assert notes("paradigm=maml", "attack=freelb", "attack.steps=2") == []  # in the report, too
    keys = ["attack.steps=3", "attack.train_on=query"]
    again = check(validate(composed("attack=pgd", *keys)), described(), keys, training=False)
    assert again == [
        f"{key.partition('=')[0]} has no effect: no training episode is attacked" for key in keys
    ]


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("paradigm.inner.eval_steps=6", "rates are learned for the steps of training, steps=5"),
        ("paradigm.bn_mode=running", "bn_mode"),
    ],
)
def test_maml_pp_refuses_steps_without_rates_and_averages_that_it_does_not_keep(setting, why, notes):
    with pytest.raises(UserError, match=why):
        notes("paradigm=maml_pp", setting)
    with pytest.raises(UserError, match="needs order=second"):
        notes("paradigm=maml_pp", "paradigm.order=first", "paradigm.first_order=0.5")
