import io
import os
import subprocess
import sys
import types
import zipfile
from collections import Counter
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image

import metacli.data.omniglot as module
from metacli.data.omniglot import Omniglot, vinyals_split
from metacli.errors import UserError

CHARACTERS = {
    "images_background": ["Greek/character01", "Greek/character02", "N_Ko/character01"],
    "images_evaluation": ["Angelic/character01", "Tengwar/character01", "Tengwar/character02"],
}
DRAWINGS = 3


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("METACLI_CACHE", str(tmp_path / "cache"))


def drawing(seed: int) -> Image.Image:
    """Black on white, 1 bit as published: a thick bar at the top, and a block somewhere below."""
    pixels = np.ones((105, 105), bool)
    pixels[5:15, 20:90] = False
    left = 10 + 7 * (seed % 10)
    pixels[40:60, left : left + 20] = False
    return Image.fromarray(pixels)


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    drawing(seed).save(buffer, "PNG")
    return buffer.getvalue()


def members(part: str) -> dict[str, bytes]:
    return {
        f"{part}/{character}/{index:04d}_{n:02d}.png": png(sum(map(ord, character)) + n)
        for index, character in enumerate(CHARACTERS[part])
        for n in range(1, DRAWINGS + 1)
    }


def write_zips(folder: Path, change: dict[str, bytes] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part in CHARACTERS:
        with zipfile.ZipFile(folder / f"{part}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{part}/", b"")
            for name, content in members(part).items():
                archive.writestr(name, (change or {}).get(name, content))


def write_folders(folder: Path) -> None:
    for part in CHARACTERS:
        for name, content in members(part).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)


def omniglot(root: Path, **changes) -> Omniglot:
    settings = {
        "root": str(root),
        "split": "random",
        "rotations": "none",
        "size": 28,
        "download": False,
        "split_sizes": [3, 1, 2],
        "split_seed": 0,
        "on_error": "raise",
    }
    return Omniglot(**(settings | changes))


@pytest.mark.parametrize("place", ["", "omniglot-py", "omniglot/omniglot-py"])
@pytest.mark.parametrize("write", [write_zips, write_folders])
def test_zips_and_folders_are_found_in_each_usual_place(tmp_path, place, write):
    write(tmp_path / "data" / place)
    table = omniglot(tmp_path / "data").build()
    assert table.images.shape == (6 * DRAWINGS, 28, 28, 1)
    assert table.classes[0] == "Angelic/character01/rot000"
    assert table.items[0] == "Angelic/character01/rot000/0000_01"


def test_zips_and_folders_hold_the_same_table(tmp_path):
    write_zips(tmp_path / "zips")
    write_folders(tmp_path / "folders")
    zips, folders = (omniglot(tmp_path / name, rotations="classes").build() for name in ("zips", "folders"))
    assert zips.fingerprint == folders.fingerprint
    assert zips.items == folders.items


def test_ink_is_255_and_drawings_stand_upright_as_pillow_shows_them(tmp_path):
    write_zips(tmp_path)
    table = omniglot(tmp_path).build()
    gray = drawing(sum(map(ord, "Angelic/character01")) + 1).convert("L")
    expected = 255 - np.asarray(gray.resize((28, 28), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(table.images[0, :, :, 0], expected)
    assert table.images.max() == 255
    assert table.images.mean() < 64
    assert table.images[:, :7].sum() > 5 * table.images[:, -7:].sum()


def test_other_drawings_are_read_as_its_own_are(tmp_path):
    write_folders(tmp_path)
    data = omniglot(tmp_path)
    files = sorted(map(str, tmp_path.glob("images_*/*/*/*.png")), key=lambda file: file.split("/")[-3:])
    np.testing.assert_array_equal(data.read(files), data.build().images)


def test_each_quarter_turn_is_a_class_beside_the_upright_one(tmp_path):
    write_zips(tmp_path)
    upright, turned = (omniglot(tmp_path, rotations=how).build() for how in ("none", "classes"))
    assert turned.classes[:5] == (
        "Angelic/character01/rot000",
        "Angelic/character01/rot090",
        "Angelic/character01/rot180",
        "Angelic/character01/rot270",
        "Greek/character01/rot000",
    )
    assert Counter(turned.labels.tolist()) == dict.fromkeys(range(24), DRAWINGS)
    images = dict(zip(turned.items, turned.images[..., 0], strict=True))
    for item, image in zip(upright.items, upright.images[..., 0], strict=True):
        for angle in (0, 90, 180, 270):
            expected = np.asarray(Image.fromarray(image).rotate(angle))
            np.testing.assert_array_equal(images[item.replace("rot000", f"rot{angle:03d}")], expected)
    for item, label in zip(turned.items, turned.labels, strict=True):
        assert item.rpartition("/")[0] == turned.classes[label]


def test_all_turns_of_a_character_share_a_split(tmp_path):
    write_zips(tmp_path)
    upright, turned = (omniglot(tmp_path, rotations=how).build() for how in ("none", "classes"))
    for split, ids in upright.splits.items():
        expected = [
            f"{upright.classes[i][:-3]}{angle}" for i in ids for angle in ("000", "090", "180", "270")
        ]
        assert [turned.classes[i] for i in turned.splits[split]] == expected


@pytest.mark.parametrize("rotations", ["none", "classes"])
@pytest.mark.parametrize("write", [write_zips, write_folders])
def test_describe_counts_what_build_delivers(tmp_path, write, rotations):
    write(tmp_path)
    data = omniglot(tmp_path, rotations=rotations)
    description, table = data.describe(), data.build()
    assert description.shape == (1, 28, 28)
    rows = Counter(table.labels.tolist())
    for split, ids in table.splits.items():
        assert list(description.splits[split].items()) == [(table.classes[i], rows[i]) for i in ids]
    assert [len(ids) for ids in table.splits.values()] == [
        n * (4 if rotations == "classes" else 1) for n in (3, 1, 2)
    ]


def test_an_episode_can_have_each_character_once_in_any_rotation(tmp_path):
    write_zips(tmp_path)
    data = omniglot(tmp_path, rotations="episode")
    classes, table = omniglot(tmp_path, rotations="classes").build(), data.build()
    assert table.fingerprint == classes.fingerprint
    assert (table.variants, classes.variants) == (4, 1)
    described = data.describe().splits
    for split, ids in table.splits.items():
        names = [table.classes[i] for i in ids]
        assert list(described[split]) == names[::4]
        assert set(described[split].values()) == {DRAWINGS}
        for first in range(0, len(names), 4):
            assert len({name.rpartition("/")[0] for name in names[first : first + 4]}) == 1


def test_the_random_split_depends_on_its_seed_alone(tmp_path):
    write_zips(tmp_path)
    first, again, other = (omniglot(tmp_path, split_seed=seed).describe().splits for seed in (0, 0, 3))
    assert first == again
    assert first != other


def test_split_sizes_that_exceed_the_characters_are_refused(tmp_path):
    write_zips(tmp_path)
    with pytest.raises(UserError, match=r"split_sizes=\[1100, 100, 423\]"):
        omniglot(tmp_path, split_sizes=[1100, 100, 423]).describe()


def test_the_published_split_names_1028_172_and_423_characters():
    members = vinyals_split()
    assert [len(members[split]) for split in ("train", "val", "test")] == [1028, 172, 423]
    assert len(set().union(*members.values())) == 1623
    assert "Gurmukhi/character41" in members["train"]
    assert "Gurmukhi/character42" in members["test"]


def test_a_character_missing_from_the_published_split_is_named(tmp_path):
    write_zips(tmp_path)
    for read in (omniglot(tmp_path, split="vinyals").describe, omniglot(tmp_path, split="vinyals").build):
        with pytest.raises(UserError, match=r"1617 characters .* missing, Alphabet_of_the_Magi/character01"):
            read()


def test_absent_data_name_the_root_and_the_download(tmp_path):
    for read in (omniglot(tmp_path).describe, omniglot(tmp_path).build):
        with pytest.raises(UserError) as caught:
            read()
        assert f"dataset.root={tmp_path}" in caught.value.problem
        assert "dataset.download=true" in caught.value.hint


def test_one_part_alone_is_not_enough(tmp_path):
    write_zips(tmp_path)
    (tmp_path / "images_evaluation.zip").unlink()
    with pytest.raises(UserError, match="not both there"):
        omniglot(tmp_path).describe()


def test_before_a_download_the_published_counts_are_described(tmp_path):
    description = omniglot(tmp_path, split="vinyals", rotations="classes", download=True).describe()
    assert {split: len(classes) for split, classes in description.splits.items()} == {
        "train": 4112,
        "val": 688,
        "test": 1692,
    }
    assert {count for classes in description.splits.values() for count in classes.values()} == {20}
    assert list(tmp_path.iterdir()) == []


def downloader(monkeypatch, download) -> None:
    """Stands in for torchvision, which would bring torch and the network."""
    torchvision, datasets = types.ModuleType("torchvision"), types.ModuleType("torchvision.datasets")
    datasets.Omniglot = download
    monkeypatch.setitem(sys.modules, "torchvision", torchvision)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", datasets)


def test_absent_data_are_downloaded_where_that_is_asked_for(tmp_path, monkeypatch):
    asked = []

    def download(root, background, download):
        asked.append((root, background, download))
        write_zips(Path(root) / "omniglot-py")

    downloader(monkeypatch, download)
    data = omniglot(tmp_path, download=True)
    assert len(data.build().items) == 6 * DRAWINGS
    assert asked == [(str(tmp_path), True, True), (str(tmp_path), False, True)]
    data.build()
    assert len(asked) == 2


@pytest.mark.parametrize(
    "error", [URLError("no route to host"), RuntimeError("File not found or corrupted.")]
)
def test_a_failed_download_says_why_and_what_else_to_do(tmp_path, monkeypatch, error):
    def download(root, background, download):
        raise error

    downloader(monkeypatch, download)
    with pytest.raises(UserError, match=r"dataset\.download=true") as caught:
        omniglot(tmp_path, download=True).build()
    assert str(error) in caught.value.problem
    assert "images_background.zip" in caught.value.hint


@pytest.mark.parametrize("length", [0, 10, 500, -1])
def test_a_truncated_zip_is_named(tmp_path, length):
    write_zips(tmp_path)
    path = tmp_path / "images_background.zip"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match=r"images_background\.zip is not a complete zip file"):
        omniglot(tmp_path).describe()


def test_a_zip_with_a_damaged_directory_is_named(tmp_path):
    write_zips(tmp_path)
    path = tmp_path / "images_background.zip"
    content = bytearray(path.read_bytes())
    content[content.rfind(b"PK\1\2")] = 0
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"images_background\.zip is not a complete zip file"):
        omniglot(tmp_path).describe()


def test_a_zip_with_comments_is_read(tmp_path):
    write_zips(tmp_path)
    with zipfile.ZipFile(tmp_path / "images_background.zip", "a") as archive:
        archive.infolist()[3].comment = b"the third drawing"
        archive.comment = b"rebuilt"
    assert len(omniglot(tmp_path).build().items) == 6 * DRAWINGS


def test_a_damaged_drawing_is_named_in_the_error(tmp_path):
    name = "images_background/Greek/character02/0001_02.png"
    write_zips(tmp_path, {name: png(1)[:90]})
    with pytest.raises(UserError, match=name) as caught:
        omniglot(tmp_path).build()
    assert "dataset.on_error=skip" in caught.value.hint


def test_a_damaged_drawing_is_left_out_with_a_note_where_that_is_asked_for(tmp_path):
    name = "images_background/Greek/character02/0001_02.png"
    write_zips(tmp_path, {name: png(1)[:90]})
    for _ in range(2):  # decoded, then from the cache
        table = omniglot(tmp_path, on_error="skip").build()
        assert len(table.items) == len(table.images) == len(table.labels) == 6 * DRAWINGS - 1
        assert "Greek/character02/rot000/0001_02" not in table.items
        assert table.notes == (f"1 of 18 images cannot be read and are left out: {name}",)
    with pytest.raises(UserError, match=name):
        omniglot(tmp_path).build()


def test_a_drawing_whose_checksum_is_wrong_is_damaged(tmp_path):
    write_folders(tmp_path)
    with zipfile.ZipFile(tmp_path / "images_background.zip", "w") as archive:
        for name, content in members("images_background").items():
            archive.writestr(name, content)
    path = tmp_path / "images_background.zip"
    content = bytearray(path.read_bytes())
    content[content.find(b"IDAT") + 30] ^= 255
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"cannot read the image images_background/Greek/character01/0000_01\.png"
    ):
        omniglot(tmp_path).build()


def test_a_second_build_decodes_nothing_whatever_the_split_and_the_rotations(tmp_path, monkeypatch):
    write_zips(tmp_path)
    first = omniglot(tmp_path, rotations="classes").build()
    monkeypatch.setattr(module, "decode", lambda *_, **__: pytest.fail("decoded again"))
    assert omniglot(tmp_path, rotations="classes").build().fingerprint == first.fingerprint
    omniglot(tmp_path, split_seed=7).build()


def test_changed_drawings_and_another_size_are_decoded_anew(tmp_path):
    names = [f"images_evaluation/Tengwar/character0{n}/000{n}_01.png" for n in (1, 2)]
    write_zips(tmp_path)
    before = omniglot(tmp_path).build()
    about = {path: path.stat() for path in tmp_path.glob("*.zip")}
    contents = [members("images_evaluation")[name] for name in names]
    write_zips(tmp_path, dict(zip(names, reversed(contents), strict=True)))
    for path, then in about.items():  # only the checksums in the zip's own directory tell
        os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))
        assert path.stat().st_size == then.st_size
    assert omniglot(tmp_path).build().fingerprint != before.fingerprint
    assert omniglot(tmp_path, size=14).build().images.shape == (18, 14, 14, 1)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_drawing_changed_behind_its_times_back_is_decoded_anew(tmp_path, zipped):
    """As rsync, cp -p and unzip leave it: size and modification time are the old ones."""
    name = "images_evaluation/Tengwar/character01/0001_01.png"
    (write_zips if zipped else write_folders)(tmp_path)
    before = omniglot(tmp_path).build()
    path = tmp_path / ("images_evaluation.zip" if zipped else name)
    then, content = path.stat(), bytearray(path.read_bytes())
    if zipped:
        write_zips(tmp_path, {name: members("images_evaluation")[name.replace("_01.png", "_02.png")]})
    else:
        content[-20] ^= 1  # in the last chunk's checksum, or before: unreadable, which is to be noticed
        path.write_bytes(content)
    os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))
    if zipped:
        assert omniglot(tmp_path).build().fingerprint != before.fingerprint
    else:
        with pytest.raises(UserError, match="cannot read the image"):
            omniglot(tmp_path).build()


def test_neither_module_brings_torch():
    program = "import sys, metacli.data.omniglot, metacli.data.imagefolder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.fixture(scope="module")
def published() -> Path:
    folder = Path(os.environ.get("METACLI_DATA", ""), "omniglot")
    if not os.environ.get("METACLI_DATA") or not (folder / "omniglot-py").is_dir():
        pytest.skip("METACLI_DATA with omniglot/omniglot-py is not set")
    return folder


def test_the_published_drawings_fill_the_published_split(published):
    data = omniglot(published.parent, split="vinyals", rotations="classes")
    description, table = data.describe(), data.build()
    assert table.images.shape == (4 * 32460, 28, 28, 1)
    assert [len(table.splits[split]) for split in ("train", "val", "test")] == [4112, 688, 1692]
    assert set(Counter(table.labels.tolist()).values()) == {20}
    for split, ids in table.splits.items():
        assert description.splits[split] == {table.classes[i]: 20 for i in ids}
    assert 10 < table.images.mean() < 40
    row = table.items.index("Greek/character01/rot000/0394_01")
    with zipfile.ZipFile(published / "omniglot-py" / "images_background.zip") as archive:
        content = archive.read("images_background/Greek/character01/0394_01.png")
    gray = Image.open(io.BytesIO(content)).convert("L").resize((28, 28), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(table.images[row, :, :, 0], 255 - np.asarray(gray))


def test_the_committed_split_is_the_published_one(published):
    for split, characters in vinyals_split().items():
        lines = (published / "splits_vinyals" / f"{split}.txt").read_text().split()
        assert sorted({line.rpartition("/")[0] for line in lines}) == sorted(characters)
