"""Top-1, top-5 and the loss, by numbers that one can check by hand."""

import numpy as np
import pytest

import tinyconv as tc
from tinyconv.training import Result, evaluate, top_k


def test_top_k_by_hand():
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
    labels = np.array([1, 1, 0])
    assert [top_k(scores, labels, k) for k in (1, 2, 3)] == [1, 2, 3]


def test_top_k_of_equal_scores_is_no_hit():
    """A dead network gives every class the same score; argmax would call class 0 right."""
    assert top_k(np.zeros((4, 10)), np.zeros(4, int), 5) == 0


def test_top_k_of_nan_is_no_hit():
    assert top_k(np.full((2, 10), np.nan), np.array([0, 3]), 5) == 0


class Logits(tc.nn.Module):
    """Returns the first pixels of each image as logits."""

    def forward(self, x):
        return tc.functional.flatten(x)[:, :3]


def images(rows):
    return np.array(rows, np.float32).reshape(-1, 3, 1, 1)


def test_evaluate_counts_a_partial_last_batch_once(device):
    batches = [(images([[9, 0, 0], [0, 9, 0]]), np.array([0, 0])), (images([[0, 0, 9]]), np.array([2]))]
    result = evaluate(Logits(), batches, tc.device(device))
    right, wrong = np.log(1 + 2 * np.exp(-9)), 9 + np.log(1 + 2 * np.exp(-9))
    assert (result.images, result.top1_hits, result.top5_hits) == (3, 2, 3)
    assert result.loss == pytest.approx((2 * right + wrong) / 3, rel=1e-6)  # float32 logits, summed in float64


def test_evaluate_averages_the_probabilities_of_crops(device):
    """Two crops vote weakly for class 1, one strongly for class 0: the mean of probabilities decides, not of votes."""
    crops = images([[5, 0, 0], [0, 0.1, 0], [0, 0.1, 0]])
    result = evaluate(Logits(), [(crops, np.array([0]))], tc.device(device), crops=3)
    probability = np.mean([np.exp(5) / (np.exp(5) + 2), *[1 / (np.exp(0.1) + 2)] * 2])
    assert (result.images, result.top1_hits) == (1, 1)
    assert result.loss == pytest.approx(-np.log(probability), rel=1e-6)


def test_evaluate_leaves_the_model_in_its_mode_and_drops_nothing_out(device):
    model = tc.nn.Sequential(tc.nn.Dropout(0.9), Logits())
    batch = (images([[1, 2, 3]] * 50), np.full(50, 2))
    assert evaluate(model, [batch], tc.device(device)).top1 == 1.0
    assert model.training


def test_results_of_any_batches_add_up():
    rng = np.random.default_rng(0)
    scores, labels = rng.standard_normal((30, 10)), rng.integers(0, 10, 30)
    whole, parts = Result(), Result()
    whole.add(1.5, scores, labels)
    for part in np.array_split(np.arange(30), 4):
        parts.add(1.5, scores[part], labels[part])
    assert (whole.top1, whole.top5, whole.loss) == (parts.top1, parts.top5, pytest.approx(parts.loss))
