"""A loop that is written out: one line beside it checks the first batch and watches every step."""

import torch
from torch import nn

import gainstage as gs
from gainstage.data import load

torch.manual_seed(0)
digits = load("digits", seed=0)  # 8 by 8 pixels, ships with scikit-learn
data = torch.utils.data.TensorDataset(torch.as_tensor(digits.x_train).float(), torch.as_tensor(digits.y_train))
loader = torch.utils.data.DataLoader(data, batch_size=64, shuffle=True)
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer, criterion = torch.optim.Adam(model.parameters(), lr=1e-3), nn.CrossEntropyLoss()

with gs.watch(model, optimizer, loss=criterion) as watching:
    for _ in range(3):
        for x, y in loader:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
print(watching)
