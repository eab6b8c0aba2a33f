"""``python -m tinyconv.report``: what is on the page, and that it needs nothing but itself."""

import base64
import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import tinyconv as tc
from tinyconv.data import EvalTransform, Loader, SyntheticData
from tinyconv.data.selection import Selection
from tinyconv.models import alexnet
from tinyconv.optim import SGD, Schedule
from tinyconv.report.__main__ import main
from tinyconv.report.charts import charts, points
from tinyconv.report.mistakes import Mistakes, find_mistakes
from tinyconv.report.run import read_run
from tinyconv.training import Trainer, evaluate

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """The texts, pictures and links of a page; fails if tags are not balanced."""

    def __init__(self, path):
        super().__init__()
        self.texts, self.pictures, self.open, self.headings = [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []
        self.text = " ".join(self.texts)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        assert not {"href", "onload", "srcset"} & set(named) and tag not in ("script", "link", "iframe")
        if tag == "img":
            kind, content = named["src"].split(";base64,")
            assert kind in ("data:image/png", "data:image/jpeg") and named["alt"]
            self.pictures.append((named["alt"], Image.open(io.BytesIO(base64.b64decode(content, validate=True)))))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style" and data.strip():
            self.texts.append(data.strip())


def train(out, epochs=2):
    """A small AlexNet on three classes, as examples/alexnet_imagenet.py has it run."""
    tc.manual_seed(0)
    data = SyntheticData(size=66, seed=1)
    model = alexnet("paper", len(data.classes), ("cpu",), 63, "he")
    optimizer = SGD(model.parameters(), 0.001)
    how = EvalTransform(66, 63, data.mean, data.std)
    settings = {"variant": "paper", "crop": 63, "init": "he", "class names": "; ".join(data.classes),
                "resize": 66, "pixel mean": " ".join(map(str, data.mean)), "pixel std": " ".join(map(str, data.std))}
    loaders = [Loader(data.split(name), 8, how, shuffle=False, seed=0, workers=0) for name in ("train", "val")]
    run = Trainer(model, optimizer, Schedule(optimizer), *loaders, len(data.classes), out, limit_batches=2, log_every=1,
                  settings=settings, options={"note": "<b>&"}, data={
                      "pack": None, "synthetic": {"size": 66, "seed": 1}, "provenance": "stripes"})
    run.fit(epochs)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tmp_path_factory.mktemp("report") / "run <1>")


@pytest.fixture(scope="module")
def page(run):
    assert main([str(run.out), "--images", "40", "--workers", "0"]) == 0
    return Page(run.out / "report.html")


def test_the_page_has_every_part(run, page):
    names = [name for name, _ in page.pictures]
    assert names[:8] == ["Loss", "Accuracy", "Learning rate", "Throughput", "Waiting for data", "Memory",
                         "Update / weights", "filters of conv1"]
    assert all(np.asarray(picture.convert("L")).std() > 5 for _, picture in page.pictures[:8])
    assert "Training run run <1>" in page.text and "note=<b>&" in page.text  # escaped, so that they can be read
    for expected in ("numpy", "cores", "stripes", "after epoch", "GiB"):
        assert expected in page.text


def test_its_numbers_are_those_of_the_log(run, page):
    for line in run.history:
        assert f"{line['val_loss']:.4f}" in page.text and f"{100 * line['val_top1']:.2f}" in page.text
    assert "4 lines up to step 4" in page.text


def test_mistakes_are_counted_as_by_evaluation(run):
    """The same hits; the worst classes first; each example is one that was taken for its guess.  60 images of 500."""
    found = find_mistakes(read_run(run.out), 60, None, "cpu", 0)
    assert isinstance(found, Mistakes) and (found.images, found.available) == (60, 500)
    data = SyntheticData(size=66, seed=1)
    best = tc.load(run.out / "best.h5")["model"]
    model = alexnet("paper", 10, ("cpu",), 63, "he")
    model.load_state_dict(best)
    spread = Selection(data.split("val"), np.linspace(0, 499, 60).round().astype(int))
    loader = Loader(spread, 64, EvalTransform(66, 63, data.mean, data.std), shuffle=False, seed=0, workers=0)
    expected = evaluate(model, loader.epoch(0), tc.device("cpu"))
    assert (found.tally.top1_hits, found.tally.top5_hits) == (expected.top1_hits, expected.top5_hits)
    shares = [w.right / w.images for w in found.worst]
    assert shares == sorted(shares) and all(w.right < w.images for w in found.worst)
    for worst in found.worst:
        assert worst.right + sum(n for _, n in worst.taken_for) <= worst.images
        assert [e.probability for e in worst.examples] == sorted((e.probability for e in worst.examples), reverse=True)
        assert all(e.guess != worst.name and 0.1 <= e.probability <= 1 for e in worst.examples)


def test_without_its_data_the_page_says_so(run, tmp_path, capsys):
    record = json.loads((run.out / "run.json").read_text())
    record["data"] = {"pack": str(tmp_path / "gone.h5")}
    other = tmp_path / "other"
    other.mkdir()
    for name in ("log.jsonl", "steps.jsonl", "checkpoint.h5"):
        (other / name).write_bytes((run.out / name).read_bytes())
    (other / "run.json").write_text(json.dumps(record))
    assert main([str(other), "--workers", "0"]) == 0
    assert "without the network's mistakes" in capsys.readouterr().err
    page = Page(other / "report.html")
    assert f"the images are no longer at {tmp_path / 'gone.h5'}; name the pack with --data" in page.text
    assert "filters of conv1" in [name for name, _ in page.pictures]


def test_an_old_run_has_a_page_too(run, tmp_path):
    """Of before there were steps.jsonl, run.json, or some fields of the log; and the checkpoint is gone."""
    known = ("epoch", "lr", "train_loss", "train_top1", "train_top5", "val_loss", "val_top1", "val_top5",
             "train_images", "val_images", "seconds", "images_per_second", "peak_rss_mib")
    lines = [json.dumps({name: line[name] for name in known}) for line in run.history]
    (tmp_path / "log.jsonl").write_text("\n".join([*lines, "{broken"]))
    assert main([str(tmp_path), "--out", str(tmp_path / "page.html")]) == 0
    page = Page(tmp_path / "page.html")
    assert [name for name, _ in page.pictures] == ["Loss", "Accuracy", "Throughput"]
    for expected in ("There is no steps.jsonl", "no whole checkpoint", "There is no run.json"):
        assert expected in page.text


@pytest.mark.parametrize("make, message", [
    (lambda path: None, "there is no folder"), (lambda path: path.mkdir(), "holds no training run")])
def test_no_run_is_one_clear_line(tmp_path, capsys, make, message):
    make(tmp_path / "run")
    assert main([str(tmp_path / "run")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line


def test_a_page_that_cannot_be_written_is_one_clear_line(run, tmp_path, capsys):
    assert main([str(run.out), "--out", str(tmp_path / "no" / "page.html"), "--images", "0"]) == 1
    assert "there is no folder" in capsys.readouterr().err


def test_the_curves_are_drawn_from_the_lines():
    lines = [{"step": 2, "epoch": 1, "loss": 0.5}, {"step": 4, "epoch": 1, "loss": None}, {"epoch": 3, "loss": 1.5}]
    assert points(lines, "loss", 2) == ([2, 3], [1.0, 3.0])


def test_the_memory_of_workers_is_drawn_if_there_are_any(run):
    found = read_run(run.out)
    assert len(charts(found)["Memory"].axes[0].lines) == 2
    found.steps[0]["workers_rss_mib"] = 50.0
    (figure,) = [charts(found)["Memory"]]
    first = found.steps[0]
    assert [line.get_ydata().tolist()[0] for line in figure.axes[0].lines] == [
        first["rss_mib"], first["rss_mib"] - first["shared_mib"], 50.0]
