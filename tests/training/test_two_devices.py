"""The programs of examples/ on two devices, as their users run them."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinyconv.training.checkpoint import read

EXAMPLES = Path(__file__).parents[2] / "examples"


def _run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(EXAMPLES / program), *map(str, arguments)], capture_output=True,
                          text=True, timeout=300)


def test_ones_own_network(tmp_path: Path) -> None:
    """It learns, two devices give the loss of one, and the picture shows both lanes."""
    losses = {}
    for devices in (["cpu:0", "cpu:1"], ["cpu"]):
        done = _run("two_devices.py", "--steps", 40, "--devices", *devices, "--timeline", tmp_path / "step.png")
        assert done.returncode == 0, done.stderr
        losses[len(devices)] = [float(x) for x in re.findall(r"step \d+: loss ([\d.]+)", done.stdout)]
        assert ("cpu:1 -> cpu:0 in a training step: 4,816,896 bytes forward" in done.stdout) == (len(devices) == 2)
    assert losses[1] == losses[2] and losses[1][-1] < 1.2 < np.log(10)
    with Image.open(tmp_path / "step.png") as picture:
        assert picture.width >= 1000 and len(picture.convert("RGB").getcolors(1 << 24) or []) > 50


def test_it_is_sixty_lines() -> None:
    lines = (EXAMPLES / "two_devices.py").read_text().splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 60


def test_alexnet_goes_on_on_other_devices(tmp_path: Path) -> None:
    """Two epochs on one device; or one on two devices, and one on one: the same weights, from the same command."""
    quick = ["--limit-batches", 2, "--batch", 8, "--crop", 63, "--resize", 66, "--seed", 5]
    for out, device, epochs in (("one", "cpu", 2), ("both", "cpu:0,cpu:1", 1), ("both", "cpu", 2)):
        done = _run("alexnet_imagenet.py", *quick, "--schedule", "constant", "--device", device, "--epochs", epochs,
                    "--out", tmp_path / out, *(["--resume"] if (tmp_path / out).exists() else []))
        assert done.returncode == 0, done.stderr
        if device == "cpu:0,cpu:1":
            assert "cpu:0 -> cpu:1 in a training step" in done.stdout
    one, both = (read(tmp_path / out / "checkpoint.h5") for out in ("one", "both"))
    for part in ("model", "optimizer"):
        ours, right = ({**state[part], **state[part].get("velocity", {})} for state in (both, one))
        assert ours.keys() == right.keys()
        for name, value in right.items():
            if not isinstance(value, dict):
                np.testing.assert_array_equal(ours[name], value, err_msg=name)


@pytest.mark.parametrize("device, message", [
    ("cpu:0,cpu:7", "there is no device 'cpu:7' here, only cpu:0, cpu:1;"), ("cpu:1,gpu", "no device 'gpu'"),
    ("cpu:0,cpu:1,cpu:0", "has 2 towers, but devices names 3")])
def test_bad_devices_are_one_clear_line(tmp_path: Path, device: str, message: str) -> None:
    done = _run("alexnet_imagenet.py", "--device", device, "--out", tmp_path / "run", "--crop", 63)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and message in done.stderr
