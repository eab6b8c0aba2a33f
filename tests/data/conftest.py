"""Small sources made on the spot, and the miniature of ImageNet where there is one."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tinyconv.data.dataset import Pack
from tinyconv.data.opening import EMBEDDED

from .samples import IDS, WNIDS, devkit, flat, jpeg, png, tar_of


@pytest.fixture(scope="session")
def embedded() -> Pack:
    return Pack(EMBEDDED)


@pytest.fixture(scope="session")
def ilsvrc_tiny() -> Path:
    folder = Path(__file__).parents[3] / "shared" / "data" / "ilsvrc-tiny"
    if not folder.is_dir():
        pytest.skip("no ILSVRC2012 miniature on this machine")
    return folder


@pytest.fixture
def class_folder(tmp_path: Path) -> Path:
    """Classes ant (11 images) and bee (2), flat(1), flat(2) ... in both."""
    folder = tmp_path / "insects"
    for name, count in {"ant": 11, "bee": 2}.items():
        (folder / name).mkdir(parents=True)
        for i in range(1, count + 1):
            (folder / name / f"{i:02d}.png").write_bytes(png(flat(i)))
    return folder


@pytest.fixture
def make_ilsvrc(tmp_path: Path) -> Callable[..., Path]:
    """Builds the three official files: four training images a class, and some for validation.

    Training image i of class k is flat(10 (k + 1) + i), validation image i is flat(100 + i).
    """
    def train(label: int, extra: dict[str, bytes]) -> bytes:
        photos = {f"{WNIDS[label]}_{i}.JPEG": jpeg(flat(10 * (label + 1) + i)) for i in range(4)}
        return tar_of(photos | (extra if label == 0 else {}))

    def make(truth: Sequence[object] = (IDS[2], IDS[0], IDS[1], IDS[0]), val: int | None = None,
             extra: dict[str, bytes] | None = None) -> Path:
        folder = tmp_path / "imagenet"
        folder.mkdir()
        classes = {f"{wnid}.tar": train(label, extra or {}) for label, wnid in enumerate(WNIDS)}
        numbers = range(val or len(truth), 0, -1)
        photos = {f"ILSVRC2012_val_{i:08d}.JPEG": jpeg(flat(100 + i)) for i in numbers}
        (folder / "ILSVRC2012_img_train.tar").write_bytes(tar_of(classes))
        (folder / "ILSVRC2012_img_val.tar").write_bytes(tar_of(photos))
        (folder / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(devkit(truth))
        return folder
    return make
