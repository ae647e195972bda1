import io
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import metacli.data.imagefolder as module
from metacli.data.imagefolder import ImageFolder
from metacli.data.table import Augmentation
from metacli.errors import UserError

COLOUR = (200, 100, 50)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("METACLI_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "photos"


def put(path: Path, image: Image.Image | None = None, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or Image.new("RGB", (12, 8), COLOUR)).save(path, **options)
    return path


def plant(root: Path, *classes: str, each: int = 2) -> None:
    """`each` little images a class, no two alike."""
    for index, name in enumerate(classes):
        for n in range(each):
            put(root / name / f"{n}.png", Image.new("RGB", (8, 8), (20 * index + n, 7 * n, 90)))


def folder(root: Path | str, **changes) -> ImageFolder:
    settings = {
        "root": str(root),
        "csv": None,
        "size": 4,
        "mode": "rgb",
        "split": "seeded",
        "split_sizes": [1, 1, 1],
        "split_seed": 0,
        "min_images": 1,
        "on_error": "raise",
        "augment_flip": False,
        "augment_crop": 0,
        "augment_colour": 0.0,
    }
    return ImageFolder(**({"split_by": "class"} | settings | changes))


def only_image(root: Path, **changes) -> np.ndarray:
    """[size, size, C] of the one image in class "c", beside two classes that make a split possible."""
    plant(root, "a", "b")
    table = folder(root, **changes).build()
    (row,) = np.flatnonzero(table.labels == table.classes.index("c"))
    return table.images[row]


# Classes and items


def test_the_folder_of_an_image_is_its_class_at_any_depth(root):
    plant(root, "Fruit/Apple/Golden", "Fruit/Pear", "Milk")
    table = folder(root).build()
    assert table.classes == ("Fruit/Apple/Golden", "Fruit/Pear", "Milk")
    assert table.items[:3] == ("Fruit/Apple/Golden/0.png", "Fruit/Apple/Golden/1.png", "Fruit/Pear/0.png")
    assert table.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert table.images[:, 0, 0].tolist() == [[20 * i + n, 7 * n, 90] for i in range(3) for n in range(2)]


def test_a_top_layer_of_splits_is_merged(root):
    plant(root, "train/cat", "test/cat", "valid/dog", "Validation/dog", "dev/dog", "train/ant", "val/x/y")
    table = folder(root, split_sizes=[2, 1, 1]).build()
    assert table.classes == ("ant", "cat", "dog", "x/y")
    assert Counter(table.labels.tolist()) == {0: 2, 1: 4, 2: 6, 3: 2}
    assert "test/cat/0.png" in table.items


@pytest.mark.parametrize("split", ["seeded", "folders"])
def test_describe_counts_what_build_delivers(root, split):
    plant(root, "train/a", "train/b", "val/c", "test/d", "test/e")
    plant(root, "train/f", each=4)
    data = folder(root, split=split, mode="gray")
    description, table = data.describe(), data.build()
    assert description.shape == (1, 4, 4)
    rows = Counter(table.labels.tolist())
    for name, ids in table.splits.items():
        assert list(description.splits[name].items()) == [(table.classes[i], rows[i]) for i in ids]


def test_the_seeded_split_takes_fractions_and_depends_on_its_seed(root):
    plant(root, *"abcdefghij", each=1)
    splits = [
        folder(root, split_sizes=[0.6, 0.2, 0.2], split_seed=seed).describe().splits for seed in (0, 0, 1)
    ]
    assert [len(splits[0][name]) for name in ("train", "val", "test")] == [6, 2, 2]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]


def test_hidden_files_and_other_files_are_passed_over_and_endings_may_be_capitals(root):
    plant(root, "a", "b", "c")
    put(root / "a" / "UPPER.JPG")
    put(root / "a" / ".hidden.png")
    put(root / ".thumbnails" / "x.png")
    (root / "a" / "notes.txt").write_text("no image")
    assert Counter(folder(root).build().labels.tolist()) == {0: 3, 1: 2, 2: 2}


def test_linked_folders_are_followed_but_never_in_a_circle(root, tmp_path):
    plant(root, "a", "b")
    plant(tmp_path / "elsewhere", "c")
    (root / "c").symlink_to(tmp_path / "elsewhere" / "c")
    (root / "a" / "loop").symlink_to(root)
    assert folder(root).build().classes == ("a", "b", "c")


def test_classes_with_too_few_images_are_left_out_and_named(root):
    plant(root, "a", "b", "c", each=3)
    plant(root, "train/rare", "test/rare", each=1)
    table = folder(root, min_images=3).build()
    assert table.classes == ("a", "b", "c")
    assert table.notes == ("classes with fewer images than dataset.min_images=3 are left out: rare",)
    assert "rare" in folder(root, min_images=2, split_sizes=[2, 1, 1]).build().classes


def test_images_outside_class_folders_are_left_out_and_named(root):
    plant(root, "a", "b", "c")
    put(root / "cover.png")
    put(root / "train" / "loose.png")
    (note,) = folder(root).build().notes
    assert note == "images in no class folder are left out: cover.png, train/loose.png"


def test_a_class_that_seems_filed_in_two_places_is_pointed_out(root):
    plant(
        root, "train/x/cap", "val/x/cap", "test/cap", "train/y/red", "test/y/red", "train/z/red", "test/z/red"
    )
    (note,) = folder(root).build().notes
    assert note.endswith("cap (test) and x/cap (train, val)")


# Pixels


@pytest.mark.parametrize(
    ("ending", "mode", "options"),
    [
        ("png", "RGB", {}),
        ("png", "P", {}),
        ("png", "RGBA", {}),
        ("jpg", "RGB", {"quality": 95}),
        ("jpeg", "RGB", {"quality": 95}),
        ("bmp", "RGB", {}),
        ("gif", "P", {}),
        ("webp", "RGB", {"lossless": True}),
        ("tif", "RGB", {}),
        ("tiff", "RGB", {"compression": "tiff_lzw"}),
        ("tif", "CMYK", {}),
        ("jpg", "CMYK", {"quality": 95}),
        ("ppm", "RGB", {}),
    ],
)
def test_every_format_and_colour_mode_keeps_its_colour(root, ending, mode, options):
    image = Image.new("RGB", (12, 8), COLOUR)
    image = image.quantize(4) if mode == "P" else image.convert(mode)
    put(root / "c" / f"x.{ending}", image, **options)
    pixels = only_image(root)
    assert pixels.shape == (4, 4, 3)
    np.testing.assert_allclose(pixels.reshape(-1, 3), np.broadcast_to(COLOUR, (16, 3)), atol=4)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_becomes_white(root, mode):
    if mode == "P":
        image = Image.new("P", (8, 8), 0)
        image.putpalette([10, 20, 30])
        put(root / "c" / "x.png", image, transparency=0)
    else:
        put(root / "c" / "x.png", Image.new(mode, (8, 8)))
    assert (only_image(root) == 255).all()


def test_half_transparency_is_half_white(root):
    put(root / "c" / "x.png", Image.new("RGBA", (8, 8), (0, 0, 0, 128)))
    np.testing.assert_allclose(only_image(root, mode="gray"), 127, atol=1)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_are_scaled_not_clipped(root, ending):
    put(root / "c" / f"x.{ending}", Image.fromarray(np.full((8, 8), 257 * 90, np.uint16)))
    assert (only_image(root, mode="gray") == 90).all()


def test_pixels_without_a_fixed_range_are_refused(root):
    put(root / "c" / "x.tif", Image.fromarray(np.full((8, 8), 0.5, np.float32)))
    with pytest.raises(UserError, match="floating-point"):
        only_image(root)


def test_gray_has_one_channel(root):
    put(root / "c" / "x.png")
    pixels = only_image(root, mode="gray")
    assert pixels.shape == (4, 4, 1)
    assert pixels[0, 0, 0] == Image.new("RGB", (1, 1), COLOUR).convert("L").getpixel((0, 0))


@pytest.mark.parametrize("wide", [True, False])
def test_the_centre_square_is_cut_out(root, wide):
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = COLOUR
    put(root / "c" / "x.png", Image.fromarray(pixels if wide else pixels.transpose(1, 0, 2)))
    assert (only_image(root) == COLOUR).all()


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_shrinking_averages_fine_patterns(root, mode):
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    put(root / "c" / "x.png", Image.fromarray(board).convert(mode))
    np.testing.assert_allclose(only_image(root, size=8)[1:-1, 1:-1], 127, atol=6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(root, orientation):
    quarters = np.zeros((8, 8, 3), np.uint8)
    quarters[:4, :4], quarters[:4, 4:], quarters[4:, :4] = 250, 160, 80
    upright = Image.fromarray(quarters)
    undo = [None, None, 0, 3, 1, 5, 2, 6, 4][orientation]  # the Transpose that a camera's turn amounts to
    stored = upright if undo is None else upright.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    put(root / "c" / "x.png", stored, exif=exif)
    np.testing.assert_array_equal(only_image(root, size=8), quarters)


def test_a_large_jpeg_looks_as_if_it_had_been_decoded_whole(root):
    waves = np.sin(np.indices((901, 1203)).transpose(1, 2, 0) / 60) @ np.array([[40, 60, 20], [50, 10, 60]])
    path = put(root / "c" / "x.jpg", Image.fromarray((127 + waves).astype(np.uint8)), quality=95)
    whole = Image.open(path).crop((151, 0, 1052, 901)).resize((32, 32), Image.Resampling.LANCZOS)
    difference = only_image(root, size=32).astype(int) - np.asarray(whole)
    assert np.abs(difference).max() <= 4


def test_a_photo_that_pillow_calls_large_is_read_without_a_warning(root, monkeypatch):
    put(root / "c" / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 80)  # Pillow warns above this, and refuses twice as many
    assert (only_image(root) == COLOUR).all()
    put(root / "c" / "x.png", Image.new("RGB", (20, 20)))
    with pytest.raises(UserError, match=r"c/x\.png: Image size"):
        only_image(root)


# Unreadable images


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8))


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "gif", "webp", "tif", "ppm"])
def test_a_truncated_image_is_named_in_the_error(root, ending):
    plant(root, "a", "b", "c")
    truncate(put(root / "b" / f"bad.{ending}", noise(0)))
    with pytest.raises(UserError, match=rf"b/bad\.{ending}") as caught:
        folder(root).build()
    assert "dataset.on_error=skip" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n"])
def test_what_is_no_image_is_named_in_the_error(root, content):
    plant(root, "a", "b", "c")
    (root / "b" / "bad.jpg").write_bytes(content)
    with pytest.raises(UserError, match=r"b/bad\.jpg: it is empty, damaged at its head or none of BMP, GIF"):
        folder(root).build()


def test_a_dangling_link_is_named_in_the_error(root):
    plant(root, "a", "b", "c")
    (root / "b" / "gone.png").symlink_to(root / "nowhere.png")
    with pytest.raises(UserError, match=r"b/gone\.png"):
        folder(root).build()


def test_unreadable_images_are_skipped_where_that_is_asked_for(root):
    plant(root, "a", "b", "c")
    for n in range(5):
        truncate(put(root / "b" / f"bad{n}.png", noise(n)))
    good = folder(root, on_error="skip")
    for _ in range(2):  # decoded, then from the cache
        table = good.build()
        assert table.items == tuple(f"{name}/{n}.png" for name in "abc" for n in range(2))
        assert table.images[:, 0, 0].tolist() == [[20 * i + n, 7 * n, 90] for i in range(3) for n in range(2)]
        assert table.notes == (
            "5 of 11 images cannot be read and are left out: b/bad0.png, b/bad1.png, b/bad2.png, …",
        )
    counts = {name: count for split in good.describe().splits.values() for name, count in split.items()}
    assert counts == {"a": 2, "b": 7, "c": 2}
    with pytest.raises(UserError, match=r"bad0\.png"):
        folder(root).build()


def test_a_class_that_skipping_makes_too_small_leaves_its_split(root):
    plant(root, "a", "b", "c", "d", each=3)
    truncate(put(root / "b" / "2.png", noise(0)))
    table = folder(root, on_error="skip", min_images=3, split_sizes=[2, 1, 1]).build()
    assert 1 not in np.concatenate(list(table.splits.values()))
    assert sum(map(len, table.splits.values())) == 3
    assert table.notes[-1] == "classes with fewer images than dataset.min_images=3 are left out: b"


def test_images_of_which_none_can_be_read_are_refused(root):
    for name in "abc":
        truncate(put(root / name / "bad.png", noise(0)))
    with pytest.raises(UserError, match="none of the 3 images can be read"):
        folder(root, on_error="skip").build()


def test_a_long_list_of_names_is_cut_short(root):
    plant(root, "a", "b", "c")
    for n in range(12):
        put(root / f"loose{n:02d}.png")
    assert folder(root).build().notes[0].endswith("loose09.png and 2 more")


# Cache


def test_a_second_build_decodes_nothing_whatever_the_split(root, monkeypatch):
    plant(root, "a", "b", "c")
    first = folder(root).build()
    monkeypatch.setattr(module, "decode", lambda *_, **__: pytest.fail("decoded again"))
    again, other = folder(root).build(), folder(root, split_seed=5, split_sizes=[0.4, 0.3, 0.3]).build()
    assert again.fingerprint == other.fingerprint == first.fingerprint
    assert again.items == first.items


def test_whatever_determines_the_pixels_decodes_anew(root, tmp_path):
    plant(root, "a", "b", "c")
    first = folder(root).build()
    assert folder(root, size=5).build().images.shape == (6, 5, 5, 3)
    assert folder(root, mode="gray").build().images.shape == (6, 4, 4, 1)
    path = root / "a" / "0.png"
    before = path.stat()
    put(path, Image.new("RGB", (8, 8), (1, 0, 90)))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert folder(root).build().fingerprint != first.fingerprint
    plant(root, "d")
    assert len(folder(root).build().items) == 8


@pytest.mark.parametrize("restored", ["time", "time and size"])
def test_a_file_changed_behind_its_times_back_decodes_anew(root, restored):
    """As rsync, cp -p and unzip leave it: with the old modification time."""
    plant(root, "a", "b", "c")
    path = put(root / "a" / "0.bmp", Image.new("RGB", (8, 8), (1, 2, 3)))
    first, before = folder(root).build(), path.stat()
    put(path, Image.new("RGB", (8, 8) if restored == "time and size" else (9, 9), (9, 9, 9)))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size == before.st_size) == (restored == "time and size")
    table = folder(root).build()
    assert table.images[table.items.index("a/0.bmp")].max() == 9
    assert table.fingerprint != first.fingerprint


def test_a_file_put_in_place_of_another_decodes_anew(root):
    plant(root, "a", "b", "c")
    path = put(root / "a" / "0.bmp", Image.new("RGB", (8, 8), (1, 2, 3)))
    folder(root).build()
    other = put(root / "a" / "1.bmp", Image.new("RGB", (8, 8), (9, 9, 9)))
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    os.replace(other, path)
    table = folder(root).build()
    assert table.images[table.items.index("a/0.bmp")].max() == 9


def test_a_cache_file_with_a_flipped_bit_is_built_again(root, tmp_path):
    plant(root, "a", "b", "c")
    first = folder(root).build()
    (file,) = (tmp_path / "cache").glob("imagefolder-*.safetensors")
    content = bytearray(file.read_bytes())
    content[-7] ^= 1  # a pixel
    file.write_bytes(content)
    assert folder(root).build().fingerprint == first.fingerprint
    assert file.read_bytes() != bytes(content)


def test_the_splits_and_the_augmentation_stand_outside_the_cache(root):
    plant(root, "a", "b", "c")
    assert folder(root).build().augmentation == Augmentation()
    table = folder(root, augment_flip=True, augment_crop=1, augment_colour=0.2).build()
    assert table.augmentation == Augmentation(flip=True, crop=1, colour=0.2)


# Errors in folders


@pytest.mark.parametrize(
    ("name", "problem"),
    [("", "dataset.root is not set"), ("nowhere", "dataset.root=nowhere: no such folder")],
)
def test_a_missing_root_is_named(name, problem):
    with pytest.raises(UserError) as caught:
        folder(name).describe()
    assert caught.value.problem == problem


def test_a_root_without_images_is_refused(root):
    root.mkdir()
    with pytest.raises(UserError, match="no images in class folders"):
        folder(root).describe()
    put(root / "loose.png")
    with pytest.raises(UserError, match="no images in class folders, 1 outside"):
        folder(root).describe()


def test_min_images_above_every_class_names_the_largest(root):
    plant(root, "a", "b", "c")
    with pytest.raises(UserError, match=r"dataset\.min_images=3: the largest class has 2 images"):
        folder(root, min_images=3).describe()


def test_a_name_the_cache_cannot_list_is_refused(root):
    plant(root, "a", "b", "c\nd")
    with pytest.raises(UserError, match="line break"):
        folder(root).build()


# split=folders


def test_top_folders_can_be_the_class_split(root):
    plant(root, "train/b", "train/a", "valid/c", "test/x/d")
    table = folder(root, split="folders").build()
    named = {split: [table.classes[i] for i in ids] for split, ids in table.splits.items()}
    assert named == {"train": ["a", "b"], "val": ["c"], "test": ["x/d"]}


def test_top_folders_that_share_a_class_are_no_class_split(root):
    plant(root, "train/a", "train/b", "val/c", "test/b")
    with pytest.raises(UserError, match=r"dataset\.split=folders: class b is in both test and train"):
        folder(root, split="folders").describe()


def test_a_class_outside_the_top_folders_has_no_split(root):
    plant(root, "train/a", "val/b", "test/c", "d")
    with pytest.raises(UserError, match=r"d/0\.png is in none of train, val and test"):
        folder(root, split="folders").describe()


# split=FILE.json


def test_a_json_file_can_name_the_classes_of_each_split(root):
    plant(root, "train/a", "test/b", "c/d", "e", "unused")
    (root / "split.json").write_text(json.dumps({"train": ["e", "a"], "val": ["c/d"], "test": ["b"]}))
    for name in (str(root / "split.json"), "split.json"):  # as given, or below the root
        table = folder(root, split=name).build()
        named = {split: [table.classes[i] for i in ids] for split, ids in table.splits.items()}
        assert named == {"train": ["a", "e"], "val": ["c/d"], "test": ["b"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"train": ["aple"], "val": ["b"], "test": ["c"]},
            'unknown class aple in train\ndid you mean "apple"',
        ),
        (
            {"train": ["apple"], "val": ["b"], "test": ["c", "apple"]},
            "class apple is in train and again in test",
        ),
        (
            {"train": ["apple", "apple"], "val": ["b"], "test": ["c"]},
            "class apple is in train and again in train",
        ),
        ({"train": ["apple"], "test": ["c"]}, "it does not hold just train, val and test"),
        ({"train": "apple", "val": ["b"], "test": ["c"]}, "train is no list"),
        (["apple"], "it does not hold just train, val and test"),
    ],
)
def test_a_json_file_that_does_not_fit_the_classes_is_refused(root, content, message):
    plant(root, "apple", "b", "c")
    (root / "split.json").write_text(json.dumps(content))
    with pytest.raises(UserError) as caught:
        folder(root, split="split.json").describe()
    assert message in str(caught.value)


def test_classes_that_are_numbers_may_be_numbers_in_the_json_file(root):
    plant(root, "1", "2", "3")
    (root / "split.json").write_text(json.dumps({"train": [1], "val": ["2"], "test": [3]}))
    assert folder(root, split="split.json").describe().splits["test"] == {"3": 2}


@pytest.mark.parametrize("train", [None, 3, "ab", {"a": 1}, [["a"]], [{"n": 1}], [None], [True]])
def test_what_is_no_list_of_names_in_the_json_file_is_refused(root, train):
    plant(root, "a", "b", "c")
    (root / "split.json").write_text(json.dumps({"train": train, "val": ["b"], "test": ["c"]}))
    with pytest.raises(UserError, match=r"split\.json: train (is no list|holds .*, which is no name)"):
        folder(root, split="split.json").describe()


def test_images_that_two_classes_share_are_noted(root):
    plant(root, "a", "b", "c")
    (root / "d").symlink_to(root / "a")
    put(root / "c" / "copy.png", Image.open(root / "b" / "0.png"))
    assert folder(root).build().notes == (
        "images that another class has too: 3, the first is c/copy.png, as b/0.png",
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_no_image(root):
    plant(root, "a", "b", "c")
    os.mkfifo(root / "a" / "pipe.png")
    assert "a/pipe.png" not in folder(root).build().items


def test_a_json_file_may_name_a_class_that_is_left_out_for_its_size(root):
    plant(root, "a", "b", "c")
    plant(root, "rare", each=1)
    (root / "split.json").write_text(json.dumps({"train": ["a", "rare"], "val": ["b"], "test": ["c"]}))
    assert folder(root, split="split.json", min_images=2).describe().splits["train"] == {"a": 2}


@pytest.mark.parametrize("content", [None, "{", b"\xff\xfe"])
def test_a_split_that_is_no_json_file_names_the_three_ways(root, content):
    plant(root, "a", "b", "c")
    if content is not None:
        (root / "split.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match="cannot read it") as caught:
        folder(root, split="split.json").describe()
    assert "seeded, folders or a JSON file" in caught.value.hint


# CSV


def write_csv(root: Path, text: str) -> str:
    (root / "labels.csv").write_text(text, encoding="utf-8-sig")
    return str(root / "labels.csv")


def test_a_csv_names_path_and_class_of_every_image(root):
    plant(root, "x", "y")
    name = write_csv(
        root, 'Path, label\nx/0.png,"red, round"\nx/1.png,two\n\n./y/0.png,three\ny/1.png,three\n'
    )
    table = folder(root, csv=name).build()
    assert table.classes == ("red, round", "three", "two")
    assert table.items == ("x/0.png", "y/0.png", "y/1.png", "x/1.png")
    assert table.labels.tolist() == [0, 1, 1, 2]
    assert table.images[1, 0, 0].tolist() == [20, 0, 90]


def test_paths_start_at_the_csv_where_no_root_is_given(root):
    plant(root, "x", "y")
    name = write_csv(root, "path,label\nx/0.png,one\nx/1.png,two\ny/0.png,three\n")
    assert folder("", csv=name).build().fingerprint == folder(root, csv="labels.csv").build().fingerprint


def test_a_csv_can_give_the_class_split(root):
    plant(root, "x", each=4)
    text = "path,label,split\nx/0.png,a,train\nx/1.png,b,Valid\nx/2.png,c,test\n"
    splits = folder(root, csv=write_csv(root, text), split="folders").describe().splits
    assert splits == {"train": {"a": 1}, "val": {"b": 1}, "test": {"c": 1}}
    with pytest.raises(UserError, match="class a is in both train and test"):
        folder(root, csv=write_csv(root, f"{text}x/3.png,a,test\n"), split="folders").describe()
    with pytest.raises(UserError, match=r"x/3\.png is in none of train, val and test"):
        folder(root, csv=write_csv(root, f"{text}x/3.png,d,\n"), split="folders").describe()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\nx/0.png,a\n", "no column path"),
        ("path\nx/0.png\n", "no column label"),
        ("", "no column path and no column label"),
        ("path,label,Label\nx/0.png,a,b\n", "several columns label"),
        ("path,label\n", "no rows"),
        ("path,label\nx/0.png,a\nx/9.png,a\n", "line 3: no such file: x/9.png"),
        ("path,label\nx/0.png,a\nx/1.png,\n", "line 3: 2 cells are wanted"),
        ("path,label\nx/0.png\n", "line 2: 2 cells are wanted"),
        ("path,label\nx/0.png,red, round\n", "line 2: 2 cells are wanted"),
        ("path,label\nx/0.png,a\nx/../x/0.png,b\n", "line 3: x/0.png is on line 2 already"),
        ('path,label\nx/0.png,"a\nb"\n', "line break"),
    ],
)
def test_a_faulty_csv_is_named_with_its_line(root, text, message):
    plant(root, "x")
    with pytest.raises(UserError) as caught:
        folder(root, csv=write_csv(root, text)).describe()
    assert message in caught.value.problem


def test_a_csv_that_cannot_be_read_is_named(root):
    plant(root, "x")
    with pytest.raises(UserError, match=r"dataset\.csv=.*nowhere\.csv"):
        folder(root, csv="nowhere.csv").describe()
    (root / "labels.csv").write_bytes(b"path,label\nx/0.png,\xff\n")
    with pytest.raises(UserError, match=r"dataset\.csv=.*labels\.csv: cannot read it"):
        folder(root, csv="labels.csv").describe()


# The Grocery Store photos


@pytest.fixture(scope="module")
def grocery() -> Path:
    folder = Path(os.environ.get("METACLI_DATA", ""), "grocery84")
    if not os.environ.get("METACLI_DATA") or not folder.is_dir():
        pytest.skip("METACLI_DATA with grocery84 is not set")
    return folder


def test_the_grocery_photos_merge_into_their_classes(grocery):
    data = folder(grocery, size=84, split_sizes=[0.6, 0.2, 0.2])
    description, table = data.describe(), data.build()
    assert table.images.shape == (5421, 84, 84, 3)
    # 81 classes, but one lies in Vegetables/ in train and val and in Vegetables/Mushroom/ in test.
    assert len(table.classes) == 82
    assert "Vegetables/Brown-Cap-Mushroom (train, val)" in table.notes[0]
    rows = Counter(table.labels.tolist())
    for split, ids in table.splits.items():
        assert description.splits[split] == {table.classes[i]: rows[i] for i in ids}
    item = "train/Fruit/Apple/Golden-Delicious/Golden-Delicious_001.jpg"
    content = (grocery / item).read_bytes()
    expected = np.asarray(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(table.images[table.items.index(item)], expected)


def test_the_grocery_lists_give_81_classes_as_a_csv(grocery, tmp_path):
    lines = ["path,label"]
    for split in ("train", "val", "test"):
        for line in (grocery / f"{split}.txt").read_text().splitlines():
            path, label, _ = line.split(", ")
            lines.append(f"{path},{label}")
    (tmp_path / "grocery.csv").write_text("\n".join(lines))
    splits = folder(grocery, csv=str(tmp_path / "grocery.csv"), split_sizes=[50, 15, 16]).describe().splits
    assert sum(len(classes) for classes in splits.values()) == 81
    assert sum(sum(classes.values()) for classes in splits.values()) == 5421
