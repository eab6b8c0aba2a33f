"""Small sources made on the spot, and the miniature of ImageNet where there is one."""

from collections.abc import Callable
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
    """Builds the three official files: 4 training images a class, flat(10 (label + 1) + i), and some for validation."""
    def make(truth: list[object] | None = None, val: int | None = None, extra: dict[str, bytes] | None = None) -> Path:
        folder = tmp_path / "imagenet"
        folder.mkdir()
        truth = [IDS[2], IDS[0], IDS[1], IDS[0]] if truth is None else truth
        classes = {f"{wnid}.tar": tar_of({f"{wnid}_{i}.JPEG": jpeg(flat(10 * (label + 1) + i)) for i in range(4)}
                                         | ((extra or {}) if label == 0 else {}))
                   for label, wnid in enumerate(WNIDS)}
        # The real validation tar is in no particular order either.
        photos = {f"ILSVRC2012_val_{i:08d}.JPEG": jpeg(flat(100 + i)) for i in range(val or len(truth), 0, -1)}
        (folder / "ILSVRC2012_img_train.tar").write_bytes(tar_of(classes))
        (folder / "ILSVRC2012_img_val.tar").write_bytes(tar_of(photos))
        (folder / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(devkit(truth))
        return folder
    return make
