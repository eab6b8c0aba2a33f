"""What a user names becomes an open pack; folders are packed once, and elsewhere."""

import os
import tarfile

import numpy as np
import pytest

from tinyconv.data import open_data, opening
from tinyconv.data.errors import PackError
from tinyconv.data.pack import pack

from .samples import flat, png


def test_nothing_named_is_the_embedded_pack(tmp_path):
    with open_data(None, tmp_path / "out") as pack:
        assert pack.classes[1] == "Trouser"
    assert not (tmp_path / "out").exists()


def test_a_pack_is_opened(embedded, tmp_path):
    with open_data(embedded.path, tmp_path) as pack:
        assert len(pack.split("val")) == len(embedded.split("val"))


def test_a_folder_is_packed_once(class_folder, tmp_path, capsys):
    before = sorted(class_folder.rglob("*"))
    out = tmp_path / "runs" / "first"
    open_data(class_folder, out, progress=False).close()
    path = out / "insects.pack.h5"
    made = path.stat().st_mtime_ns
    with open_data(class_folder, out) as pack:
        assert pack.path == path and "using" in capsys.readouterr().out
    assert path.stat().st_mtime_ns == made and sorted(class_folder.rglob("*")) == before
    assert os.listdir(out) == ["insects.pack.h5"]


def test_a_changed_folder_is_packed_again(class_folder, tmp_path, capsys):
    open_data(class_folder, tmp_path, progress=False).close()
    (class_folder / "bee" / "03.png").write_bytes(png(flat(77)))
    with open_data(class_folder, tmp_path) as pack:
        assert "again: it or the options changed" in capsys.readouterr().out
        np.testing.assert_array_equal(pack.split("val").image(1), flat(77))
    with open_data(class_folder, tmp_path, resize=6, progress=False) as pack:
        assert pack.split("train").image(0).shape == (6, 8, 3)


def test_a_damaged_pack_is_made_again(class_folder, tmp_path, capsys):
    open_data(class_folder, tmp_path, progress=False).close()
    path = tmp_path / "insects.pack.h5"
    path.write_bytes(path.read_bytes()[:-100])
    with open_data(class_folder, tmp_path) as pack:
        assert "is truncated" in capsys.readouterr().out and len(pack.split("train")) == 11


def test_the_source_is_never_written_to(class_folder):
    before = sorted(class_folder.rglob("*"))
    for out in (class_folder, class_folder / "runs"):
        with pytest.raises(PackError, match="lies inside the source"):
            open_data(class_folder, out)
    assert sorted(class_folder.rglob("*")) == before


def test_bad_places(class_folder, tmp_path):
    with pytest.raises(PackError, match="does not exist"):
        open_data(tmp_path / "nowhere", tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PackError, match="cannot make the folder .*file/out"):
        open_data(class_folder, tmp_path / "file" / "out")


def test_a_large_set_becomes_shards_and_is_used_again(class_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(opening, "_SMALL", 100)
    with open_data(class_folder, tmp_path / "out", progress=False) as pack:
        assert pack.path == tmp_path / "out" / "insects.pack" and len(pack.split("train")) == 11
    assert os.listdir(tmp_path / "out") == ["insects.pack"]
    with open_data(class_folder, tmp_path / "out") as pack:
        assert "using" in capsys.readouterr().out and pack.path.name == "insects.pack"
    with open_data(tmp_path / "out" / "insects.pack", tmp_path / "elsewhere") as pack:  # named itself
        assert len(pack.split("val")) == 2
    assert not (tmp_path / "elsewhere").exists()


def test_a_pack_of_before_the_shards_is_used(class_folder, tmp_path, monkeypatch, capsys):
    """Its fingerprint is what it always was: names, sizes, times, and the options in these words."""
    old = pack(class_folder, tmp_path / "insects.pack.h5", resize=6, progress=False).path
    made = old.stat().st_mtime_ns
    monkeypatch.setattr(opening, "_SMALL", 0)
    with open_data(class_folder, tmp_path, resize=6) as found:
        assert found.path == old and "using" in capsys.readouterr().out
        assert found.fingerprint.endswith(" resize=6 quality=90") and len(found.fingerprint) == 64 + 20
    assert old.stat().st_mtime_ns == made


def test_a_tar_file_is_packed_once(class_folder, tmp_path, capsys):
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(class_folder, "photos")
    for _ in range(2):
        with open_data(tmp_path / "photos.tar", tmp_path / "out") as found:
            assert found.path == tmp_path / "out" / "photos.pack.h5" and len(found.split("train")) == 11
    assert capsys.readouterr().out.count("using") == 1
