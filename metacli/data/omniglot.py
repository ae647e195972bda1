"""Omniglot (Lake et al., 2015): 1623 handwritten characters of 50 alphabets, 20 drawings of each.

metacli train dataset=omniglot dataset.root=data/ dataset.download=true
"""

import contextlib
import functools
import glob
import os
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal
from zipfile import ZipFile

import numpy as np

from metacli.data.decode import DECODER, decode, decode_files
from metacli.data.table import SPLITS, Description, Table, cached, split_classes
from metacli.errors import UserError
from metacli.files import digest, stamp

_VERSION = f"omniglot 1, decoder {DECODER}"
_PARTS = ("images_background", "images_evaluation")
_PLACES = ("", "omniglot-py", "omniglot/omniglot-py")


class Omniglot:
    """Images [size, size, 1] with ink = 255; a character is a class, named "Gurmukhi/character42/rot000".

    Both parts, images_background and images_evaluation, are read as zips or folders under `root`,
    `root`/omniglot-py or `root`/omniglot/omniglot-py. `split`: "vinyals" is the fixed one of Vinyals et al.
    (2016) with 1028 / 172 / 423 characters, "random" draws `split_sizes` characters by `split_seed`.

    `rotations`: with "classes" each quarter turn of a character is one more class of the same split (Vinyals et
    al.); with "episode" an episode has a character at most once, in a rotation drawn for it (Finn et al. 2017).
    """

    def __init__(
        self,
        *,
        root: str,
        split: Literal["vinyals", "random"],
        rotations: Literal["classes", "episode", "none"],
        size: int,
        download: bool,
        split_sizes: Sequence[float],
        split_seed: int,
        on_error: Literal["raise", "skip"],
    ) -> None:
        self.root = root
        self.split = split
        self.rotations = rotations
        self.size = size
        self.download = download
        self.split_sizes = split_sizes
        self.split_seed = split_seed
        self.on_error = on_error

    def describe(self) -> Description:
        """Counts from the file names alone; before a download, those of the published data.

        Where an episode has one rotation of a character at most, a class is a character.
        Raises UserError where the data are absent or incomplete, or the split does not fit them.
        """
        folder = self._folder()
        if folder is None:
            counts = {character: 20 for split in SPLITS for character in vinyals_split()[split]}
        else:
            counts = Counter(_character(name) for name in _drawings(folder)[0])
        characters = sorted(counts)
        splits = {
            split: {
                _turned(characters[index], turn): counts[characters[index]]
                for index in ids
                for turn in range(self._turns // self._variants)
            }
            for split, ids in self._splits(characters).items()
        }
        return Description(shape=(1, self.size, self.size), splits=splits)

    def build(self) -> Table:
        """The drawings, downloaded first where that is asked for and they are absent.

        Raises UserError as `describe` does, where the download fails, and at an unreadable drawing unless
        `on_error` is "skip".
        """
        folder = self._folder() or self._downloaded()
        names, content = _drawings(folder)
        splits = self._splits(sorted({_character(name) for name in names}))
        key = digest("\n".join((_VERSION, str(self.size), self.on_error, content)).encode())
        upright = cached("omniglot", key, lambda: self._decoded(folder, names))
        # Rotations and splits come after the cache: one file of 25 MB serves every setting of both.
        return replace(_rotated(replace(upright, splits=splits), self._turns), variants=self._variants)

    def read(self, files: Sequence[str]) -> np.ndarray:
        """Other drawings, black on white, as [N, size, size, 1] with ink = 255. Raises UserError as `build` does."""
        return 255 - decode_files(files, size=self.size, mode="gray")

    @property
    def _turns(self) -> int:
        return 1 if self.rotations == "none" else 4

    @property
    def _variants(self) -> int:
        """Turns of which an episode has at most one."""
        return self._turns if self.rotations == "episode" else 1

    def _folder(self) -> Path | None:
        """Where both parts lie, or None where they are to be downloaded."""
        for place in _PLACES:
            folder = Path(self.root, place).expanduser()
            if all((folder / f"{part}.zip").is_file() or (folder / part).is_dir() for part in _PARTS):
                return folder
        if self.download:
            return None
        raise UserError(
            f"dataset.root={self.root}: images_background and images_evaluation are not both there",
            "give the folder that holds the two (zips or folders), or download them: dataset.download=true",
        )

    def _downloaded(self) -> Path:
        from torchvision.datasets import Omniglot as Published  # brings torch, so only here

        root = Path(self.root).expanduser()
        try:
            for background in (True, False):
                Published(str(root), background=background, download=True)
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"dataset.download=true: Omniglot cannot be downloaded to {root}: {error}",
                "check the network and the folder, or put images_background.zip and images_evaluation.zip of"
                " github.com/brendenlake/omniglot there yourself",
            ) from error
        return root / "omniglot-py"

    def _splits(self, characters: Sequence[str]) -> dict[str, np.ndarray]:
        if self.split == "random":
            return split_classes(characters, self.split_sizes, self.split_seed)
        ids = {character: index for index, character in enumerate(characters)}
        wanted = vinyals_split()
        missing = [character for split in SPLITS for character in wanted[split] if character not in ids]
        if missing:
            raise UserError(
                f"dataset.root={self.root}: {len(missing)} characters of dataset.split=vinyals are missing,"
                f" {missing[0]} first",
                "complete the data, or set dataset.split=random with dataset.split_sizes that fit",
            )
        return {split: np.array(sorted(ids[character] for character in wanted[split])) for split in SPLITS}

    def _decoded(self, folder: Path, names: Sequence[str]) -> Table:
        """Every character upright, no split made yet."""
        with contextlib.ExitStack() as stack:
            zips = {
                part: stack.enter_context(ZipFile(folder / f"{part}.zip"))
                for part in _PARTS
                if (folder / f"{part}.zip").is_file()
            }

            def read(name: str) -> bytes:
                part = name.partition("/")[0]
                return zips[part].read(name) if part in zips else (folder / name).read_bytes()

            images, kept, notes = decode(names, read, size=self.size, mode="gray", on_error=self.on_error)
        characters = sorted({_character(name) for name in names})
        ids = {character: index for index, character in enumerate(characters)}
        return Table(
            images=255 - images,  # published as black ink on white
            labels=np.array([ids[_character(names[row])] for row in kept], np.int64),
            classes=tuple(characters),
            items=tuple(names[row].partition("/")[2].removesuffix(".png") for row in kept),
            splits={split: np.empty(0, np.int64) for split in SPLITS},
            notes=notes,
        )


@functools.cache
def vinyals_split() -> dict[str, tuple[str, ...]]:
    """The characters of each split, as "Gurmukhi/character42"; the data need not be there."""
    members: dict[str, tuple[str, ...]] = dict.fromkeys(SPLITS, ())
    for line in Path(__file__).with_name("omniglot_vinyals.txt").read_text().splitlines():
        if not line.startswith("#"):
            split, alphabet, numbers = line.split()
            first, last = map(int, numbers.split("-"))
            members[split] += tuple(f"{alphabet}/character{n:02d}" for n in range(first, last + 1))
    return members


def _rotated(upright: Table, turns: int) -> Table:
    """`turns` classes for each one: the first is upright, each next a quarter turn further (anticlockwise)."""
    return replace(
        upright,
        images=np.concatenate([np.rot90(upright.images, turn, axes=(1, 2)) for turn in range(turns)]),
        labels=np.concatenate([upright.labels * turns + turn for turn in range(turns)]),
        classes=tuple(_turned(name, turn) for name in upright.classes for turn in range(turns)),
        items=tuple(
            f"{_turned(character, turn)}/{drawing}"
            for turn in range(turns)
            for character, _, drawing in (item.rpartition("/") for item in upright.items)
        ),
        splits={
            split: (ids[:, None] * turns + np.arange(turns)).ravel() for split, ids in upright.splits.items()
        },
    )


def _turned(character: str, turn: int) -> str:
    return f"{character}/rot{90 * turn:03d}"


def _character(name: str) -> str:
    """ "images_background/Greek/character01/0394_01.png" → "Greek/character01"."""
    return name.partition("/")[2].rpartition("/")[0]


def _drawings(folder: Path) -> tuple[list[str], str]:
    """The names "part/alphabet/character/drawing.png", by character, and what changes with their content."""
    names, content = [], []
    for part in _PARTS:
        archive = folder / f"{part}.zip"
        if archive.is_file():
            members, directory = _members(archive)
            names += [name for name in members if name.startswith(f"{part}/") and name.endswith(".png")]
            # The zip's own directory holds a checksum of every drawing.
            content.append(f"{archive.name} {stamp(archive.stat())} {digest(directory)}")
        else:
            for name in glob.glob(f"{part}/*/*/*.png", root_dir=folder):
                names.append(name.replace(os.sep, "/"))
                content.append(f"{name} {stamp(os.stat(os.path.join(folder, name)))}")
    names.sort(key=lambda name: name.partition("/")[2])
    return names, "\n".join(sorted(content))


def _members(archive: Path) -> tuple[list[str], bytes]:
    """The names in a zip, and the raw directory they stand in; ZipFile takes several times as long for it."""
    content = archive.read_bytes()
    end = content.rfind(b"PK\5\6")
    size = struct.unpack_from("<I", content, end + 12)[0] if 0 <= end <= len(content) - 22 else 0
    directory = content[end - size : end]
    names, at = [], 0
    while directory[at : at + 4] == b"PK\1\2":
        name, extra, comment = struct.unpack_from("<3H", directory, at + 28)
        names.append(directory[at + 46 : at + 46 + name].decode())
        at += 46 + name + extra + comment
    if not names or at != size:
        raise UserError(f"{archive} is not a complete zip file", "delete it and fetch it again")
    return names, directory
