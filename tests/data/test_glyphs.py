"""The embedded data set: its pixels are deterministic, and no shape stands in two splits."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from metacli.data import glyph_choice, glyphs
from metacli.data.glyph_choice import ALIKE, SAME, choose
from metacli.data.glyph_fonts import characters, font_files
from metacli.data.glyph_likeness import likeness
from metacli.data.glyphs import Glyphs, chosen
from metacli.data.table import SPLITS, Table
from metacli.errors import UserError

ROUNDING = 0.01  # another version of FreeType moves an outline by a fraction of a pixel


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METACLI_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield Glyphs(size=28, per_class=4, seed=0).build()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A choice of three characters, one a split, and a cache of its own."""
    three = [next(glyph for glyph in chosen() if glyph.split == split) for split in SPLITS]
    monkeypatch.setattr(glyphs, "chosen", lambda: three)
    monkeypatch.setenv("METACLI_CACHE", str(tmp_path))
    return tmp_path


def test_images_are_square_bytes_with_one_channel(table: Table) -> None:
    assert table.images.shape == (4 * len(chosen()), 28, 28, 1)
    assert table.images.dtype == np.uint8
    assert table.labels.dtype == np.int64
    assert len(table.items) == len(set(table.items)) == len(table.images)


def test_ink_is_bright_on_black(table: Table) -> None:
    assert (np.median(table.images[:, [0, -1]], axis=(1, 2, 3)) == 0).all()  # first and last line
    assert (table.images.max(axis=(1, 2, 3)) > 128).all()
    assert 20 < table.images.mean() < 80


def test_the_description_counts_what_is_built(table: Table) -> None:
    described = Glyphs(size=28, per_class=4, seed=0).describe()
    assert described.shape == (1, 28, 28)
    for split in SPLITS:
        names = {table.classes[label]: int((table.labels == label).sum()) for label in table.splits[split]}
        assert described.splits[split] == names
    assert sorted(np.concatenate(list(table.splits.values()))) == list(range(len(table.classes)))


def test_there_are_several_hundred_classes_shared_sixty_fifteen_twenty_five() -> None:
    counts = Counter(glyph.split for glyph in chosen())
    assert 600 <= counts.total() <= 1000
    for split, share in zip(SPLITS, (0.60, 0.15, 0.25), strict=True):
        assert counts[split] / counts.total() == pytest.approx(share, abs=0.02)
    assert len({glyph.title for glyph in chosen()}) == counts.total()


def test_describing_imports_neither_torch_nor_fonts() -> None:
    code = (
        "import sys; from metacli.data.glyphs import Glyphs; Glyphs(size=28, per_class=20, seed=0).describe();"
        "print({'torch', 'PIL', 'matplotlib'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_every_image_is_drawn_with_a_font_that_holds_the_character(table: Table) -> None:
    held = {name: characters(name, file) for name, file in font_files().items()}
    for label, item in zip(table.labels, table.items, strict=True):
        code, font, _ = item.split()
        assert int(code.removeprefix("U+"), 16) in held[font]
        assert table.classes[label].startswith(f"{code} ")
    assert len({item.split()[1] for item in table.items}) == len(held)


def test_only_basic_letters_are_taken_from_computer_modern() -> None:
    files = font_files()
    assert "cmr10" in files
    assert not any(name.startswith("LastResort") for name in files)
    for name in files:
        if name.startswith("cm"):
            assert all(chr(code).isascii() and chr(code).isalpha() for code in characters(name, files[name]))


def test_the_same_seed_gives_the_same_bits_in_another_process(few: Path) -> None:
    code = (
        "from metacli.data import glyphs; from metacli.data.table import SPLITS;"
        "three = [next(g for g in glyphs.chosen() if g.split == split) for split in SPLITS];"
        "glyphs.chosen = lambda: three;"
        "print(glyphs.Glyphs(size=20, per_class=5, seed=3).build().fingerprint)"
    )
    environment = os.environ | {"METACLI_CACHE": str(few / "other")}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    here = [Glyphs(size=20, per_class=5, seed=3)._drawn().fingerprint for _ in range(2)]
    assert here == [run.stdout.strip()] * 2


def test_an_image_depends_on_its_own_number_and_the_seed_alone(few: Path) -> None:
    five = Glyphs(size=20, per_class=5, seed=3).build().images.reshape(3, 5, -1)
    two = Glyphs(size=20, per_class=2, seed=3).build().images.reshape(3, 2, -1)
    other = Glyphs(size=20, per_class=5, seed=4).build().images.reshape(3, 5, -1)
    np.testing.assert_array_equal(five[:, :2], two)
    assert (five != other).any(axis=2).all()
    assert (five[:, 0] != five[:, 1]).any(axis=1).all()


def test_a_cached_table_is_read_back_whole_and_not_drawn_again(
    few: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Glyphs(size=20, per_class=2, seed=0).build()

    def refuse(_: Glyphs) -> Table:
        raise AssertionError("drawn again")

    monkeypatch.setattr(Glyphs, "_drawn", refuse)
    found = Glyphs(size=20, per_class=2, seed=0).build()
    assert found.fingerprint == drawn.fingerprint
    assert (found.classes, found.items) == (drawn.classes, drawn.items)
    for split in SPLITS:
        np.testing.assert_array_equal(found.splits[split], drawn.splits[split])


@pytest.mark.parametrize("change", ["size", "per_class", "seed", "fonts"])
def test_whatever_changes_the_pixels_changes_the_cache_key(
    few: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    settings = {"size": 20, "per_class": 2, "seed": 0}
    Glyphs(**settings).build()
    if change == "fonts":
        monkeypatch.setattr(glyphs, "fonts_digest", lambda: "other fonts")
    else:
        settings[change] += 1
    Glyphs(**settings).build()
    assert len(list(few.glob("*.safetensors"))) == 2


def test_a_damaged_cache_file_is_rebuilt(few: Path) -> None:
    drawn = Glyphs(size=20, per_class=2, seed=0).build()
    (file,) = few.glob("*.safetensors")
    whole = file.stat().st_size
    os.truncate(file, whole // 2)
    assert Glyphs(size=20, per_class=2, seed=0).build().fingerprint == drawn.fingerprint
    assert file.stat().st_size == whole


def test_a_character_that_no_font_holds_is_named(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glyphs, "font_files", dict)
    with pytest.raises(UserError, match=r"no font with U\+"):
        Glyphs(size=20, per_class=2, seed=0).build()


def test_no_two_characters_that_look_alike_are_in_different_splits() -> None:
    upright, turned = likeness([glyph.code for glyph in chosen()])
    split = np.array([glyph.split for glyph in chosen()])
    across = split[:, None] != split
    assert across.any()
    assert turned[across].max() < ALIKE + ROUNDING
    np.fill_diagonal(upright, 0)
    assert upright.max() < SAME + ROUNDING
    assert turned.max() > 0.99  # turned ones are there, within a split


def test_a_group_and_the_variants_of_a_letter_stay_in_one_split() -> None:
    splits: dict[object, set[str]] = {}
    for glyph in chosen():
        splits.setdefault(glyph.group, set()).add(glyph.split)
        splits.setdefault(glyph_choice._stem(glyph.code), set()).add(glyph.split)
    assert all(len(found) == 1 for found in splits.values())


def test_letters_that_scripts_share_are_one_class() -> None:
    alike = [sorted(map(ord, same)) for same in ("AΑА", "OoΟοОоօ0", "BВΒ", "HНΗ", "cсϲ", "pр")]
    for codes in alike:
        assert [glyph.code for glyph in choose(codes)] == codes[:1]
        assert sum(glyph.code in codes for glyph in chosen()) <= 1


def test_turned_and_named_variants_share_a_group_and_other_letters_do_not() -> None:
    groups = {chr(glyph.code): glyph.group for glyph in choose(sorted(map(ord, "KkқEƎ←→☎☏")))}
    assert groups["K"] == groups["k"] == groups["қ"]
    assert groups["E"] == groups["Ǝ"]
    assert groups["←"] == groups["→"]
    assert groups["☎"] == groups["☏"]
    assert len(set(groups.values())) == 4


def test_the_task_is_neither_trivial_nor_hopeless_for_raw_pixels(table: Table) -> None:
    random = np.random.default_rng(0)
    images = table.images.reshape(len(table.classes), 4, -1).astype(np.float32) / 255
    right = []
    for _ in range(600):
        picked = images[random.choice(table.splits["test"], 5, replace=False)]
        distance = ((picked[:, 1:, None] - picked[:, 0]) ** 2).sum(axis=-1)  # [5, 3, 5] to one shot a class
        right.append((distance.argmin(axis=2) == np.arange(5)[:, None]).mean())
    assert 0.40 < np.mean(right) < 0.65
