"""A plain loop with arguments of its own."""

import argparse
import sys

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=12)
parser.add_argument("--end", default="")
parser.add_argument("--rate", type=float, default=0.05)
asked = parser.parse_args()
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=asked.rate)
x = torch.randn(64, 8)
y = x[:, :1] * 0.5
for _ in range(asked.steps):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
print("weights", [round(float(p.double().sum()), 12) for p in model.parameters()])
if asked.end == "raise":
    raise RuntimeError("the disk is full")
if asked.end:
    sys.exit(int(asked.end))
