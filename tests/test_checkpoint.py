import pytest
import torch

from metacli.checkpoint import load_state, load_weights, save_state, save_weights
from metacli.errors import UserError
from metacli.files import digest

TENSORS = {
    "a.weight": torch.arange(6.0).view(2, 3).T,  # not contiguous
    "b": torch.tensor(3.5, dtype=torch.bfloat16),
    "c": torch.tensor([2**40, -1]),
    "empty": torch.zeros(0, 4),
    "nan": torch.tensor([float("nan"), -0.0]),
}


def same(one, other):
    def bits(tensor):
        return tensor.dtype, tensor.shape, tensor.flatten().contiguous().view(torch.uint8).tolist()

    return {name: bits(tensor) for name, tensor in one.items()} == {
        name: bits(tensor) for name, tensor in other.items()
    }


@pytest.fixture
def state(tmp_path):
    path = tmp_path / "run" / "last.pt"
    save_state(path, {"learner": TENSORS, "progress": {"step": 3, "history": [{"loss": 0.25}], "note": None}})
    return path


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "run" / "best.safetensors"
    save_weights(path, TENSORS)
    return path


def test_training_state_comes_back_bit_for_bit(state):
    loaded = load_state(state)
    assert same(loaded["learner"], TENSORS)
    assert loaded["progress"] == {"step": 3, "history": [{"loss": 0.25}], "note": None}


def test_weights_come_back_bit_for_bit(weights):
    assert same(load_weights(weights), TENSORS)


def test_weights_are_an_ordinary_safetensors_file(weights):
    from safetensors.torch import load_file

    assert torch.equal(load_file(weights)["a.weight"], TENSORS["a.weight"])


def test_the_same_weights_make_the_same_file(weights, tmp_path):
    again = tmp_path / "again.safetensors"
    save_weights(again, dict(reversed(TENSORS.items())))
    assert again.read_bytes() == weights.read_bytes()


@pytest.mark.parametrize("kept", [0, 1, 7, 20, 100, -33, -32, -1])
def test_a_truncated_file_is_refused_and_named(kept, state, weights):
    for path, load in ((state, load_state), (weights, load_weights)):
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(UserError, match="truncated or altered") as error:
            load(path)
        assert str(path) in error.value.problem


def test_a_flipped_bit_anywhere_in_the_weights_is_noticed(weights):
    content = weights.read_bytes()
    for place in range(len(content)):
        altered = bytearray(content)
        altered[place] ^= 1 << place % 8
        weights.write_bytes(altered)
        with pytest.raises(UserError, match="truncated or altered"):
            load_weights(weights)


def test_a_flipped_bit_anywhere_in_the_training_state_is_noticed(state):
    content = state.read_bytes()
    for place in [*range(0, len(content), 11), *range(len(content) - 32, len(content))]:
        altered = bytearray(content)
        altered[place] ^= 1 << place % 8
        state.write_bytes(altered)
        with pytest.raises(UserError, match="truncated or altered"):
            load_state(state)


def test_something_appended_is_noticed(state, weights):
    for path, load in ((state, load_state), (weights, load_weights)):
        path.write_bytes(path.read_bytes() + b"\0")
        with pytest.raises(UserError, match="truncated or altered"):
            load(path)


def test_a_missing_file_is_named(tmp_path):
    for load in (load_state, load_weights):
        with pytest.raises(UserError, match=r"missing\.file: no such file"):
            load(tmp_path / "missing.file")


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    for load in (load_state, load_weights):
        with pytest.raises(UserError, match="cannot read"):
            load(tmp_path)


class Exploit:
    def __reduce__(self):
        return (pytest.fail, ("code of the file was run",))


def test_code_in_a_checkpoint_is_never_run(tmp_path):
    import pickle

    path = tmp_path / "last.pt"
    torch.save({"learner": Exploit()}, path, pickle_protocol=2)
    body = path.read_bytes()
    path.write_bytes(body + digest(body).encode())
    with pytest.raises((UserError, pickle.UnpicklingError)):
        load_state(path)


def test_saving_leaves_no_temporary_file(state, weights):
    save_state(state, {"learner": {}})
    assert sorted(path.name for path in state.parent.iterdir()) == ["best.safetensors", "last.pt"]
