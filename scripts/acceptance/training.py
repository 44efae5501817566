"""Checks that a recipe trains: to an accuracy, with a loss scale, with rounded sums, for thousands of steps."""

import math

from .jobs import FASHION, Failed, Jobs, checkpoint, lines, state


def fashion_mnist(jobs: Jobs, precision: str, backend: str) -> str:
    run = jobs.train(
        f"fashion-{precision}", FASHION, "train.epochs=2", f'train.precision="{precision}"', f'comm.backend="{backend}"',
        "train.micro_batch_size=128", 'train.memory_format="auto"',
    )  # fmt: skip
    top1 = max(line["val_top1"] for line in lines(run, "epoch"))
    if not top1 >= 0.7:
        raise Failed(f"top-1 {top1}")
    return f"top-1 {top1:.4f}, {lines(run, 'step')[-1]['images_per_second']:.0f} images/s"


def loss_scale(jobs: Jobs) -> str:
    keys = ('train.precision="fp16"', "train.max_steps=200", "train.micro_batch_size=128", "eval.interval_epochs=0")
    run = jobs.train("fp16", FASHION, *keys)
    reached = state(checkpoint(run))
    scale, loss = reached["loss_scale"]["scale"], lines(run, "step")[-1]["loss"]
    if not (math.isfinite(loss) and loss < 1.5 and scale > 0):
        raise Failed(f"loss {loss}, scale {scale}")
    return f"loss {loss:.3f}, scale {scale:.0f}, {reached['skipped']} steps skipped"


def bf16_gradients(jobs: Jobs) -> str:
    keys = ('comm.backend="nccl"', 'comm.gradient_compression="bf16"', "train.max_steps=60", "log.interval_steps=20")
    losses = [line["loss"] for line in lines(jobs.train("bf16-gradients", FASHION, *keys), "step")]
    if not (all(map(math.isfinite, losses)) and losses[-1] < losses[0]):
        raise Failed(f"losses {losses}")
    return f"loss {losses[0]:.3f} to {losses[-1]:.3f} in 60 steps"


def memory_stays(jobs: Jobs) -> str:
    keys = ("train.micro_batch_size=64", "train.epochs=5", "eval.interval_epochs=0", "log.interval_steps=1", "checkpoint.interval_steps=500")
    steps = lines(jobs.train("memory", FASHION, *keys), "step")
    early, late = steps[600], steps[-1]
    if late["peak_device_mib"] > early["peak_device_mib"] + 1 or late["peak_rss_mib"] > early["peak_rss_mib"] + 100:
        raise Failed(f"device {early['peak_device_mib']} to {late['peak_device_mib']}, host {early['peak_rss_mib']} to {late['peak_rss_mib']}")
    return f"{len(steps)} steps, each logged: {late['peak_device_mib']:.0f} MiB on the device, {late['peak_rss_mib']:.0f} MiB on the host"
