"""The training steps that are compared: the same network, the same weights, the same losses."""

import numpy as np
import pytest

import tinyconv as tc
from benchmarks import step

# The smallest images but a few; for "paper", one that leaves conv1's last windows partly empty: (68 - 11) % 4 = 1.
SIZES = {"paper": 68, "caffe": 67, "torchvision": 63, step.STACK: 32}


@pytest.mark.parametrize("tuned", [False, True], ids=["as installed", "tuned"])
@pytest.mark.parametrize("variant", SIZES)
def test_both_sides_lose_alike(variant, tuned):
    """Dropout off: the losses before each step agree, so forward, backward and update do."""
    pytest.importorskip("torch")
    ours = step.tinyconv_step(variant, 2, SIZES[variant], dropout=False)
    state = ours.model.state_dict()
    theirs = step.torch_step(variant, 2, SIZES[variant], dropout=False, state=state, channels_last=tuned,
                             fused=tuned)
    losses = [(ours.run(), theirs.run()) for _ in range(3)]
    # float32 through eight layers and two updates; the losses are about 7 and fall by 1e-5 and more a step
    np.testing.assert_allclose(*zip(*losses, strict=True), rtol=2e-6)
    assert losses[2][0] < losses[0][0]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("variant", SIZES)
def test_both_sides_infer_alike(variant, channels_last):
    pytest.importorskip("torch")
    ours = step.tinyconv_inference(variant, 2, SIZES[variant]).run()
    theirs = step.torch_inference(variant, 2, SIZES[variant], channels_last).run()
    # sums of up to 9216 float32 products in another order, through up to thirteen layers
    assert ours.shape == theirs.shape and np.abs(ours - theirs).max() <= 2e-5 * np.abs(theirs).max()


@pytest.mark.parametrize("variant, multiply_accumulates", [
    # thrice 724,406,816 less the input gradient of conv1, 105,415,200; torchvision's: 714,188,480 and 70,276,800
    ("caffe", 3 * 724_406_816 - 105_415_200), ("torchvision", 3 * 714_188_480 - 70_276_800)])
def test_operations_of_a_step_by_hand(variant, multiply_accumulates):
    model = tc.models.alexnet(variant)
    assert step.flops(model, 2, step.VARIANTS[variant]) == 2 * 2 * multiply_accumulates
