"""Files to make small sources from."""

import io
import tarfile
from collections.abc import Sequence

import numpy as np
from PIL import Image

WNIDS = ["n01440764", "n02099601", "n03445777"]  # tench, golden retriever, golf ball
WORDS = ["tench, Tinca tinca", "golden retriever", "golf ball"]
IDS = [3, 1, 2]  # ILSVRC2012_ID of each: not in the order of the wnids, as in the real kit


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def flat(value: int, size: tuple[int, int] = (12, 16)) -> np.ndarray:
    """An image whose pixels are (value, 2 value, 0): tells which image it is."""
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = value, 2 * value
    return pixels


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def tar_of(files: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, data in files.items():
            add(tar, name, data)
    return buffer.getvalue()


def devkit(truth: Sequence[object]) -> bytes:
    """A development kit of WNIDS and of an inner synset, n00001740, with children."""
    from scipy.io import savemat

    names = ["ILSVRC2012_ID", "WNID", "words", "gloss",
             "num_children", "children", "wordnet_height", "num_train_images"]
    leaves = sorted(zip(IDS, WNIDS, WORDS, strict=True))
    rows = [(i, wnid, words, words, 0, np.zeros(0), 0, 4) for i, wnid, words in leaves]
    rows.append((4, "n00001740", "entity", "that which is", 3, np.array([1, 2, 3]), 5, 0))
    meta = io.BytesIO()
    savemat(meta, {"synsets": np.array(rows, dtype=[(name, object) for name in names]).reshape(-1, 1)})
    lines = "".join(f"{value}\n" for value in truth).encode()
    root = "ILSVRC2012_devkit_t12/data"
    return tar_of({f"{root}/meta.mat": meta.getvalue(),
                   f"{root}/ILSVRC2012_validation_ground_truth.txt": lines}, "w:gz")
