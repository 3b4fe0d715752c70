"""Trainings that go wrong because of their rates, their weights or their loop."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from training_exam.case import Training, batches, digits, plain, sick
from training_exam.networks import Classifier, Decoder, conv_net, copying, mlp, residual_net

ce = F.cross_entropy


@sick("rate too large", why="SGD at a rate of 3 with momentum", source="LeCun et al. 1998, section 4.6")
def sgd_of_a_rate_of_three() -> Training:
    model = mlp((64, 64, 64, 10))
    return plain(model, torch.optim.SGD(model.parameters(), 3.0, momentum=0.9), batches(*digits()), ce)


@sick("rate too large", "units die", why="Adam at a rate of 0.5", source="a slip of the loop")
def adam_of_a_rate_of_a_half() -> Training:
    model = mlp((64, 64, 64, 10))
    return plain(model, torch.optim.Adam(model.parameters(), 0.5), batches(*digits()), ce)


@sick("rate too large", why="a schedule that multiplies the rate by 200 at step 100", source="a slip of the loop")
def schedule_that_jumps() -> Training:
    model = mlp((64, 64, 64, 10))
    optimizer = torch.optim.SGD(model.parameters(), 0.03, momentum=0.9)
    return plain(model, optimizer, batches(*digits()), ce, schedule=lambda i: 200.0 if i >= 100 else 1.0)


@sick("rate too large", why="post-norm blocks, Adam at 3e-2 and no warm-up", source="Xiong et al. 2020, section 3")
def post_norm_without_warm_up() -> Training:
    model = Decoder(12, blocks=3, pre=False)
    return plain(model, torch.optim.Adam(model.parameters(), 3e-2), copying(), ce, steps=120)


@sick("rate too large", "gradient explodes", why="a rate that grows by 6 % a step and has no end",
      source="Smith 2017, the range test")  # fmt: skip
def rate_that_grows_for_ever() -> Training:
    model = residual_net()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)
    return plain(model, optimizer, batches(*digits()), ce, schedule=lambda i: 1.06**i)


@sick("rate too small", why="SGD at 1e-6", source="a slip of the loop")
def sgd_of_a_millionth() -> Training:
    model = mlp((64, 64, 64, 10))
    return plain(model, torch.optim.SGD(model.parameters(), 1e-6), batches(*digits()), ce)


@sick("rate too small", why="Adam at 1e-8, a rate in the wrong unit", source="a slip of the loop")
def adam_of_a_rate_in_the_wrong_unit() -> Training:
    model = conv_net()
    return plain(model, torch.optim.Adam(model.parameters(), 1e-8), batches(*digits()), ce)


@sick("weights shrink", why="AdamW with a weight decay of 50", source="Loshchilov and Hutter 2019, figure 1")
def decay_of_fifty() -> Training:
    model = mlp((64, 64, 64, 10))
    return plain(model, torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=50.0), batches(*digits()), ce)


@sick("weights shrink", why="SGD with a weight decay of 0.5 in the optimizer's own term", source="a slip of the loop")
def decay_of_a_half() -> Training:
    model = mlp((64, 64, 64, 64, 10))
    return plain(model, torch.optim.SGD(model.parameters(), 0.05, weight_decay=0.5), batches(*digits()), ce)


@sick("gradients kept", why="the loop never calls zero_grad", source="a slip of the loop")
def gradients_that_are_never_cleared() -> Training:
    model, data = mlp((64, 64, 64, 10)), batches(*digits())
    optimizer = torch.optim.SGD(model.parameters(), 0.02)

    def step(_number: int) -> float:
        x, y = next(data)
        value = ce(model(x), y)
        value.backward()
        optimizer.step()
        return float(value.detach())

    return Training(model, optimizer, step, ce)


@sick("gradients kept", why="zero_grad of another optimizer is called", source="a slip of the loop")
def gradients_cleared_elsewhere() -> Training:
    model, other, data = conv_net(), nn.Linear(3, 3), batches(*digits())
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    wrong = torch.optim.Adam(other.parameters(), 1e-3)

    def step(_number: int) -> float:
        x, y = next(data)
        wrong.zero_grad()
        value = ce(model(x), y)
        value.backward()
        optimizer.step()
        return float(value.detach())

    return Training(model, optimizer, step, ce)


@sick("evaluation mode", why="model.train() is not called again behind the first validation",
      source="a slip of the loop")  # fmt: skip
def left_in_evaluation_mode() -> Training:
    model = conv_net()
    whole = plain(model, torch.optim.SGD(model.parameters(), 0.05, momentum=0.9), batches(*digits()), ce)

    def step(number: int) -> float:
        if number == 60:
            model.eval()
            with torch.no_grad():
                model(digits()[0][:100])
        return whole.step(number)

    return Training(model, whole.optimizer, step, ce)


@sick("weight stands still", why="the optimizer is given the head alone", source="a slip of the loop")
def optimizer_of_the_head_alone() -> Training:
    model = Classifier(mlp((64, 64, 64, 32)), 32)
    return plain(model, torch.optim.Adam(model.head.parameters(), 1e-3), batches(*digits()), ce)


@sick("weight stands still", why="the body's output is detached from step 80 on", source="a slip of the loop")
def body_that_is_cut_off_later() -> Training:
    model, data = Classifier(mlp((64, 64, 32)), 32), batches(*digits())
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    held = {"cut": False}
    model.body.register_forward_hook(lambda _m, _i, out: out.detach() if held["cut"] else out)

    def step(number: int) -> float:
        x, y = next(data)
        held["cut"] = number >= 80
        optimizer.zero_grad()
        value = ce(model(x), y)
        value.backward()
        optimizer.step()
        return float(value.detach())

    return Training(model, optimizer, step, ce)


@sick("always clipped", why="every gradient is clipped to a norm of 1e-4 before SGD",
      source="Pascanu, Mikolov and Bengio 2013")  # fmt: skip
def clipped_to_almost_nothing() -> Training:
    model = mlp((64, 64, 64, 10))
    return plain(model, torch.optim.SGD(model.parameters(), 0.05), batches(*digits()), ce, clip=1e-4)


@sick("loss scale falls", "not a number", why="fp16 activations overflow in every batch, so no step is ever taken",
      source="a slip of the loop")  # fmt: skip
def scale_that_falls_for_ever() -> Training:
    model, data = mlp((64, 64, 64, 10)), batches(*digits())
    with torch.no_grad():
        model[0].weight.mul_(400)
        model[2].weight.mul_(400)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    scaler = torch.amp.GradScaler("cpu")

    def step(_number: int) -> float:
        x, y = next(data)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.float16):
            value = ce(model(x), y)
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
        return float(value.detach())

    return Training(model, optimizer, step, ce, steps=120)
