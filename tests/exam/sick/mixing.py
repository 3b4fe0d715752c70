"""Examples of a batch that influence each other where they must not."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, sick
from exam.problems import digits, features, misclassified, prices, recall, series, sizes_of

FAMILY = "examples influence each other"


def one_by_one(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Error when every example is met alone, as in use."""
    return misclassified(torch.cat([model(x[i : i + 1]) for i in range(len(x))]), y)


@sick(
    "examples-mix",
    family=FAMILY,
    cause="the log-softmax runs over axis 0, the batch, instead of over the classes",
    place=("head",),
    link="https://github.com/fxia22/pointnet.pytorch/issues/27",
)
def log_softmax_over_the_batch(seed: int, cured: bool) -> Case:
    class PointNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = nn.Conv1d(3, 24, 1), nn.Conv1d(24, 32, 1)
            self.head = nn.Linear(32, 3)

        def forward(self, points: Tensor) -> Tensor:
            x = F.relu(self.conv2(F.relu(self.conv1(points.transpose(1, 2))))).amax(2)
            return F.log_softmax(self.head(x), dim=1 if cured else 0)

    x, y = sizes_of(seed)
    return Case(PointNet(), x, y, F.nll_loss, adam(1e-2), evaluate=one_by_one, steps=60)


@sick(
    "examples-mix",
    family=FAMILY,
    cause="the transformer layer expects (time, batch, width) and gets (batch, time, width): it attends over "
    "the examples",
    place=("encoder",),
    link="https://github.com/Exorust/TorchLeet/issues/5",
)
def attention_over_the_batch(seed: int, cured: bool) -> Case:
    class Regressor(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(3, 16)
            layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=cured)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.out = nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.encoder(self.embed(x))[:, -1])

    x, y = recall(seed, length=8)
    return Case(Regressor(), x, y, F.cross_entropy, adam(3e-3), evaluate=one_by_one, steps=60)


@sick(
    "examples-mix",
    family=FAMILY,
    cause="the recurrence lacks batch_first: it runs from one example of the batch to the next",
    place=("lstm",),
    link="https://github.com/AndersonJo/dqn-pytorch/issues/1",
)
def recurrence_over_the_batch(seed: int, cured: bool) -> Case:
    class QNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 24, 1, batch_first=cured)
            self.advantage, self.value = nn.Linear(24, 3), nn.Linear(24, 1)

        def forward(self, x: Tensor) -> Tensor:
            h = self.lstm(x)[0][:, -1]
            a = self.advantage(h)
            return self.value(h) + a - a.mean(1, keepdim=True)

    x, y = recall(seed, length=10)
    return Case(QNetwork(), x, y, F.cross_entropy, adam(1e-2), evaluate=one_by_one, steps=80)


@sick(
    "examples-mix",
    family=FAMILY,
    cause="time-first states are brought back with view, which deals the time steps of one example to several",
    place=("gru",),
    link="https://github.com/Jingkang50/OpenPSG/issues/56",
)
def view_where_a_transpose_is_meant(seed: int, cured: bool) -> Case:
    class Forecaster(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.out = nn.GRU(1, 16), nn.Linear(16, 1)

        def forward(self, x: Tensor) -> Tensor:
            n, t, _ = x.shape
            h, _ = self.gru(x.transpose(0, 1))
            h = h.transpose(0, 1) if cured else h.view(n, t, 16)
            return self.out(h[:, -1])

    x, y = series(seed)
    return Case(Forecaster(), x, y, F.mse_loss, adam(1e-2), steps=80)


@sick(
    "examples-mix",
    family=FAMILY,
    cause="attention between objects flattens batch and objects into one axis, so that every image looks at all others",
    place=("attend",),
    link="https://github.com/om-ai-lab/OmDet/issues/19",
)
def one_attention_over_all_images(seed: int, cured: bool) -> Case:
    class Relations(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch = nn.Linear(8, 16)
            self.attend = nn.MultiheadAttention(16, 2, batch_first=True)
            self.classify = nn.Linear(16, 10)

        def forward(self, image: Tensor) -> Tensor:
            rows = self.patch(image.squeeze(1))
            n = len(rows)
            if not cured:
                rows = rows.reshape(1, n * 8, 16)
            rows = rows + self.attend(rows, rows, rows, need_weights=False)[0]
            return self.classify(rows.reshape(n, 8, 16).mean(1))

    x, y = digits(seed, 64)
    return Case(Relations(), x, y, F.cross_entropy, adam(5e-3), evaluate=one_by_one, steps=60)


@sick(
    "examples-mix",
    family=FAMILY,
    cause="the weights of a gate are normalised over the examples of the batch instead of over the features",
    place=("score",),
    link="https://github.com/ethanfetaya/NRI/issues/25",
)
def softmax_pooling_over_all_examples(seed: int, cured: bool) -> Case:
    class Pooling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.score, self.value = nn.Linear(8, 12), nn.Linear(8, 12)
            self.out = nn.Linear(12, 1)

        def forward(self, x: Tensor) -> Tensor:
            weight = self.score(x).softmax(1 if cured else 0)
            return self.out(torch.tanh(weight * self.value(x) * 12))

    x, y = prices(seed)

    def evaluate(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        alone = torch.cat([model(x[i : i + 1]) for i in range(len(x))])
        return F.mse_loss(alone, y)

    return Case(Pooling(), x, y, F.mse_loss, adam(1e-2), evaluate=evaluate, steps=120)


@sick(
    "norm-batch-of-one",
    family="normalisation",
    cause="a batch norm of one's own meets a batch of one: the unbiased deviation over one example is not a number",
    place=("bn",),
    link="https://github.com/karpathy/makemore/issues/22",
)
def own_batch_norm_on_one_example(seed: int, cured: bool) -> Case:
    class BatchNorm1d(nn.Module):
        def __init__(self, d: int) -> None:
            super().__init__()
            self.gamma, self.beta = nn.Parameter(torch.ones(d)), nn.Parameter(torch.zeros(d))

        def forward(self, x: Tensor) -> Tensor:
            return self.gamma * (x - x.mean(0)) / torch.sqrt(x.var(0) + 1e-5) + self.beta

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.bn, self.out = nn.Linear(16, 32), BatchNorm1d(32), nn.Linear(32, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(torch.tanh(self.bn(self.fc(x))))

    x, y = features(seed)
    if not cured:
        x, y = x[:1], y[:1]
    return Case(Model(), x, y, F.cross_entropy, adam(1e-2), steps=40)


@sick(
    "norm-removes-signal",
    family="normalisation",
    cause="instance normalisation behind global pooling has one value a channel and returns zero for every input",
    place=("norm",),
    link="https://github.com/pytorch/pytorch/issues/45687",
)
def instance_norm_of_single_values(seed: int, cured: bool) -> Case:
    class Style(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 24, 3, padding=1)
            self.norm = nn.LayerNorm(24) if cured else nn.GroupNorm(24, 24)
            self.out = nn.Linear(24, 10)

        def forward(self, x: Tensor) -> Tensor:
            pooled = F.relu(self.conv(x)).mean((2, 3))
            return self.out(self.norm(pooled))

    x, y = digits(seed)
    return Case(Style(), x, y, F.cross_entropy, adam(1e-2), misclassified, steps=100)
