"""Handcrafted features beside AlexNet: they see angles, the classifier is at its optimum, the protocol is fair."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("skimage", reason="scikit-image is not installed")
pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from benchmarks import features, handcrafted  # noqa: E402 (only where there is something to test)
from tinyconv.data.opening import EMBEDDED  # noqa: E402
from tinyconv.data.synthetic import SyntheticSplit  # noqa: E402
from tinyconv.training.evaluation import log_softmax  # noqa: E402

QUICK = ["--data", str(EMBEDDED), "--classes", "3", "--per-class", "24", "--val-per-class", "5", "--epochs", "1",
         "--crop", "63", "--resize", "66", "--pixels", "32"]


def stripes(angle, size=32):
    """Grey waves whose gradient has this angle to the rows, in degrees."""
    y, x = np.mgrid[:size, :size]
    turn = np.deg2rad(angle)
    wave = 127 + 100 * np.sin(0.7 * (x * np.cos(turn) + y * np.sin(turn)))
    return np.repeat(wave[..., None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("angle, place, mirrored", [(10, 0, 8), (50, 2, 6), (70, 3, 5), (130, 6, 2)])
def test_a_histogram_peaks_at_the_angle_of_the_gradient(angle, place, mirrored):
    """Nine bins of 20 degrees each over half a turn; a mirror image has 180 degrees less the angle."""
    for pixels, peak in ((stripes(angle), place), (stripes(angle)[:, ::-1], mirrored)):
        blocks = features.histograms(np.ascontiguousarray(pixels)).reshape(-1, 9)
        assert blocks.shape == (3 * 3 * 4, 9)
        assert blocks.sum(axis=0).argmax() == peak


def test_features_are_of_the_central_square():
    wide = np.zeros((32, 64, 3), np.uint8)
    wide[:, 16:48] = stripes(30)
    split = SyntheticSplit(1, 1, 8, 0)
    split.image = lambda index: wide
    assert np.array_equal(features.features(split, 32, "")[0], features.histograms(stripes(30)))
    with pytest.raises(ValueError, match="pixels is 15"):
        features.features(split, 15, "")


@pytest.mark.parametrize("classes", [2, 4])
def test_the_classifier_is_at_the_optimum_of_the_loss_that_it_names(classes):
    """There the gradient of the mean cross-entropy + penalty/2 |weight|^2 is 0, of the bias too."""
    rng = np.random.default_rng(classes)
    labels = np.arange(120) % classes
    x = (rng.standard_normal((120, 6)) + labels[:, None] * [1, 0, 0.5, 0, 0, 0]).astype(np.float32) * 3 + 7
    model = features.fit(x, labels, penalties=(0.05,))
    z = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float64)
    error = (np.exp(log_softmax(model.scores(x))) - np.eye(classes)[labels]) / len(labels)
    assert np.abs(z.T @ error + 0.05 * model.weight).max() < 2e-4  # where L-BFGS stops
    assert np.abs(error.sum(axis=0)).max() < 2e-4
    assert np.abs(model.weight).max() > 0.1 and model.iterations < model.most


def test_the_penalty_is_chosen_on_photos_held_out():
    """With too much of a penalty only the bias is left, which guesses the class that is seen most."""
    rng = np.random.default_rng(1)
    labels = np.arange(200) % 3 // 2
    x = rng.standard_normal((200, 10)).astype(np.float32)
    x[:, 0] += 3 * labels
    model = features.fit(x, labels, penalties=(1e6, 0.01))
    assert model.penalty == 0.01 and model.tried[0.01] > 0.85 and model.tried[1e6] == pytest.approx(2 / 3, abs=0.02)
    again = features.fit(x, labels, penalties=(1e6, 0.01))
    assert again.tried == model.tried and np.array_equal(again.weight, model.weight)
    same = features.fit(np.repeat(labels[:, None], 3, axis=1).astype(np.float32), labels, penalties=(0.1, 0.01))
    assert same.tried == {0.1: 1.0, 0.01: 1.0} and same.penalty == 0.1, "of two that do as well, the larger"


def test_a_class_of_one_photo_cannot_be_held_out():
    with pytest.raises(ValueError, match="class 1 has fewer than 2"):
        features.fit(np.zeros((4, 2), np.float32), np.array([0, 0, 0, 1]))


def test_the_first_photos_of_each_class():
    split = SyntheticSplit(20, 4, 8, 0)  # labels 0 1 2 3 0 1 ...
    some = handcrafted.first_of_each(split, 2, 3)
    assert some.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert [some.name(i) for i in range(6)] == [split.name(i) for i in (0, 1, 4, 5, 8, 9)]
    assert len(handcrafted.first_of_each(split, 4, None)) == 20


def test_the_comparison_trains_both_sides_and_takes_a_checkpoint(tmp_path, capsys):
    assert handcrafted.main([*QUICK, "--out", str(tmp_path / "a")]) == 0
    output = capsys.readouterr().out
    first = json.loads((tmp_path / "a" / "handcrafted.json").read_text())
    assert [r["name"] for r in first["results"]] == ["HOG + softmax regression", "AlexNet, 1 epoch, centre",
                                                     "AlexNet, 1 epoch, ten crops"]
    assert {r["trained_on"] for r in first["results"]} == {72} and {r["images"] for r in first["results"]} == {15}
    assert all(line["images"] == 5 for r in first["results"] for line in r["per_class"])
    handmade = first["results"][0]
    assert handmade["top1"]["share"] > 0.6, "T-shirts, trousers and pullovers have other outlines"
    assert handmade["about"]["features"] == 324 and handmade["about"]["converged"]
    table = (tmp_path / "a" / "handcrafted.md").read_text()
    assert table in output and f"{100 * handmade['top1']['share']:.2f} (" in table and "| 33.33 " in table
    with Image.open(tmp_path / "a" / "handcrafted.png") as image:
        assert image.width > 1000 and len(image.convert("RGB").getcolors(1 << 24)) > 50

    path = str(tmp_path / "a" / "alexnet" / "checkpoint.h5")
    assert handcrafted.main([*QUICK, "--out", str(tmp_path / "b"), "--checkpoint", path]) == 0
    second = json.loads((tmp_path / "b" / "handcrafted.json").read_text())
    assert [r["confusion"] for r in second["results"]] == [r["confusion"] for r in first["results"]]
    assert not (tmp_path / "b" / "alexnet").exists()

    capsys.readouterr()
    assert handcrafted.main([*QUICK, "--classes", "2", "--out", str(tmp_path / "c"), "--checkpoint", path]) == 1
    assert "is of 3 classes, which are not the 2 of the photos" in capsys.readouterr().err


@pytest.mark.parametrize("arguments, code, message", [
    (["--classes", "1"], 1, "--classes is 1; the data has 10"), (["--classes", "11"], 1, "--classes is 11"),
    (["--per-class", "0"], 2, "at least 1, not '0'"), (["--data", "nowhere"], 1, "nowhere does not exist"),
    (["--per-class", "1"], 1, "fewer than 2 training photos")])
def test_bad_input_is_one_clear_line(tmp_path, capsys, arguments, code, message):
    try:
        found = handcrafted.main([*QUICK, "--out", str(tmp_path), *arguments])
    except SystemExit as end:
        found = end.code
    error = capsys.readouterr().err
    assert found == code and message in error.splitlines()[-1] and error.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("module, package", [("skimage", "scikit-image"), ("sklearn", "scikit-learn")])
def test_what_is_missing_is_told(monkeypatch, capsys, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    assert handcrafted.main(QUICK) == 1
    assert capsys.readouterr().err == (f"error: {package} is not installed, and the handcrafted features need it: "
                                       'pip install -e ".[dev]"\n')
