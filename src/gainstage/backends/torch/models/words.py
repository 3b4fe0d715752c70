"""The code and words that PyTorch users write, by the meanings that causes and remedies name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["words"]


def words() -> Mapping[str, str]:
    """The words by their meaning; values in braces are filled in.

    >>> words()["a layer of units"].format(units=10)
    'nn.Linear(features, 10)'
    """
    return _WORDS


_WORDS: Mapping[str, str] = MappingProxyType(
    {
        # losses
        "a cross-entropy on logits, of class numbers": "loss = torch.nn.CrossEntropyLoss()",
        "a cross-entropy on logits, of shares": "loss = torch.nn.CrossEntropyLoss()",
        "a binary loss on logits": "loss = torch.nn.BCEWithLogitsLoss()",
        "a loss of log-probabilities": "loss = torch.nn.NLLLoss()",
        "a squared error": "loss = torch.nn.functional.mse_loss(output, target)",
        "a divergence of probabilities": (
            "loss = torch.nn.functional.kl_div(torch.log_softmax(logits, dim=-1), target, reduction='batchmean')"
        ),
        "a loss of equal shapes": "loss = loss_function(output.reshape(target.shape), target)",
        "output and target of one shape": "output = output.squeeze(-1)",
        # the output layer
        "a layer of units": "nn.Linear(features, {units})",
        "one sigmoid a label": "loss = torch.nn.BCEWithLogitsLoss()",
        "one unit with a sigmoid": "loss = torch.nn.BCEWithLogitsLoss()",
        "the last layer without its activation": "# remove the {function} behind the last layer",
        "no softmax before a loss that applies it": "# remove nn.Softmax(dim=1): nn.CrossEntropyLoss applies it",
        "no sigmoid before a loss that applies it": "# remove the sigmoid: nn.BCEWithLogitsLoss applies it",
        "no sigmoid before a softmax": "# remove the sigmoid: nn.CrossEntropyLoss takes logits",
        "a softmax instead of a sigmoid": "torch.softmax(logits, dim=-1)  # instead of torch.sigmoid(logits)",
        "an output bias of class shares": "model.head.bias.data = torch.log(shares)",
        # layers
        "a relu instead of a softmax": "nn.ReLU()  # instead of nn.Softmax(...)",
        "a softplus instead of an exponential": "torch.nn.functional.softplus(h)  # instead of torch.exp(h)",
        "a normalisation within the example": "nn.GroupNorm(32, channels)",
        "a scale of one": "torch.nn.init.ones_(norm.weight)",
        "an operation along the units": "nn.Softmax(dim=-1)  # or batch_first=True",
        "a dropout of this rate": "nn.Dropout({rate})",
        # signals
        "an activation between layers": "nn.ReLU()  # between the layers",
        "the loss on logits of positions": "loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels)",
        "a shuffled data set": "loader = DataLoader(data, batch_size=64, shuffle=True)",
        "labels that are shifted": "loss = cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:])",
        "a dropout in front of the last layer": "# move nn.Dropout in front of the last nn.Linear",
        "a model in training mode": "model.train()",
        "a function that stays in tensors": (
            "h = torch.relu(self.a(x))  # without .numpy(), .item() or torch.tensor(...)"
        ),
        "axes exchanged, not folded anew": "x = x.transpose(1, 2)  # instead of x.view(...) or x.reshape(...)",
        "scores over the root of their length": "scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])",
        "attention weights of unbounded scores": "weights = scores.softmax(dim=-1)  # without the sigmoid",
        "scaled cosines": "logits = scale * F.normalize(h) @ F.normalize(w).T",
        "an output scaled into a range": "prediction = low + (high - low) * torch.sigmoid(output)",
        "two terms of one reduction": ('loss = F.mse_loss(x, y, reduction="sum") / len(x) + divergence.sum() / len(x)'),
        # what trains
        "a frozen part": "part.requires_grad_(False)",
        "a model that trains": "model.requires_grad_(True)",
        "an output that gradients pass": "output = model(x)  # outside torch.no_grad(), without .detach() or .item()",
        "why some gradients are cut": (
            "The way back is cut: detach, no_grad, .data, or a conversion to whole numbers stands in between."
        ),
        "why all gradients are cut": (
            "The way back is cut for all of them: the forward pass runs under no_grad or inference_mode, or the output "
            "is detached, converted to NumPy or to whole numbers before the loss."
        ),
        "layers that are registered": "self.layers = nn.ModuleList(layers)",
        "why weights are not registered": (
            "They are held in a plain list, dict or attribute, which the model does not search for parameters."
        ),
        # the optimizer
        "an optimizer of what is to train": (
            "optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)"
        ),
        "decay for matrices alone": (
            "decay = [p for p in model.parameters() if p.dim() > 1]\n"
            "other = [p for p in model.parameters() if p.dim() <= 1]\n"
            "optimizer = torch.optim.{name}([{{'params': decay}}, {{'params': other, 'weight_decay': 0.0}}])"
        ),
        "a frozen base": "model.requires_grad_(False)  # before adapters are added",
        "random numbers in training alone": "x = torch.nn.functional.dropout(x, 0.1, training=self.training)",
        "a check of a gradient": "torch.autograd.gradcheck(function, inputs.double().requires_grad_())",
        "experts in balance": "loss = loss + 0.01 * experts * (share_of_tokens * mean_probability).sum()",
        "time constants over the sequence": "A_log = torch.log(torch.arange(1, states + 1).float())",
        "outputs and targets side by side": "print(model(x)[:4], y[:4])",
        "the optimizer at this rate": "optimizer = torch.optim.{name}(model.parameters(), lr={rate})",
        "the optimizer made anew at this rate": "optimizer = torch.optim.{name}(model.parameters(), lr={rate})",
        "the optimizer made anew": "optimizer = torch.optim.{name}(model.parameters())",
        "an optimizer of small weight decay": "optimizer = torch.optim.{name}(model.parameters(), weight_decay=0.01)",
        "an optimizer that minimises": "optimizer = torch.optim.{name}(model.parameters(), maximize=False)",
        "an optimizer of this momentum": "optimizer = torch.optim.{name}(model.parameters(), momentum={momentum})",
        "an optimizer of these betas": "optimizer = torch.optim.{name}(model.parameters(), betas=({first}, {second}))",
        "another learning rate": "# choose another learning rate",
        # a training while it runs
        "a gradient clipped to a norm": "torch.nn.utils.clip_grad_norm_(model.parameters(), {norm})",
        "a start at the right level": "gs.initialize(model, x=x)",
        "examples that are finite": "keep = torch.isfinite(x).flatten(1).all(1)  # the examples to train on",
        "a step that is skipped for a loss beyond all others": "if loss.item() < 10 * usual_loss: loss.backward()",
        "targets of a slow copy": "target = slow_copy(x).detach()  # slow_copy = copy.deepcopy(model), renewed",
        "an activation without a flat side": "nn.GELU()",
        "a target without a gradient": "target = projector(other_view).detach()",
        "gradients that are cleared": "optimizer.zero_grad()",
        "a format of a larger range": 'with torch.autocast("cuda", torch.bfloat16): loss = loss_function(model(x), y)',
        # numbers
        "a scaled loss": 'scaler = torch.amp.GradScaler("cuda")',
        "half precision for computing alone": "model.float()  # and torch.autocast",
        "a guarded logarithm": "torch.log(x.clamp(min=1e-12))",
        "a guarded exponential": "torch.exp(x.clamp(max=80))",
        "a guarded root": "torch.sqrt(x.clamp(min=1e-12))",
        "a guarded inverse root": "torch.rsqrt(x + 1e-6)",
        "a guarded reciprocal": "1 / x.clamp(min=1e-12)",
        "a guarded power": "x.clamp(min=1e-12).pow(p)",
        "a search for the line": "torch.autograd.set_detect_anomaly(True)  # names the line",
    }
)
