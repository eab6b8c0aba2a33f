"""tc.save and tc.load: what goes in comes out, and no accident leaves half a file or harms the one before."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import tinyconv as tc

STATE: dict[str, Any] = {
    "features.0.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "labels": np.array([1, -2, 3]),
    "nothing": np.zeros((0, 3)),
    "a number in an array": np.array(2.5),
    "velocity": {"0": np.array([1.5, np.nan, np.inf]), "more": {"deep": np.float64(0.1), "empty": {}}},
    "epoch": 7, "lr": 1e-300, "done": True, "name": "Grüße, \n%s", "version": 3, "format": "mine",
}


def _same(a: Any, b: Any) -> None:
    assert type(a) is type(b) or isinstance(b, np.generic) and isinstance(a, float)
    if isinstance(b, dict):
        assert list(sorted(a)) == list(sorted(b))
        for name in b:
            _same(a[name], b[name])
    elif isinstance(b, np.ndarray):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_array_equal(a, b)
    else:
        assert a == b


def test_round_trip(tmp_path: Path) -> None:
    tc.save(STATE, tmp_path / "state.h5")
    _same(tc.load(tmp_path / "state.h5"), STATE)
    assert os.listdir(tmp_path) == ["state.h5"]


def test_a_tensor_is_saved_as_its_numbers(tmp_path: Path) -> None:
    tc.save({"x": tc.tensor(np.arange(24.0).reshape(1, 2, 3, 4))}, str(tmp_path / "x.h5"))
    np.testing.assert_array_equal(tc.load(str(tmp_path / "x.h5"))["x"], np.arange(24.0).reshape(1, 2, 3, 4))


def test_saving_again_replaces(tmp_path: Path) -> None:
    for epoch in (1, 2):
        tc.save({"epoch": epoch}, tmp_path / "state.h5")
    assert tc.load(tmp_path / "state.h5") == {"epoch": 2}


def test_what_has_no_place_in_a_file(tmp_path: Path) -> None:
    for value in ([1, 2], None, object()):
        with pytest.raises(TypeError, match=f"save: x is a {type(value).__name__}; a state holds"):
            tc.save({"fine": 1, "x": value}, tmp_path / "state.h5")
    with pytest.raises(ValueError, match="save: the name 'a/b' has a slash"):
        tc.save({"a/b": np.ones(2)}, tmp_path / "state.h5")
    assert os.listdir(tmp_path) == []


def test_loading_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="load: there is no file .*nowhere.h5"):
        tc.load(tmp_path / "nowhere.h5")


def test_loading_what_is_no_state(tmp_path: Path) -> None:
    path = tmp_path / "state.h5"
    path.write_bytes(b"GIF89a" * 1000)
    with pytest.raises(ValueError, match="load: .*state.h5 is damaged or not an HDF5 file"):
        tc.load(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="is damaged or not an HDF5 file"):
        tc.load(path)
    with h5py.File(path, "w") as file:
        file["x"] = np.ones(3)
    with pytest.raises(ValueError, match="is an HDF5 file, but not a state that tinyconv saved"):
        tc.load(path)
    with h5py.File(path, "w") as file:
        file.attrs["format"], file.attrs["version"] = "tinyconv-state", 999
    with pytest.raises(ValueError, match="has version 999, this tinyconv reads 1; install a newer one"):
        tc.load(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_loading_what_was_cut_off(tmp_path: Path, share: float) -> None:
    path = tmp_path / "state.h5"
    tc.save({str(i): np.full(1000, i) for i in range(50)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:int(len(whole) * share)])
    with pytest.raises(ValueError, match="is damaged"):
        tc.load(path)


def _unharmed(folder: Path) -> None:
    assert os.listdir(folder) == ["state.h5"], "a part of a file was left behind"
    assert tc.load(folder / "state.h5") == {"epoch": 1}


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    tc.save({"epoch": 1}, tmp_path / "state.h5")

    def fail(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OSError, match="cannot write .*state.h5: No space left on device") as caught:
            tc.save({"epoch": 2}, tmp_path / "state.h5")
    assert caught.value.errno == errno.ENOSPC
    _unharmed(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes there")
@pytest.mark.parametrize("limit", [0, 1000, 100_000])
def test_a_disk_that_fills_up_while_writing(tmp_path: Path, limit: int) -> None:
    """A limit on the size of files makes write() itself fail, as a full disk does.  In a process of its own, because
    HDF5 has crashed at exit after such a failure."""
    tc.save({"epoch": 1}, tmp_path / "state.h5")
    program = """
import resource, signal, sys
import h5py, numpy as np
import tinyconv as tc
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    tc.save({"epoch": 2, "x": np.ones(100_000)}, sys.argv[1])
except OSError as error:
    assert "cannot write" in str(error) and "state.h5" in str(error), error
    sys.exit(42)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "state.h5"), str(limit)],
                          capture_output=True, text=True)
    assert done.returncode == 42, done.stderr
    _unharmed(tmp_path)


def test_folders_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "missing" / "state.h5", tmp_path / "file" / "state.h5", tmp_path):
        with pytest.raises(OSError, match=f"cannot write {path}"):
            tc.save({"epoch": 1}, path)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tc.save({"epoch": 1}, tmp_path / "state.h5")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OSError, match="cannot write .*state.h5"):
            tc.save({"epoch": 2}, tmp_path / "state.h5")
    finally:
        tmp_path.chmod(0o700)
    _unharmed(tmp_path)
