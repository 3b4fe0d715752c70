"""A loop with accelerate: what prepare() returns is watched, gradients are seen before clipping."""

import torch
from accelerate import Accelerator
from torch import nn

import gainstage as gs
from gainstage.data import load

torch.manual_seed(0)
digits = load("digits", seed=0)
data = torch.utils.data.TensorDataset(torch.as_tensor(digits.x_train).float(), torch.as_tensor(digits.y_train))
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer, criterion = torch.optim.AdamW(model.parameters(), lr=1e-3), nn.CrossEntropyLoss()

accelerator = Accelerator(gradient_accumulation_steps=2)
loader = torch.utils.data.DataLoader(data, batch_size=32, shuffle=True)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)

with gs.watch(model, optimizer, loss=criterion) as watching:
    for x, y in loader:
        with accelerator.accumulate(model):
            accelerator.backward(criterion(model(x), y))
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
print(watching)
