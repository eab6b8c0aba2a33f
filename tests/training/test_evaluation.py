"""Top-1, top-5 and the loss, by numbers that one can check by hand."""

import numpy as np
import pytest

import tinyconv as tc
from tinyconv.training import Result, evaluate, top_k
from tinyconv.training.evaluation import log_softmax, mean_log_probability
from tinyconv.training.tally import Confusion, Tally, wilson


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


def test_scores_are_told_apart_in_float64():
    """Two logits that differ in their last bit are one score after a softmax in float32: a tie, and no hit."""
    logits = np.array([[20.0, np.nextafter(np.float32(20), np.float32(21)), 0]], np.float32)
    assert top_k(log_softmax(logits), np.array([1]), 1) == 1
    single = logits - np.log(np.exp(logits).sum())
    assert single.dtype == np.float32 and len(np.unique(log_softmax(logits))) == 3
    result = evaluate(Logits(), [(logits.reshape(1, 3, 1, 1), np.array([1]))], tc.device("reference"))
    assert result.top1_hits == 1


def test_the_softmax_of_large_logits():
    assert log_softmax(np.array([1000.0, 0.0])).tolist() == [0, -1000]
    assert np.exp(log_softmax(np.log([1.0, 2, 5]))) == pytest.approx([1 / 8, 2 / 8, 5 / 8])


def test_the_mean_is_of_probabilities():
    both = np.log([[[0.9, 0.1]], [[0.2, 0.8]]])
    assert np.exp(mean_log_probability(both, axis=0)) == pytest.approx(np.array([[0.55, 0.45]]))
    assert np.array_equal(mean_log_probability(both[:1], axis=0), both[0])
    nothing = np.array([[[-2000.0, 0]], [[-3000.0, 0]]])
    assert np.isfinite(mean_log_probability(nothing, axis=0)).all()


@pytest.mark.parametrize("right, n", [(0, 10), (10, 10), (5, 10), (1, 1), (1102, 2500), (49_999, 50_000)])
def test_wilson_beside_scipy(right, n):
    from scipy.stats import binomtest

    other = binomtest(right, n).proportion_ci(0.95, "wilson")
    assert wilson(right, n) == pytest.approx((other.low, other.high), abs=1e-12)


def test_wilson_of_no_share():
    for right, n in ((0, 0), (3, 2), (-1, 5)):
        with pytest.raises(ValueError, match=f"{right} of {n} is no share"):
            wilson(right, n)


def test_a_tally_by_hand():
    scores = np.log([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.5, 0.4], [0.2, 0.2, 0.6], [0.5, 0.4, 0.1]])
    labels = np.array([0, 1, 1, 2, 2])
    tally = Tally(3)
    tally.add_log_probability(scores[:3], labels[:3])
    tally.add_log_probability(scores[3:], labels[3:])
    assert tally.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 1]]
    assert tally.class_images.tolist() == [1, 2, 2] and tally.class_top1.tolist() == [1, 1, 1]
    assert (tally.images, tally.top1_hits, tally.top5_hits) == (5, 3, 5) and tally.class_top5.tolist() == [1, 2, 2]
    assert tally.loss == pytest.approx(-np.log([0.7, 0.3, 0.5, 0.6, 0.1]).mean())
    assert tally.confused(9) == [Confusion(1, 0, 1, 2), Confusion(2, 0, 1, 2)] and len(tally.confused(1)) == 1
    summary = tally.summary(["a", "b", "c"])
    assert summary["per_class"][1] == {"class": "b", "images": 2, "top5": summary["per_class"][1]["top5"], "top1": {
        "hits": 1, "share": 0.5, "low": wilson(1, 2)[0], "high": wilson(1, 2)[1]}}


def test_a_tie_is_a_wrong_guess_in_the_confusion_matrix_too():
    """Its diagonal always sums to the hits, whichever class argmax happens to name."""
    tally = Tally(4)
    tally.add_log_probability(np.log([[0.25] * 4, [0.1, 0.4, 0.4, 0.1], [0.1, 0.4, 0.4, 0.1]]), np.array([0, 1, 2]))
    assert tally.top1_hits == tally.confusion.trace() == 0
    assert tally.confusion.sum(axis=1).tolist() == [1, 1, 1, 0]
    assert tally.confusion[1].tolist() == [0, 0, 1, 0] and tally.confusion[2].tolist() == [0, 1, 0, 0]


def test_a_tally_of_random_scores_agrees_with_sorting():
    rng = np.random.default_rng(0)
    scores, labels = log_softmax(rng.standard_normal((200, 12))), rng.integers(0, 12, 200)
    tally = Tally(12)
    tally.add_log_probability(scores, labels)
    order = np.argsort(-scores, axis=1)
    assert tally.top1_hits == (order[:, 0] == labels).sum()
    assert tally.top5_hits == (order[:, :5] == labels[:, None]).sum()
    expected = np.zeros((12, 12), int)
    for truth, guess in zip(labels, order[:, 0], strict=True):
        expected[truth, guess] += 1
    assert np.array_equal(tally.confusion, expected)
    counts = [pair.count for pair in tally.confused(200)]
    assert counts == sorted(counts, reverse=True) and sum(counts) == 200 - tally.top1_hits


def test_scores_that_are_not_numbers_are_an_error_of_a_tally():
    tally = Tally(2)
    tally.add_log_probability(np.log([[0.5, 0.5]]), np.array([0]))
    with pytest.raises(ValueError, match="image 2 are not numbers"):
        tally.add_log_probability(np.array([[0.0, -9], [np.nan, 0]]), np.array([0, 0]))
    assert tally.images == 1 and tally.confusion.sum() == 1
