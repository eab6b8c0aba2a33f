"""What the README promises of whole training runs.  Minutes each: ``make test-slow``."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "alexnet_imagenet.py"
MINIATURE = Path(__file__).parents[3] / "shared" / "data" / "ilsvrc-tiny"


def _top1(*arguments: object) -> float:
    """Percent, as the last line of the example tells it."""
    done = subprocess.run([sys.executable, str(EXAMPLE), *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = re.search(r"top-1 ([\d.]+) %", done.stdout.splitlines()[-1])
    assert found
    return float(found[1])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_embedded_images_are_learnt(tmp_path: Path, seed: int) -> None:
    assert _top1("--out", tmp_path, "--seed", seed) >= 86


@pytest.mark.slow
@pytest.mark.skipif(not MINIATURE.is_dir(), reason="no ILSVRC2012 miniature on this machine")
def test_photos_of_fifty_classes_are_learnt(tmp_path: Path) -> None:
    """Three epochs of the fifteen that reach 44 %; chance is 2 %."""
    assert _top1("--data", MINIATURE, "--out", tmp_path, "--epochs", 3, "--resize", 76, "--crop", 67, "--batch", 64,
                 "--clip-norm", 5) >= 20
