"""The same loop with its numbers in TensorBoard, and in anything else that has log(values, step)."""

import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

import gainstage as gs
from gainstage.data import load

torch.manual_seed(0)
digits = load("digits", seed=0)
x, y = torch.as_tensor(digits.x_train).float(), torch.as_tensor(digits.y_train)
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss()


def log(values, step):  # wandb.init(), mlflow, trackio.init() and aim.Run() can stand here as they are
    if "gainstage/loss" in values and step % 10 == 0:
        print(f"step {step}: loss {values['gainstage/loss']:.3f}, gradient {values['gainstage/gradient']:.3f}")


with SummaryWriter("runs") as writer, gs.watch(model, optimizer, loss=criterion, to=[writer, log]):
    for _ in range(30):
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()
