"""How far a step moves the weights, layer by layer: the quickest way to see a learning rate that is far off."""

from __future__ import annotations

from ..nn import Module
from ..optim import SGD, total_norm


def update_ratios(model: Module, optimizer: SGD) -> dict[str, float | None]:
    """Layer -> |update| / |weights|, Euclidean norms, of the step just done; about 1e-3 is usual.

    The update is the velocity: w <- w + v.  Only weights count, and not biases, which begin at 0 or at 1.  None where
    all weights are 0.  Waits for the devices, so call it now and then only."""
    velocity = {id(p): v for group, velocities in zip(optimizer.groups, optimizer.velocity, strict=True)
                for p, v in zip(group["params"], velocities, strict=True)}
    weights = [(name, p) for name, p in model.named_parameters() if p.ndim > 1 and id(p) in velocity]
    ratios: dict[str, float | None] = {}
    for name, p in weights:
        norm = total_norm([p])
        ratios[name.removesuffix(".weight")] = total_norm([velocity[id(p)]]) / norm if norm else None
    return ratios
