"""Half-typed overrides: what they may become."""

import pytest

from metacli.config.complete import override_words


def words(typed, *given):
    """As a shell would keep them."""
    return {word for word in override_words(typed, given) if word.startswith(typed)}


def test_a_group_can_be_chosen_and_its_keys_can_be_set():
    assert words("parad") == {"paradigm=", "paradigm."}
    assert words("see") == {"seed="}
    assert {"experiment=", "dataset=", "trainer."} <= words("")


def test_a_group_becomes_each_of_its_options():
    assert {"paradigm=maml ", "paradigm=protonet "} <= words("paradigm=")
    assert words("paradigm=proton") == {"paradigm=protonet "}
    assert "experiment=omniglot/maml_5w1s " in words("experiment=omn")


def test_keys_are_completed_one_level_at_a_time():
    assert words("paradigm.in") == {"paradigm.inner."}
    inner = ("lr", "steps", "eval_steps", "loss_reduction")
    assert words("paradigm.inner.") == {f"paradigm.inner.{key}=" for key in inner}
    assert words("nothing.") == words("seed.") == set()


def test_the_name_of_a_component_is_no_key_as_it_goes_with_the_option():
    assert "paradigm.name=" not in words("paradigm.")
    assert "run.name=" in words("run.")


def test_what_is_typed_before_decides_which_keys_there_are():
    assert "paradigm.inner." not in words("paradigm.", "paradigm=protonet")
    assert "paradigm.inner." not in words("paradigm.", "--cfg", "paradigm=protonet", "seed=0,1")
    assert words("trainer.steps=", "trainer=long") != words("trainer.steps=")


@pytest.mark.parametrize("mistake", ["paradigm=mamml", "seed", "seed=0,1", "--cfg", "trainer.stepz=3", "a='"])
def test_a_mistake_before_does_not_keep_the_rest_from_being_completed(mistake):
    assert words("trainer.log", mistake) == {"trainer.log_every="}


def test_a_key_with_a_few_words_becomes_each_of_them():
    assert words("paradigm.order=") == {"paradigm.order=first ", "paradigm.order=second "}
    assert words("backbone.padding=", "backbone=cnn") == {"backbone.padding=same ", "backbone.padding=valid "}
    assert words("report.split=") == {"report.split=test ", "report.split=val "}
    assert words("tracker.wandb.mode=", "tracker=wandb") == {
        "tracker.wandb.mode=offline ",
        "tracker.wandb.mode=online ",
    }
    assert words("optimizer.nesterov=", "optimizer=sgd") == {
        "optimizer.nesterov=true ",
        "optimizer.nesterov=false ",
    }


def test_another_key_becomes_what_it_is_to_be_edited():
    assert words("episode.test.ways=") == {"episode.test.ways=5 "}
    assert words("run.name=") == set()  # a reference, which would need quotes
    assert words("paradigm.moves.inner=") == set()  # a list


def test_in_a_sweep_the_last_value_is_completed():
    assert words("paradigm=maml,proton") == {"paradigm=maml,protonet "}


def test_of_a_list_the_last_item_is_completed_and_the_list_stays_open():
    assert words("tracker=[tensorb") == {"tracker=[tensorboard"}
    assert words("tracker=[jsonl,tensorb") == {"tracker=[jsonl,tensorboard"}


def test_what_is_added_or_taken_away_keeps_its_sign():
    assert words("+experiment=photos/p") == {"+experiment=photos/protonet_5w1s "}
    assert words("~paradigm.ord") == {"~paradigm.order="}


def test_an_option_inside_anothers_settings_is_completed_too():
    given = "pretrain=supervised"
    assert words("optimizer@pretrain.optimizer=adamw", given) == {"optimizer@pretrain.optimizer=adamw "}
    assert "pretrain.optimizer." in words("pretrain.", given)
    assert words("pretrain.optimizer.sched", given) == {"pretrain.optimizer.schedule="}
    assert words("pretrain.head=", given) == {"pretrain.head=linear ", "pretrain.head=cosine "}
