"""An encoder and a decoder that no module holds, and one optimizer of both."""

import itertools

import torch
from torch import nn

torch.manual_seed(0)
encoder, decoder = nn.Sequential(nn.Linear(8, 4), nn.Tanh()), nn.Linear(4, 8)
optimizer = torch.optim.Adam(itertools.chain(encoder.parameters(), decoder.parameters()), 1e-3)
for _ in range(8):
    x = torch.randn(32, 8)
    optimizer.zero_grad()
    (decoder(encoder(x)) - x).square().mean().backward()
    optimizer.step()
