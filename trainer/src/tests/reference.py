"""Computes the cases of the parity tests with PyTorch.

usage: reference.py FOLDER

FOLDER/cases.json lists the cases. The inputs of case NAME are read from NAME.in.safetensors, and PyTorch's results are
written to NAME.out.safetensors. Exits with 77 if this Python lacks the right PyTorch.
"""

import json
import sys
from pathlib import Path

try:
    import torch
    from safetensors.torch import load_file, save_file
    from torch import nn
    from torch.nn import functional as F
except ImportError as error:
    print(error)
    sys.exit(77)

VERSION = "2.11."
NORM_MOMENTUM = 0.1


class Bottleneck(nn.Module):
    """1x1, 3x3 grouped, 1x1, each with BatchNorm; named as in pycls."""

    def __init__(self, w_in, w_out, stride, group_width, bottleneck_ratio, bias):
        super().__init__()
        w_b = round(w_out * bottleneck_ratio)
        self.a = nn.Conv2d(w_in, w_b, 1, bias=bias)
        self.a_bn = nn.BatchNorm2d(w_b, eps=1e-5, momentum=1.0)
        self.b = nn.Conv2d(w_b, w_b, 3, stride, padding=1, groups=w_b // group_width, bias=bias)
        self.b_bn = nn.BatchNorm2d(w_b, eps=1e-5, momentum=1.0)
        self.c = nn.Conv2d(w_b, w_out, 1, bias=bias)
        self.c_bn = nn.BatchNorm2d(w_out, eps=1e-5, momentum=1.0)

    def forward(self, x):
        x = torch.relu(self.a_bn(self.a(x)))
        x = torch.relu(self.b_bn(self.b(x)))
        return self.c_bn(self.c(x))


class Block(nn.Module):
    def __init__(self, w_in, w_out, stride, group_width, bottleneck_ratio, bias):
        super().__init__()
        self.f = Bottleneck(w_in, w_out, stride, group_width, bottleneck_ratio, bias)
        self.has_projection = w_in != w_out or stride != 1
        if self.has_projection:
            self.proj = nn.Conv2d(w_in, w_out, 1, stride, bias=bias)
            self.bn = nn.BatchNorm2d(w_out, eps=1e-5, momentum=1.0)

    def forward(self, x):
        shortcut = self.bn(self.proj(x)) if self.has_projection else x
        return torch.relu(self.f(x) + shortcut)


class Stem(nn.Module):
    def __init__(self, w_in, w_out, bias):
        super().__init__()
        self.conv = nn.Conv2d(w_in, w_out, 3, 2, padding=1, bias=bias)
        self.bn = nn.BatchNorm2d(w_out, eps=1e-5, momentum=1.0)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))


class Head(nn.Module):
    def __init__(self, w_in, classes):
        super().__init__()
        self.fc = nn.Linear(w_in, classes)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))


class AnyNet(nn.Sequential):
    def __init__(self, network):
        super().__init__()
        bias, width = network["conv_bias"], network["stem_width"]
        self.add_module("stem", Stem(network["in_channels"], width, bias))
        for number, stage in enumerate(network["stages"], 1):
            blocks = nn.Sequential()
            for block in range(stage["depth"]):
                shape = (stage["width"], stage["stride"] if block == 0 else 1)
                blocks.add_module(
                    f"b{block + 1}", Block(width, *shape, stage["group_width"], stage["bottleneck_ratio"], bias)
                )
                width = stage["width"]
            self.add_module(f"s{number}", blocks)
        self.add_module("head", Head(width, network["classes"]))


def with_prefix(tensors, prefix):
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def model_of(case, inputs):
    """Returns the case's network with the trainer's parameters and statistics, in the case's dtype and memory format."""
    model = AnyNet(case["network"]).to(getattr(torch, case["dtype"]))
    given = with_prefix(inputs, "parameter.")
    assert set(given) == {name for name, _ in model.named_parameters()}, "the same parameters"
    given.update(with_prefix(inputs, "statistic."))
    unknown = model.load_state_dict(given, strict=False).unexpected_keys
    assert not unknown, unknown
    return model.to(memory_format=getattr(torch, case["memory_format"])).train()


def logits_of(case, model, images):
    with torch.autocast("cpu", torch.bfloat16, enabled=case["autocast"]):
        return model(images).to(images.dtype)


def statistics(model):
    return {name: buffer.clone() for name, buffer in model.named_buffers() if "running" in name}


def results(**groups):
    return {f"{group}.{name}": tensor for group, named in groups.items() for name, tensor in named.items()}


def network_case(case, inputs):
    """Computes one batch forward in evaluation mode, then forward and backward in training mode."""
    model = model_of(case, inputs)
    images = inputs["images"].to(memory_format=getattr(torch, case["memory_format"]))
    labels = inputs["labels"].long()
    with torch.no_grad():
        evaluation = logits_of(case, model.eval(), images)
    logits = logits_of(case, model.train(), images)
    loss = F.cross_entropy(logits, labels, reduction="sum", label_smoothing=case["label_smoothing"])
    (loss / len(labels)).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    scalars = {"evaluation_logits": evaluation, "logits": logits, "loss": loss}
    return {**scalars, **results(gradient=gradients, statistic=statistics(model))}


def freeze(model, stages):
    """Freezes the first stages, and with them the stem: evaluation mode, no gradient."""
    for name in ["stem", *(f"s{number + 1}" for number in range(stages))] if stages else []:
        model.get_submodule(name).eval().requires_grad_(False)


def optimizer_of(optim, named):
    """Returns the optimizer with a group for each decay and learning rate."""
    groups = {}
    for name, parameter in named.items():
        is_norm = name.rpartition(".")[0].endswith("bn")
        kind = "_norm" if is_norm else "_bias" if name.endswith(".bias") else ""
        lr = optim["head_lr"] if name.startswith("head.fc.") else optim["constants"]["lr"]
        if parameter.requires_grad:
            groups.setdefault((optim[f"weight_decay{kind}"], lr), []).append(parameter)
    groups = [{"params": of, "weight_decay": decay, "lr": lr} for (decay, lr), of in groups.items()]
    return getattr(torch.optim, optim["name"])(groups, **optim["constants"])


def state_of(optimizer, named):
    states = {}
    for name, parameter in named.items():
        for key, value in optimizer.state.get(parameter, {}).items():
            if key != "step" and value is not None:
                states[f"{key.removesuffix('_buffer')}.{name}"] = value
    return states


def optimizer_case(case, inputs):
    """Makes an optimizer step with each of the recorded gradients."""
    named = {name: nn.Parameter(tensor) for name, tensor in with_prefix(inputs, "parameter.").items()}
    optimizer = optimizer_of(case["optim"], named)
    factors = [group["lr"] / case["optim"]["constants"]["lr"] for group in optimizer.param_groups]
    for number, lr in enumerate(case["lrs"]):
        for group, factor in zip(optimizer.param_groups, factors):
            group["lr"] = lr * factor
        for name, parameter in named.items():
            parameter.grad = inputs[f"gradient.{number}.{name}"]
        optimizer.step()
    return results(parameter=named, state=state_of(optimizer, named))


def images_of(case, inputs):
    """Returns the trainer's images if it provides them, else computes them from the bytes in float64."""
    if "images" in inputs:
        images = inputs["images"]
    else:
        images = inputs["bytes_nhwc"].permute(0, 3, 1, 2) / 255
        mean, std = (torch.tensor(case[key], dtype=torch.float64).view(1, -1, 1, 1) for key in ("mean", "std"))
        side = (case["resolution_px"], case["resolution_px"])
        images = F.interpolate((images - mean) / std, side, mode="bilinear", align_corners=False)
    return images.to(memory_format=getattr(torch, case["memory_format"]))


def step_case(case, inputs):
    """Computes a complete training step over several micro-batches."""
    import batch

    model = model_of(case, inputs)
    freeze(model, case["frozen_stages"])
    named = dict(model.named_parameters())
    average = {name: parameter.detach().clone() for name, parameter in named.items()}
    images, labels = images_of(case, inputs), inputs["labels"].long()
    mean_statistics = {name: torch.zeros_like(tensor) for name, tensor in statistics(model).items()}
    loss_sum, hits = 0.0, torch.zeros(())
    micro_batches = zip(images.split(case["micro_batches"]), labels.split(case["micro_batches"]))
    for (x, y), draw in zip(micro_batches, case["draws"]):
        if draw is not None:
            x, y = batch.mixed(draw, x, y, case["network"]["classes"])
        logits = model(x)
        loss = batch.summed_loss(case, logits, y)
        (loss / len(images)).backward()
        hits += (logits.argmax(1) == (y.argmax(1) if y.dim() == 2 else y)).sum()
        loss_sum += loss.detach()
        for name, tensor in statistics(model).items():
            mean_statistics[name] += tensor * len(x) / len(images)

    norm = nn.utils.clip_grad_norm_(named.values(), case["clip_grad_norm"])
    assert norm > case["clip_grad_norm"], "the case clips"
    optimizer = optimizer_of(case["optim"], named)
    optimizer.step()
    running = {
        name: (1 - NORM_MOMENTUM) * before + NORM_MOMENTUM * mean_statistics[name]
        for name, before in with_prefix(inputs, "statistic.").items()
    }
    decay = case["ema_decay"]
    average = {name: decay * average[name] + (1 - decay) * named[name].detach() for name in named}
    average |= {
        name: decay * before + (1 - decay) * running[name] for name, before in with_prefix(inputs, "statistic.").items()
    }
    states = state_of(optimizer, named)
    scalars = {"loss": loss_sum, "hits": hits}
    return {**scalars, **results(parameter=named, state=states, statistic=running, ema=average)}


def batch_case(case, inputs):
    """Computes a case of batch.rs. The module takes a second to load, so only the test that needs it does."""
    import batch

    return batch.CASES[case["task"]](case, inputs)


class ExponentialMovingAverage(torch.optim.swa_utils.AveragedModel):
    """As in torchvision's references/classification/utils.py."""

    def __init__(self, model, decay):
        def ema_avg(averaged, value, _):
            return decay * averaged + (1 - decay) * value

        super().__init__(model, "cpu", ema_avg, use_buffers=True)


def average_case(case, inputs):
    """Averages the recorded weights as torchvision's references/classification/train.py does."""
    model = model_of(case, inputs)
    interval = case["ema_interval_steps"]
    adjust = case["global_batch_size"] * interval / case["epochs"]
    average = ExponentialMovingAverage(model, 1 - min(1, (1 - case["ema_decay"]) * adjust))
    for epoch in range(case["epochs"]):
        for step in range(case["steps_per_epoch"]):
            model.load_state_dict(with_prefix(inputs, f"{epoch}.{step}."), strict=False)
            if step % interval == 0:
                average.update_parameters(model)
                if epoch < case["warmup_epochs"]:
                    average.n_averaged.fill_(0)
    averaged = average.module.state_dict().items()
    return results(ema={name: tensor for name, tensor in averaged if tensor.is_floating_point()})


def precise_case(case, inputs):
    """Averages the statistics of each batch, whose momentum is 1, as pycls's compute_precise_bn_stats, by number of images."""
    model = model_of(case, inputs)
    images = inputs["images"]
    mean = {name: torch.zeros_like(tensor) for name, tensor in statistics(model).items()}
    with torch.no_grad():
        for x in images.split(case["batch_size"]):
            model(x)
            for name, tensor in statistics(model).items():
                mean[name] += tensor * len(x) / len(images)
    return results(statistic=mean)


def main():
    if not torch.__version__.startswith(VERSION):
        print(f"torch {torch.__version__} is not {VERSION}x, the trainer's")
        sys.exit(77)
    folder = Path(sys.argv[1])
    for case in json.loads((folder / "cases.json").read_text()):
        torch.set_num_threads(case["threads"])
        inputs = load_file(folder / f"{case['name']}.in.safetensors")
        outputs = TASKS.get(case["task"], batch_case)(case, inputs)
        dense = {name: tensor.detach().contiguous() for name, tensor in outputs.items()}
        save_file(dense, folder / f"{case['name']}.out.safetensors")
    print("computed", flush=True)


TASKS = {
    "network": network_case,
    "optimizer": optimizer_case,
    "step": step_case,
    "average": average_case,
    "precise": precise_case,
}

if __name__ == "__main__":
    try:
        main()
    except ImportError as error:
        print(error)
        sys.exit(77)
