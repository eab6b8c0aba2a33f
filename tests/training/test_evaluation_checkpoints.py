"""python -m tinyconv.evaluate on checkpoints that are trained here, in seconds, beside a computation by hand."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import tinyconv as tc
from tinyconv import evaluate as command
from tinyconv.data import EvalTransform, Loader, Pack, open_data
from tinyconv.data.pack import pack
from tinyconv.data.selection import Selection
from tinyconv.data.synthetic import SyntheticSplit
from tinyconv.models import alexnet
from tinyconv.optim import SGD, Schedule
from tinyconv.serialization import load, save
from tinyconv.training import Trainer, checkpoint
from tinyconv.training.matching import known_images
from tinyconv.training.trained import evaluate_trained, load_trained

CLASSES = ["Ankle boot", "Bag", "Coat", "Dress", "Pullover", "Sandal", "Shirt", "Sneaker"]
RESIZE, VAL = 70, 7


def folders(embedded, root, names, train=8, val=VAL):
    """A folder for each class, with the first images that the embedded pack has of it."""
    for split, count in (("train", train), ("val", val)):
        images = embedded.split(split)
        for name in names:
            folder = root / split / name
            folder.mkdir(parents=True)
            own = np.flatnonzero(images.labels == embedded.classes.index(name))[:count]
            for i in own:
                Image.fromarray(images.image(int(i))).save(folder / f"{i:05d}.png")
    return root


def train(data, out, seed, crop, steps=12):
    """Steps of eight images; it has to guess better than by chance, but not everything right."""
    tc.manual_seed(seed)
    model = alexnet("paper", len(data.classes), ["cpu"], crop, "he")
    centre = EvalTransform(RESIZE, crop, data.mean, data.std)
    loaders = [Loader(data.split(split), 8, centre, shuffle=split == "train", seed=seed, workers=0)
               for split in ("train", "val")]
    optimizer = SGD(model.parameters(), 0.01)
    network = {"variant": "paper", "crop": crop, "init": "he", "resize": RESIZE, "seed": seed,
               "class names": "; ".join(data.classes)}
    trainer = Trainer(model, optimizer, Schedule(optimizer), *loaders, len(data.classes), out, clip_norm=5,
                      limit_batches=steps, settings=network)
    trainer.fit(1)
    return str(trainer.checkpoint_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluation")
    embedded = open_data(None, root)
    photos = folders(embedded, root / "photos", CLASSES)
    data = open_data(photos, root, progress=False)
    checkpoints = [train(data, root / "one", 1, 63), train(data, root / "two", 2, 64)]
    return SimpleNamespace(root=root, embedded=embedded, photos=photos, data=data, checkpoints=checkpoints)


def run(capsys, *arguments):
    code = command.main([str(a) for a in arguments])
    output = capsys.readouterr()
    return code, output.out, output.err


def ten_crops(photos, crop, mean, std):
    """By the paper: four corners and the centre, then their mirror images; (N, 10, 3, crop, crop)."""
    last, middle = RESIZE - crop, (RESIZE - crop) // 2
    places = [(0, 0), (0, last), (last, 0), (last, last), (middle, middle)]
    crops = np.stack([photos[:, t:t + crop, left:left + crop] for t, left in places], axis=1)
    crops = np.concatenate([crops, crops[:, :, :, ::-1]], axis=1)
    return ((crops - mean) / std).astype(np.float32).transpose(0, 1, 4, 2, 3)


def probabilities(made, path, crop):
    """(N, 10, K) float64 by hand: resized by Pillow, crops and softmax here; only the logits are the network's."""
    split = made.data.split("val")
    photos = np.stack([np.asarray(Image.fromarray(split.image(i)).resize((RESIZE, RESIZE), Image.Resampling.BILINEAR))
                       for i in range(len(split))]).astype(np.float64)
    model = alexnet("paper", len(CLASSES), ["cpu"], crop, "he")
    model.load_state_dict(checkpoint.read(path)["model"])
    model.eval()
    crops = ten_crops(photos, crop, made.data.mean, made.data.std)
    with tc.no_grad():
        logits = model(tc.tensor(crops.reshape(-1, 3, crop, crop), "cpu")).numpy().astype(np.float64)
    power = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (power / power.sum(axis=1, keepdims=True)).reshape(len(split), 10, -1)


def counted(probability, labels):
    """Hits and confusion by sorting, one photo after another."""
    order = np.argsort(-probability, axis=1, kind="stable").tolist()
    confusion = np.zeros((len(CLASSES),) * 2, int)
    for guesses, label in zip(order, labels.tolist(), strict=True):
        confusion[label, guesses[0]] += 1
    top5 = [sum(label in guesses[:5] for guesses, label in zip(order, labels.tolist(), strict=True) if label == k)
            for k in range(len(CLASSES))]
    loss = -np.log(probability[np.arange(len(labels)), labels]).mean()
    return confusion, top5, loss


@pytest.fixture(scope="module")
def by_hand(made):
    first, second = (probabilities(made, path, crop) for path, crop in zip(made.checkpoints, (63, 64), strict=True))
    return {(made.checkpoints[0], "centre"): first[:, 4], (made.checkpoints[0], "ten crops"): first.mean(axis=1),
            (made.checkpoints[1], "centre"): second[:, 4], (made.checkpoints[1], "ten crops"): second.mean(axis=1),
            ("ensemble of 2", "centre"): (first[:, 4] + second[:, 4]) / 2,
            ("ensemble of 2", "ten crops"): (first.mean(axis=1) + second.mean(axis=1)) / 2}


def test_every_number_of_the_json_is_that_by_hand(made, by_hand, tmp_path, capsys):
    """Batches of 30 crops are 3 photos: 56 photos leave a last batch of 2."""
    code, output, error = run(capsys, *made.checkpoints, "--data", made.photos, "--ten-crop", "--batch", 30,
                              "--json", tmp_path / "out.json")
    assert code == 0, error
    whole = json.loads((tmp_path / "out.json").read_text())
    labels = made.data.split("val").labels
    assert whole["classes"] == CLASSES and whole["data"]["images"] == len(labels) == len(CLASSES) * VAL
    assert whole["data"]["fingerprint"] == made.data.fingerprint != ""
    assert [(r["name"], r["crops"]) for r in whole["results"]] == list(by_hand)
    for result, (key, probability) in zip(whole["results"], by_hand.items(), strict=True):
        confusion, top5, loss = counted(probability, labels)
        assert result["confusion"] == confusion.tolist(), key
        assert [line["top1"]["hits"] for line in result["per_class"]] == confusion.diagonal().tolist()
        assert [line["top5"]["hits"] for line in result["per_class"]] == top5
        assert [line["images"] for line in result["per_class"]] == [VAL] * len(CLASSES)
        assert (result["top1"]["hits"], result["top5"]["hits"]) == (confusion.trace(), sum(top5))
        assert result["images"] == len(labels)
        assert result["loss"] == pytest.approx(loss, rel=1e-5), key  # float32 logits of batches of another size
        line = next(s for s in output.splitlines() if s.startswith(key[0]) and f" {key[1]} " in s)
        assert f"{100 * confusion.trace() / len(labels):.2f} (" in line
    hits = {r["top1"]["hits"] for r in whole["results"]}
    assert len(hits) > 1 and max(hits) < len(labels), "networks that are all alike or all right prove nothing"


def test_probabilities_are_averaged_and_not_logits(made, by_hand):
    """The two differ on these networks, so that the test above would notice."""
    labels = made.data.split("val").labels
    first, second = (by_hand[path, "ten crops"] for path in made.checkpoints)
    geometric = np.sqrt(first * second)
    geometric /= geometric.sum(axis=1, keepdims=True)
    assert counted(geometric, labels)[2] != pytest.approx(counted((first + second) / 2, labels)[2], rel=1e-3)


def test_the_worst_pairs_are_told_by_name(made, by_hand, capsys):
    code, output, _ = run(capsys, made.checkpoints[0], "--data", made.data.path, "--worst", 2)
    assert code == 0
    confusion, _, _ = counted(by_hand[made.checkpoints[0], "centre"], made.data.split("val").labels)
    np.fill_diagonal(confusion, 0)
    head, pairs = output.split("Most often taken for another")
    lines = pairs.splitlines()[1:]
    assert len(lines) == 2
    for line, most in zip(lines, np.sort(confusion, axis=None)[::-1], strict=False):
        count, truth, guess = int(line.split()[0]), line.split("'")[1], line.split("'")[3]
        assert count == most == confusion[CLASSES.index(truth), CLASSES.index(guess)]
    assert "ensemble" not in output and head.count(f"of {VAL} right") == 2


def test_the_batch_does_not_matter_and_workers_neither(made):
    networks = [load_trained(path, made.data, [tc.device("cpu")]) for path in made.checkpoints]
    split = made.data.split("val")
    one = evaluate_trained(networks, split, batch=1, workers=0)
    many = evaluate_trained(networks, split, batch=64, workers=2)
    for key in one:
        assert np.array_equal(one[key].confusion, many[key].confusion), key
        assert one[key].loss == pytest.approx(many[key].loss, rel=1e-5)  # kernels sum other batches in other orders


def test_a_network_that_knows_more_classes_may_guess_them_all(made, tmp_path, capsys):
    """The data has two of the eight, in other order of labels: they are matched by name."""
    few = folders(made.embedded, tmp_path / "few", ["Dress", "Bag"])
    code, _, error = run(capsys, made.checkpoints[0], "--data", few, "--packs", tmp_path, "--statistics",
                         made.data.path, "--json", tmp_path / "few.json")
    assert code == 0, error
    (small,) = json.loads((tmp_path / "few.json").read_text())["results"]
    labels = made.data.split("val").labels
    network = load_trained(made.checkpoints[0], made.data, [tc.device("cpu")])
    whole = evaluate_trained([network], made.data.split("val"))[network.name, "centre"]
    for label, name in enumerate(CLASSES):
        row = whole.confusion[label] if name in ("Dress", "Bag") else np.zeros(len(CLASSES), int)
        assert small["confusion"][label] == row.tolist(), name
    assert small["per_class"][0]["top1"] == {"hits": 0, "share": None, "low": None, "high": None}
    assert len(labels) == 8 * VAL and small["images"] == 2 * VAL


def test_classes_that_it_does_not_know(made, tmp_path, capsys):
    more = open_data(folders(made.embedded, tmp_path / "more", ["Bag", "Trouser"], val=3), tmp_path, progress=False)
    arguments = [made.checkpoints[0], "--data", more.path, "--json", tmp_path / "more.json"]
    code, _, error = run(capsys, *arguments)
    assert code == 1 and error == ("error: the network does not know 1 of the 2 classes of the data: 'Trouser'; "
                                   "their images can be left out with --known-only\n")
    assert not (tmp_path / "more.json").exists()
    code, _, error = run(capsys, *arguments, "--known-only")
    assert code == 0, error
    whole = json.loads((tmp_path / "more.json").read_text())
    assert (whole["data"]["images"], whole["data"]["left_out"]) == (3, 3)
    assert [line["images"] for line in whole["results"][0]["per_class"]] == [0, 3, 0, 0, 0, 0, 0, 0]


def changed(path, to, leave_out="", bias=None, **settings):
    """A checkpoint with other settings, at ``to``; without the state of the optimizer, which is most of it."""
    state = load(path)
    state["optimizer"] = {}
    state["settings"] |= settings
    state["settings"].pop(leave_out, None)
    if bias is not None:
        state["model"]["output.bias"][...] = bias
    save(state, to)
    return to


def test_pixels_are_normalised_as_in_training(made, tmp_path):
    """By what the checkpoint has, else by what the pack trained on has; with the weights of 2012 by the mean alone."""
    device, path, first = [tc.device("cpu")], tmp_path / "changed.h5", made.checkpoints[0]
    network = load_trained(first, made.data, device)
    assert np.array_equal(network.mean, made.data.mean) and np.array_equal(network.std, made.data.std)
    changed(first, path, init="variant")
    assert load_trained(path, made.data, device).std.tolist() == [1, 1, 1]
    changed(first, path, **{"pixel mean": "100 110 120.5", "pixel std": "50 60 70"})
    network = load_trained(path, made.data, device)
    assert network.mean.tolist() == [100, 110, 120.5] and network.std.tolist() == [50, 60, 70]
    other = SimpleNamespace(mean=np.array([1.0, 2, 3]), std=np.array([4.0, 0, 6]))
    network = load_trained(path, made.data, device, other)
    assert network.mean.tolist() == [1, 2, 3] and network.std.tolist() == [4, 1, 6]
    changed(first, path, **{"pixel mean": "100 110 120.5", "pixel std": "50 60"})
    with pytest.raises(checkpoint.CheckpointError, match="'50 60' is not three numbers"):
        load_trained(path, made.data, device)


def test_other_classes_and_damaged_checkpoints_are_one_clear_line(made, tmp_path, capsys):
    more = open_data(folders(made.embedded, tmp_path / "more", ["Trouser"], 2, 2), tmp_path, progress=False).path
    first = made.checkpoints[0]
    bare = changed(first, tmp_path / "bare.h5", leave_out="crop")
    other = changed(first, tmp_path / "other.h5", **{"class names": "; ".join(CLASSES).replace("Bag", "Hat")})
    text = tmp_path / "text.h5"
    text.write_text("no checkpoint")
    for arguments, message in (
            ([first, "--data", more], "knows none of the classes of the data"),
            ([first, "--data", tmp_path / "nowhere"], "nowhere"), ([tmp_path / "no.h5"], "there is no file"),
            ([text, "--data", made.data.path], "text.h5 is no checkpoint"),
            ([bare, "--data", made.data.path], "its settings have no crop"),
            ([first, other, "--data", made.data.path], "class 1 is 'Hat', not 'Bag'"),
            ([first, first, "--data", made.data.path], "named twice"),
            ([first, "--data", made.data.path, "--split", "test"], "has no 'test' split"),
            ([first, "--data", made.data.path, "--device", "tpu"], "no device 'tpu'"),
            ([first, "--data", made.data.path, "--json", tmp_path / "no" / "out.json"], "there is no folder")):
        code, _, error = run(capsys, *arguments)
        assert code == 1 and message in error and error.startswith("error: ") and error.count("\n") == 1, error


def test_weights_that_are_not_numbers_are_an_error_and_no_accuracy(made, tmp_path, capsys):
    broken = changed(made.checkpoints[0], tmp_path / "broken.h5", bias=np.nan)
    code, _, error = run(capsys, broken, "--data", made.data.path)
    assert code == 1
    assert error.splitlines()[-1] == f"error: {broken}: the scores of image 0 are not numbers; the network is broken"


@pytest.mark.parametrize("arguments, message", [
    ([], "CHECKPOINT"), (["x.h5", "--batch", "0"], "must be a whole number of at least 1, not '0'"),
    (["x.h5", "--worst", "many"], "at least 0, not 'many'")])
def test_bad_arguments_end_the_program_with_one_line(arguments, message):
    done = subprocess.run([sys.executable, "-m", "tinyconv.evaluate", *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and message in line


def test_a_selection_is_a_split():
    whole = SyntheticSplit(6, 3, 8, 0)
    some = Selection(whole, np.array([4, 1]), np.array([7, 8]))
    assert len(some) == 2 and some.labels.tolist() == [7, 8]
    assert np.array_equal(some.image(0), whole.image(4)) and some.name(1) == whole.name(1)
    assert Selection(whole, np.array([4, 1])).labels.tolist() == [1, 1] and some.encoded(0) is None
    with pytest.raises(IndexError, match="images 0..1; 2 is not"):
        some.image(2)
    with pytest.raises(ValueError, match="2 images has 1 labels"):
        Selection(whole, np.array([4, 1]), np.array([7]))


def test_worker_processes_read_a_selection_of_files(made):
    """It goes to them by pickle; the files of a pack are decoded there."""
    pack(made.photos, made.root / "files.h5", storage="encoded", progress=False)
    whole = Pack(made.root / "files.h5").split("val")
    some = Selection(whole, np.array([9, 2, 30]))
    assert some.encoded(1) == whole.encoded(2) is not None
    centre = EvalTransform(RESIZE, 63, np.zeros(3), np.ones(3))
    with Loader(some, 2, centre, shuffle=False, seed=0, workers=1) as loader, \
            Loader(whole, 64, centre, shuffle=False, seed=0, workers=0) as all_of_them:
        ((images, labels),) = all_of_them.epoch(0)
        batches = list(loader.epoch(0))
    assert np.array_equal(np.concatenate([b for b, _ in batches]), images[[9, 2, 30]])
    assert np.concatenate([own for _, own in batches]).tolist() == labels[[9, 2, 30]].tolist()


def test_names_that_are_there_twice_cannot_be_matched():
    """ImageNet has two classes called crane, a bird and a machine."""
    split = SyntheticSplit(4, 2, 8, 0)
    with pytest.raises(ValueError, match="more than one class is called 'crane'"):
        known_images(split, ["crane", "boat"], ["boat", "crane", "crane"])
    twice = ["crane", "crane"]
    assert known_images(split, twice, twice) is split
