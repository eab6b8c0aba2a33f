"""A network of one's own on two devices, trained on clothes: python examples/two_devices.py --devices cpu:0 cpu:1

Two towers look at every image; before their second convolution and before the output they hear each other.  Say
--devices cpu to run both on one device: the loss is the same, to the last bit.
"""

import argparse
import time
from itertools import count, islice

import tinyconv as tc
import tinyconv.functional as F
from tinyconv.data import Loader, TrainTransform, open_data
from tinyconv.nn import Conv2d, Flatten, Linear, MaxPool2d, Module, ReLU, Sequential
from tinyconv.parallel import exchange


def column(device):
    """A tower: layers that live on one device.  Its second stage sees 2 x 32 channels, its own and the other's."""
    return Sequential({
        "lower": Sequential(Conv2d(3, 32, 5, padding=2, device=device), ReLU(), MaxPool2d(2)),
        "upper": Sequential(Conv2d(64, 64, 3, padding=1, device=device), ReLU(), MaxPool2d(2), Flatten())})


class Network(Module):
    def __init__(self, devices, classes):
        self.devices = [tc.device(name) for name in devices]
        self.left, self.right = column(devices[0]), column(devices[1])
        self.output = Linear(2 * 64 * 7 * 7, classes, device=devices[0])

    def forward(self, x):
        here, there = (x.to(device) for device in self.devices)  # first the copy, then the work
        here, there = exchange([self.left.lower(here), self.right.lower(there)], self.devices)
        (both,) = exchange([self.left.upper(here), self.right.upper(there)], self.devices[:1])
        return self.output(both)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", nargs="+", default=["cpu:0", "cpu:1"], help="one, or one for each tower")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--timeline", default="two_devices.png", help="picture of the last step (default: %(default)s)")
    args = parser.parse_args()
    if len(args.devices) > 2 or args.steps < 1:
        parser.error("one or two devices, and at least one step")

    tc.manual_seed(0)
    data = open_data(None, ".")  # the embedded Fashion-MNIST
    model = Network((args.devices * 2)[:2], len(data.classes))
    print(tc.nn.summary(model, (128, 3, 28, 28)))
    optimizer = tc.optim.SGD(model.parameters(), lr=0.02)
    transform = TrainTransform(32, 28, data.mean, data.std)
    loader = Loader(data.split("train"), 128, transform, shuffle=True, seed=0, empty=model.devices[0].staging)

    def step(images, labels):
        loss = F.cross_entropy(model(tc.tensor(images, model.devices[0])), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    begin = time.perf_counter()
    batches = (batch for epoch in count() for batch in loader.epoch(epoch))
    for i, batch in enumerate(islice(batches, args.steps), start=1):
        loss = step(*batch)
        if i % 20 == 0 or i == args.steps:  # only here does the program wait for the devices
            print(f"step {i}: loss {loss.item():.4f}, {i * 128 / (time.perf_counter() - begin):.0f} images/s")
    with tc.timeline() as timeline:
        step(*batch)
    timeline.save(args.timeline)
    print(f"{timeline}\nsee {args.timeline}")


if __name__ == "__main__":
    main()
