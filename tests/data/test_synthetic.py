"""Synthetic images are deterministic, and a class can be told from the others."""

import numpy as np
import pytest

from tinyconv.data.synthetic import SyntheticData, SyntheticSplit


def test_deterministic():
    one, other = SyntheticSplit(10, 3, 16, 7), SyntheticSplit(99, 3, 16, 7)
    np.testing.assert_array_equal(one.image(4), other.image(4))
    assert (one.image(4) != SyntheticSplit(10, 3, 16, 8).image(4)).any()
    assert (one.image(4) != one.image(7)).any()  # the same class
    assert one.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]


def test_learnable():
    """Images of another split are nearest to their class's mean spectrum: that has no phase."""
    data = SyntheticData(classes=10, size=32, train=200, val=100)

    def spectra(split):
        images = np.array([split.image(i) for i in range(len(split))])
        return np.abs(np.fft.rfft2(images - 128.0, axes=(1, 2))).reshape(len(split), -1)

    train, val = data.split("train"), data.split("val")
    known = spectra(train)
    means = np.array([known[train.labels == label].mean(axis=0) for label in range(10)])
    nearest = ((spectra(val)[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == val.labels).mean() > 0.95


def test_has_what_training_asks_of_a_pack():
    data = SyntheticData(classes=4, size=16, train=40, val=8, seed=1)
    assert data.splits == ["train", "val"] and len(data.classes) == 4
    pixels = np.concatenate([data.split("train").image(i).reshape(-1, 3) for i in range(40)]).astype(float)
    np.testing.assert_allclose(data.mean, pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(data.std, pixels.std(axis=0), rtol=1e-9)
    np.testing.assert_allclose(data.eigenvalues.sum(), (pixels / 255).var(axis=0).sum(), rtol=1e-9)
    np.testing.assert_allclose(data.eigenvectors.T @ data.eigenvectors, np.eye(3), atol=1e-12)


def test_bad_arguments():
    with pytest.raises(ValueError, match="n 0, classes 2 and size 3 must be at least 1"):
        SyntheticSplit(0, 2, 3, 0)
    with pytest.raises(IndexError, match="images 0..1; 2"):
        SyntheticSplit(2, 2, 3, 0).image(2)
