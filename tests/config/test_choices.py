"""What an option chooses in other groups, and that the command line has the last word."""

import pytest

METAGRADS = pytest.mark.parametrize("paradigm", ["metagrad", "adaptive_metagrad"])


@METAGRADS
def test_the_pipelines_of_metagrad_choose_their_optimizer_pretraining_and_what_moves(paradigm, composed):
    values = composed(f"paradigm={paradigm}")
    assert values["paradigm"]["name"] == values["optimizer"]["name"] == paradigm
    assert values["paradigm"]["family"] == "dependent"
    assert values["paradigm"]["moves"] == {"inner": ["norm", "head"], "outer": ["norm", "head"]}
    assert values["pretrain"]["name"] == "supervised"


@METAGRADS
def test_the_command_line_has_the_last_word_on_what_a_paradigm_chooses(paradigm, composed):
    chosen = ("pretrain=none", "optimizer=adam", "optimizer.lr=0.5")
    for overrides in ((f"paradigm={paradigm}", *chosen), (*chosen, f"paradigm={paradigm}")):
        values = composed(*overrides)
        assert values["pretrain"] == {"name": "none"}
        assert values["optimizer"]["name"] == "adam"
        assert values["optimizer"]["lr"] == 0.5
    tuned = composed("optimizer.radius=0.1", f"paradigm={paradigm}")["optimizer"]
    assert (tuned["name"], tuned["radius"]) == (paradigm, 0.1)
    assert tuned.get("prior", 0.1) == 0.1  # which is that of the radius
