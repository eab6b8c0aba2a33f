"""The comparison of accuracies where PyTorch is installed: both sides do the same; runs go on and are not repeated."""

import json

import numpy as np
import pytest
from PIL import Image

import tinyconv as tc
import tinyconv.functional as F
from benchmarks.accuracy import __main__ as cli
from benchmarks.accuracy.recipe import MOST_EPOCHS, MOST_SEED, Recipe
from tinyconv.data import EvalTransform, Pack
from tinyconv.data.resize import central_square
from tinyconv.optim import clip_grad_norm_, cosine_schedule

from .accuracy_photos import make
from .test_accuracy import QUICK

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from benchmarks import torch_networks  # noqa: E402
from benchmarks.accuracy import theirs  # noqa: E402
from benchmarks.accuracy.pictures import Crops, Photos, square  # noqa: E402


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make(tmp_path_factory.mktemp("photos"))


def test_both_sides_crop_alike(photos):
    """Ten crops of photos whose short side has the right length; others are resampled alike, to the bit."""
    data = Pack(photos)
    split = data.split("val")
    seen = Crops(data, 63, 0.0).ten(Photos(split, 70, "photos").squares)
    ours = EvalTransform(70, 63, data.mean, data.std, ten_crop=True)
    compared = 0
    for index in range(len(split)):
        if min(split.image(index).shape[:2]) == 70:
            wanted = np.empty((10, 63, 63, 3), np.float32)
            ours.apply(np.asarray(central_square(Image.fromarray(split.image(index)), 70)), wanted, None, 0)
            got = np.stack([view[index].permute(1, 2, 0).numpy() for view in seen])
            assert np.allclose(got[[1, 2, 3, 4, 0, 6, 7, 8, 9, 5]], wanted, atol=1e-5)
            compared += 1
    assert compared == 9
    for side in (64, 90):
        photo = Image.fromarray(np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8))
        assert np.array_equal(square(photo, 76), central_square(photo, 76))


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
        assert np.isclose(weights.std(), other.std(), rtol=0.03)
        assert all(abs(w.mean()) <= 0.02 * w.std() + 1e-6 for w in (weights, other))


def test_an_epoch_is_the_same_on_both_sides(monkeypatch):
    """The same weights and batches, the last of which is smaller; no dropout.  Weight decay, momentum and clipping all
    have their part.  The rate hardly changes, since PyTorch's momentum answers to that in another way."""
    recipe = Recipe(crop=63, batch=8, epochs=900, lr=0.002, weight_decay=0.2, clip_norm=20.0, color_noise=0.0)
    random = np.random.default_rng(0)
    x, labels = random.standard_normal((20, 3, 63, 63)).astype(np.float32), random.integers(0, 6, 20)
    tc.manual_seed(0)
    model = tc.models.alexnet("paper", 6, input_size=63, init="he")
    network = torch_networks.build("paper", {name: w.copy() for name, w in model.state_dict().items()}, 63)
    for layer in [*(m for _, m in model.named_modules()), *network.modules()]:
        if isinstance(layer, (tc.nn.Dropout, torch.nn.Dropout)):
            layer.p = 0.0

    photos = Photos.__new__(Photos)
    photos.squares, photos.labels = torch.arange(20), torch.tensor(labels)
    crops = Crops.__new__(Crops)
    monkeypatch.setattr(Crops, "random", lambda self, numbers: torch.tensor(x[numbers]))
    other = torch.optim.SGD(network.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay)
    optimizer = tc.optim.SGD(model.parameters(), recipe.lr, recipe.momentum, recipe.weight_decay)
    schedule = cosine_schedule(optimizer, recipe.epochs)
    model.train()
    norms = []
    for epoch in range(2):
        torch.manual_seed(epoch)
        order = torch.randperm(20).numpy()
        torch.manual_seed(epoch)
        found = theirs.epoch(network, other, photos, crops, recipe, epoch)
        total = 0.0
        for number, batch in enumerate((order[:8], order[8:16], order[16:])):
            schedule.batch(epoch, number / 3)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(tc.tensor(x[batch])), labels[batch])
            loss.backward()
            norms.append(clip_grad_norm_(optimizer.parameters, recipe.clip_norm))
            optimizer.step()
            total += loss.item() * len(batch)
        assert found == pytest.approx(total / 20, rel=1e-3)
    assert max(norms) > recipe.clip_norm > min(norms), "clipping must have had a part, and not the whole"
    ours, their_weights = torch_networks.merge_towers(model.state_dict()), network.state_dict()
    for name, weights in ours.items():
        assert np.allclose(weights, their_weights[name].numpy(), atol=5e-4 * np.abs(weights).max()), name


def test_evaluation_counts(photos):
    """A network of one matrix, so that photos get different classes; counted once more by hand."""
    data = Pack(photos)
    asked = Photos(data.split("val"), 70, "photos")
    matrix = 0.3 * np.random.default_rng(1).standard_normal((27, 6)).astype(np.float32)

    class Network(torch.nn.Module):
        def forward(self, x):
            return x[:, :, ::31, ::31].flatten(1) @ torch.tensor(matrix)

    found = theirs.evaluate(Network(), asked, Crops(data, 63, 0.0), ten=True)
    rows = np.empty((18, 10, 63, 63, 3), np.float32)
    for index, pixels in enumerate(asked.squares.numpy()):
        EvalTransform(70, 63, data.mean, data.std, ten_crop=True).apply(pixels, rows[index], None, 0)
    logits = rows[:, :, ::31, ::31].transpose(0, 1, 4, 2, 3).reshape(18, 10, 27) @ matrix
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    for crops, scores in (("centre", probabilities[:, 4]), ("ten", probabilities.mean(axis=1))):
        first = np.argsort(-scores, axis=1)
        assert len(set(first[:, 0].tolist())) > 2
        assert found[crops]["top1"] == pytest.approx((first[:, 0] == asked.labels.numpy()).mean())
        assert found[crops]["top5"] == pytest.approx((first[:, :5] == asked.labels.numpy()[:, None]).any(axis=1).mean())


def test_seeds_and_epochs_have_random_numbers_of_their_own():
    """PyTorch's generator looks at 32 bits only."""
    seen = set()
    for seed in (0, 1, MOST_SEED):
        for number in (0, 1, MOST_EPOCHS - 1):
            theirs._reseed(cli.Run("PyTorch", seed), number)
            seen.add(tuple(torch.randperm(50).tolist()))
    assert len(seen) == 9


def test_both_sides_run(photos, tmp_path, capsys):
    arguments = [*QUICK, "--data", str(photos), "--out", str(tmp_path), "--limit-batches", "1"]
    assert cli.main([*arguments, "--only", "tinyconv"]) == 0
    assert cli.main([*arguments, "--only", "PyTorch"]) == 0
    output = capsys.readouterr().out
    assert "run 1 of 1: PyTorch, seed 3" in output and "tinyconv less PyTorch" in output
    ours, other = (json.loads((tmp_path / f"{side}-seed-3" / "result.json").read_text())
                   for side in ("tinyconv", "pytorch"))
    assert ours["images"] == other["images"] == 18
    assert [line["epoch"] for line in ours["epochs"]] == [line["epoch"] for line in other["epochs"]] == [1]
    assert other["epochs"][0]["val_top1"] in (0, 0.25, 0.5, 0.75, 1)  # of four photos, as on the other side
    assert cli.main(arguments) == 0
    assert "run 1" not in capsys.readouterr().out


@pytest.mark.parametrize("spoil, message", [
    (lambda folder: (folder / "checkpoint.pt").write_bytes(b"abc"), "checkpoint.pt is damaged"),
    (lambda folder: (folder / "settings.json").write_text(json.dumps({"side": "PyTorch", "seed": 2})),
     "holds a run with seed 2, not 3")])
def test_what_is_in_the_folder_is_not_trusted(photos, tmp_path, capsys, spoil, message):
    folder = tmp_path / "pytorch-seed-3"
    folder.mkdir()
    spoil(folder)
    assert cli.main([*QUICK, "--data", str(photos), "--out", str(tmp_path), "--only", "PyTorch"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and not (folder / "result.json").exists()


def test_a_loss_that_is_no_number_ends_the_run(photos, tmp_path, capsys):
    assert cli.main([*QUICK, "--data", str(photos), "--out", str(tmp_path), "--only", "PyTorch", "--lr", "1e30"]) == 1
    assert "PyTorch's loss is" in capsys.readouterr().err
    assert not (tmp_path / "pytorch-seed-3" / "result.json").exists()


def test_pytorchs_side_goes_on_after_the_last_epoch(photos, tmp_path, monkeypatch, capsys):
    """Stopped before its second epoch, it ends with the weights of a run that was not."""
    recipe = Recipe(resize=70, crop=63, epochs=2, batch=8, color_noise=0.0)
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
