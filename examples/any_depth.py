"""A plain network of any depth, with no normalisation and no skips, trains from ``gs.initialize(model, x=x)``.

python examples/any_depth.py 1000
"""

from __future__ import annotations

import sys

import torch
from torch import nn

import gainstage as gs
from gainstage.data import load

WIDTH, STEPS, RATE = 32, 150, 3e-5


def plain(depth: int, inputs: int, classes: int) -> nn.Sequential:
    """So many hidden layers of relu."""
    hidden = [m for _ in range(depth - 1) for m in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, WIDTH), nn.ReLU(), *hidden, nn.Linear(WIDTH, classes))


def main(depth: int = 1000, steps: int = STEPS) -> float:
    """Train on scikit-learn's digits; the accuracy on the images that were held back."""
    torch.manual_seed(0)
    digits = load("digits", seed=0)
    x, y = torch.as_tensor(digits.x_train), torch.as_tensor(digits.y_train)
    model = plain(depth, digits.features, digits.classes)
    gs.initialize(model, x=x[:256])
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for _ in range(steps):
        batch = torch.randint(len(x), (64,))
        loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        found = model(torch.as_tensor(digits.x_validation)).argmax(1).numpy()
    accuracy = float((found == digits.y_validation).mean())
    print(
        f"{depth} layers, {steps} steps of Adam at {RATE:g}: accuracy {accuracy:.3f}, training loss {loss.item():.3f}"
    )
    return accuracy


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
