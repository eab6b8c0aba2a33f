"""The comparison of accuracies where PyTorch is installed: both sides do the same; runs go on and are not repeated."""

import json

import numpy as np
import pytest

import tinyconv as tc
from benchmarks.accuracy import __main__ as cli
from benchmarks.accuracy.recipe import Recipe
from tinyconv.data import EvalTransform, Pack
from tinyconv.training import checkpoint

from .accuracy_photos import make
from .test_accuracy import QUICK

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from benchmarks import torch_networks  # noqa: E402
from benchmarks.accuracy import theirs  # noqa: E402
from benchmarks.accuracy.pictures import Crops, Photos  # noqa: E402


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make(tmp_path_factory.mktemp("photos"))


def test_both_sides_crop_alike(photos):
    data = Pack(photos)
    split = data.split("val")
    seen = Crops(data, 63, 0.0).ten(Photos(split, 70, "photos").squares)
    ours = EvalTransform(70, 63, data.mean, data.std, ten_crop=True)
    for index in range(len(split)):
        if split.image(index).shape == (70, 70, 3):  # others are resampled: Pillow's box or torchvision's rounding
            wanted = np.empty((10, 63, 63, 3), np.float32)
            ours.apply(split.image(index), wanted, None, 0)
            got = np.stack([view[index].permute(1, 2, 0).numpy() for view in seen])
            assert np.allclose(got[[1, 2, 3, 4, 0, 6, 7, 8, 9, 5]], wanted, atol=1e-5)


def test_random_crops_are_the_papers(photos):
    """Every place and both directions come up; the noise has the covariance 0.1^2 P diag(lambda^2) P'."""
    data = Pack(photos)
    torch.manual_seed(0)
    squares = torch.zeros(4000, 66, 66, 3, dtype=torch.uint8)
    squares[:] = torch.arange(66)[:, None, None] * 2
    squares[..., 1] = torch.arange(66)
    crops = Crops(data, 63, 0.0)
    plain = crops.random(squares) * crops.std[:, None, None] + crops.mean[:, None, None]
    tops, first, last = ((plain[:, 0, 0, 0] / 2).round(), plain[:, 1, 0, 0].round(), plain[:, 1, 0, -1].round())
    mirrored = first > last
    places = set(zip(tops.tolist(), torch.minimum(first, last).tolist(), mirrored.tolist(), strict=True))
    assert places == {(t, left, m) for t in range(4) for left in range(4) for m in (True, False)}
    assert 0.45 < mirrored.float().mean() < 0.55

    crops = Crops(data, 66, 0.1)
    noise = crops.random(squares * 0)[:, :, 5, 5] * crops.std + crops.mean
    axes = 255 * 0.1 * data.eigenvectors * data.eigenvalues
    wanted = axes @ axes.T
    assert np.allclose(np.cov(noise.numpy().T), wanted, atol=0.08 * wanted.max())


@pytest.mark.parametrize("variant", ["paper", "caffe"])
def test_initial_weights_have_the_same_distribution(variant):
    tc.manual_seed(0)
    torch.manual_seed(0)
    state = tc.models.alexnet(variant, 50, input_size=67, init="he").state_dict()
    ours = torch_networks.merge_towers(state) if variant == "paper" else state
    theirs_ = theirs.initial(Recipe(variant=variant), 50).state_dict()
    assert set(ours) == set(theirs_) and len(ours) == 16
    for name, weights in ours.items():
        other = theirs_[name].numpy()
        assert weights.shape == other.shape
        assert np.isclose(weights.std(), other.std(), rtol=0.03) and abs(other.mean()) <= 0.02 * other.std() + 1e-4


def test_both_sides_run_and_evaluate_alike(photos, tmp_path, capsys):
    """tinyconv's trained weights get the same accuracies by PyTorch's evaluation; what is finished is not repeated."""
    arguments = [*QUICK, "--data", str(photos), "--out", str(tmp_path), "--lr", "0.02"]
    assert cli.main(arguments) == 0
    output = capsys.readouterr().out
    assert "run 2 of 2: PyTorch, seed 3" in output and (tmp_path / "accuracy.md").read_text() in output
    ours, other = (json.loads((tmp_path / f"{side}-seed-3" / "result.json").read_text())
                   for side in ("tinyconv", "pytorch"))
    assert ours["images"] == other["images"] == 18
    assert [line["epoch"] for line in ours["epochs"]] == [line["epoch"] for line in other["epochs"]] == [1]
    assert other["centre"]["top1"] == other["epochs"][-1]["val_top1"]
    assert ours["centre"]["top1"] == ours["epochs"][-1]["val_top1"]

    data = Pack(photos)
    weights = checkpoint.read(tmp_path / "tinyconv-seed-3" / "checkpoint.h5")["model"]
    network = torch_networks.build("paper", weights, 63)
    crops = Crops(data, 63, 0.0)
    found = theirs.evaluate(network, Photos(data.split("val"), 70, "photos"), crops, ten=True)
    # The sides resample photos that are not 70 pixels high a little differently.
    assert all(abs(found[crops][top] - ours[crops][top]) < 1.5 / 18
               for crops in ("centre", "ten") for top in ("top1", "top5"))

    assert cli.main(arguments) == 0
    assert "run 1" not in capsys.readouterr().out
    assert cli.main([*arguments, "--epochs", "2"]) == 1
    assert "with epochs 1, not 2; choose another folder" in capsys.readouterr().err
    assert (tmp_path / "accuracy.png").read_bytes().startswith(b"\x89PNG")


def test_pytorchs_side_goes_on_after_the_last_epoch(photos, tmp_path, monkeypatch, capsys):
    """Stopped before its second epoch, it ends with the weights of a run that was not."""
    recipe = Recipe(variant="torchvision", resize=70, crop=63, epochs=2, batch=8, color_noise=0.0)
    run, data = cli.Run("PyTorch", 1), Pack(photos)
    whole = theirs.train(run, recipe, data, tmp_path / "whole")
    real, calls = theirs.epoch, []

    def stops(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(theirs, "epoch", stops)
    with pytest.raises(KeyboardInterrupt):
        theirs.train(run, recipe, data, tmp_path / "parts")
    monkeypatch.undo()
    parts = theirs.train(run, recipe, data, tmp_path / "parts")
    assert "going on after 1 epochs" in capsys.readouterr().out
    assert [e["train_loss"] for e in parts["epochs"]] == [e["train_loss"] for e in whole["epochs"]]
    first, second = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["network"]
                     for name in ("whole", "parts"))
    assert all(torch.equal(first[name], second[name]) for name in first)
