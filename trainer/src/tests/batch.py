"""The references of batch.rs: torchvision's MixUp and CutMix, the losses of timm, Composer and PyTorch, and the learning rates of
torchvision's, pycls's and FFCV's training scripts. `reference.py` calls them.
"""

import importlib.util
import math
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.optim import lr_scheduler
from torchvision.transforms import v2


def timms_loss():
    """timm's BinaryCrossEntropy, from its file alone, since timm as a whole takes seconds to load."""
    timm = importlib.util.find_spec("timm")
    if timm is None:
        raise ImportError("this Python has no timm")
    path = Path(timm.origin).parent / "loss/binary_cross_entropy.py"
    spec = importlib.util.spec_from_file_location("timms_loss", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.BinaryCrossEntropy


BinaryCrossEntropy = timms_loss()


def mixed(draw, images, labels, classes):
    """Returns the images and their probabilities after torchvision's transform with the parameters that the trainer drew."""
    targets = F.one_hot(labels, classes).to(images.dtype)
    if draw["kind"] == "none":
        return images, targets
    transform = {"mixup": v2.MixUp, "cutmix": v2.CutMix}[draw["kind"]]()
    parameters = {"labels": targets, "batch_size": len(images), **draw["parameters"]}
    return transform.transform(images, parameters), transform.transform(targets, parameters)


def summed_loss(case, logits, targets):
    """Returns the loss of a recipe, summed over images. Targets are labels or probabilities."""
    smoothing, loss = case["label_smoothing"], case["loss"]
    if loss["name"] == "cross_entropy":
        return F.cross_entropy(logits, targets, reduction="sum", label_smoothing=smoothing)
    if targets.dim() == 2:
        # timm leaves this to its Mixup.
        targets = targets * (1 - smoothing) + smoothing / logits.shape[1]
    timms = BinaryCrossEntropy(smoothing, loss["target_threshold"], sum_classes=loss["sum_classes"])
    return timms(logits, targets) * len(logits)


def mix_case(case, inputs):
    images, targets = mixed(case["draw"], inputs["images"], inputs["labels"].long(), case["classes"])
    return {"images": images, "targets": targets}


def loss_case(case, inputs):
    logits = inputs["logits"].requires_grad_()
    targets = inputs["targets"].long() if inputs["targets"].dim() == 1 else inputs["targets"]
    if case["loss"]["name"] == "composer":
        # composer.loss.binary_cross_entropy_with_logits is the sum over classes, divided by the number of images.
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
    else:
        loss = summed_loss(case, logits, targets)
    loss.backward()
    return {"loss": loss, "gradient": logits.grad}


def torchvision_epoch_rates(base, epochs, warmup, start, final):
    """references/classification/train.py with --lr-warmup-method linear and --lr-scheduler cosineannealinglr."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=base)
    scheduler = lr_scheduler.SequentialLR(
        optimizer,
        [
            lr_scheduler.LinearLR(optimizer, start_factor=start, total_iters=warmup),
            lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs - warmup, eta_min=base * final),
        ],
        milestones=[warmup],
    )
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def pycls_epoch_rate(base, epoch, epochs, warmup, start, final, policy):
    """pycls/core/optimizer.py, get_epoch_lr, with OPTIM.LR_POLICY "cos" or "lin"."""
    lr = 0.5 * (1.0 + math.cos(math.pi * epoch / epochs)) if policy == "cos" else 1.0 - epoch / epochs
    lr = ((1.0 - final) * lr + final) * base
    if epoch < warmup:
        alpha = epoch / warmup
        lr *= start * (1.0 - alpha) + alpha
    return lr


def ffcv_rates(base, epochs, peak, steps):
    """ffcv-imagenet's get_cyclic_lr, interpolated over the steps of each epoch, from the peak on."""
    of_epoch = np.interp(np.arange(epochs + 1), [0, peak, epochs], [1e-4 * base, base, 0])
    return [
        rate
        for epoch in range(peak, epochs)
        for rate in np.interp(np.arange(steps), [0, steps], of_epoch[epoch : epoch + 2])
    ]


def schedule_case(case, inputs):
    """The learning rate of every step from `first` on."""
    base, epochs, warmup, steps = (case[key] for key in ("base", "epochs", "warmup", "steps_per_epoch"))
    if case["of"] == "ffcv":
        rates = ffcv_rates(base, epochs, warmup, steps)
    else:
        start, final = case["start"], case["final"]
        if case["of"] == "torchvision":
            of_epoch = torchvision_epoch_rates(base, epochs, warmup, start, final)
        else:
            policy = case["of"].removeprefix("pycls-")
            of_epoch = [
                pycls_epoch_rate(base, epoch, epochs, warmup, start, final, policy) for epoch in range(epochs)
            ]
        rates = np.repeat(of_epoch, steps)
    return {"rates": torch.tensor(np.array(rates), dtype=torch.float64)}


CASES = {"mix": mix_case, "loss": loss_case, "schedule": schedule_case}
