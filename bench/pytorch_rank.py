"""One rank of the PyTorch baseline: the network, the data in memory, the timed loop."""

import gzip
import json
import math
import os
import statistics
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

MEAN, STD = 0.2860, 0.3530
PARAMETERS = 179_290


def train(rank: int, options, store: str, seconds_since_start) -> None:
    """Trains warm-up and measured steps; rank 0 prints the result."""
    world_size = options.processes
    threads = max(1, len(os.sched_getaffinity(0)) // world_size)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if world_size > 1:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world_size)

    images, labels = load(Path(options.data_folder), "train")
    batches = batches_of(len(images), rank, world_size, options.global_batch_size)
    network = RegNetX32(in_channels=1, classes=10).to(memory_format=torch.channels_last)
    model = network
    if world_size > 1:
        model = nn.parallel.DistributedDataParallel(network, gradient_as_bucket_view=True, static_graph=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, fused=True)

    def step() -> torch.Tensor:
        chosen = next(batches)
        batch = prepare(images[chosen], options.resolution_px)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.precision == "bf16"):
            logits = model(batch)
        loss = F.cross_entropy(logits.float(), labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss

    step()
    start_to_first_step_s = seconds_since_start()
    for _ in range(options.warmup_steps - 1):
        step()
    windows, loss = timed_windows(step, options)
    if not math.isfinite(loss):
        raise SystemExit(f"rank {rank}: the loss is {loss}: the run diverged, so its speed is not reported")
    peak = peak_rss_mib(world_size)
    if rank == 0:
        report(options, threads, windows, loss, peak, start_to_first_step_s)


def timed_windows(step, options) -> tuple[list[float], float]:
    """Images per second of each window, and the last loss; like the trainer, a window ends by reading its loss."""
    windows = []
    for _ in range(options.steps // options.window_steps):
        begin = time.perf_counter()
        for _ in range(options.window_steps):
            loss = step()
        last_loss = loss.item()
        images = options.window_steps * options.global_batch_size
        windows.append(images / (time.perf_counter() - begin))
    return windows, last_loss


def report(options, threads, windows, loss, peak, start_to_first_step_s) -> None:
    result = {
        "program": "pytorch",
        "version": torch.__version__,
        "processes": options.processes,
        "threads_per_process": threads,
        "precision": options.precision,
        "global_batch_size": options.global_batch_size,
        "warmup_steps": options.warmup_steps,
        "steps": options.steps,
        "images_per_second": round(statistics.median(windows), 2),
        "windows": [round(window, 2) for window in windows],
        "peak_rss_mib": round(peak, 1),
        "start_to_first_step_s": round(start_to_first_step_s, 3),
        "loss": round(loss, 4),
    }
    if options.json:
        print(json.dumps(result), flush=True)
    else:
        print(
            f"PyTorch {torch.__version__}, {options.processes} x {threads} threads, {options.precision}: "
            f"{result['images_per_second']} images/s, {result['peak_rss_mib']} MiB peak per process, "
            f"{result['start_to_first_step_s']} s to the first step",
            flush=True,
        )


def peak_rss_mib(world_size: int) -> float:
    """Highest resident memory of any rank. VmHWM, since ru_maxrss survives an exec and would show the parent's."""
    status = Path("/proc/self/status").read_text()
    kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    peak = torch.tensor(kib / 1024)
    if world_size > 1:
        dist.all_reduce(peak, op=dist.ReduceOp.MAX)
    return peak.item()


# Data


def load(folder: Path, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images as uint8 [N, 1, 28, 28] and labels as int64 [N]."""
    images = read_idx(folder / f"{part}-images-idx3-ubyte.gz", header_bytes=16)
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz", header_bytes=8)
    return images.view(-1, 1, 28, 28), labels.long()


def read_idx(path: Path, header_bytes: int) -> torch.Tensor:
    with gzip.open(path) as file:
        file.read(header_bytes)
        return torch.from_numpy(np.frombuffer(bytearray(file.read()), dtype=np.uint8))


def batches_of(length: int, rank: int, world_size: int, global_batch_size: int):
    """This rank's part of every global batch, epoch after epoch, each epoch in a new order."""
    generator = torch.Generator().manual_seed(0)
    size = global_batch_size // world_size
    while True:
        order = torch.randperm(length, generator=generator)
        for begin in range(0, length - global_batch_size + 1, global_batch_size):
            yield order[begin + rank * size : begin + (rank + 1) * size]


def prepare(images: torch.Tensor, resolution_px: int) -> torch.Tensor:
    """Bytes [n, 1, 28, 28] to the network's input; normalised before resizing, which is the same and less work."""
    scaled = images.float().sub_(255 * MEAN).div_(255 * STD)
    resized = F.interpolate(scaled, size=(resolution_px, resolution_px), mode="bilinear", align_corners=False)
    return resized.contiguous(memory_format=torch.channels_last)


# The network of Dive into Deep Learning 8.8


class RegNetX32(nn.Sequential):
    """Stem of 32 channels, stages (depth 4, width 32) and (depth 6, width 80), group width 16, no bottleneck."""

    def __init__(self, in_channels: int, classes: int):
        super().__init__(
            nn.Conv2d(in_channels, 32, 3, stride=2, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
            *stage(depth=4, in_width=32, width=32),
            *stage(depth=6, in_width=32, width=80),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(80, classes),
        )
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.xavier_uniform_(module.weight)
        parameters = sum(parameter.numel() for parameter in self.parameters())
        assert (in_channels, classes) != (1, 10) or parameters == PARAMETERS, parameters


def stage(depth: int, in_width: int, width: int) -> list[nn.Module]:
    return [Block(in_width, width, stride=2)] + [Block(width, width, stride=1) for _ in range(depth - 1)]


class Block(nn.Module):
    """ResNeXt block: 1x1, 3x3 in groups of 16 channels, 1x1, each with BatchNorm; ReLU after the sum."""

    def __init__(self, in_width: int, width: int, stride: int):
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(in_width, width, 1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride=stride, padding=1, groups=width // 16),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 1),
            nn.BatchNorm2d(width),
        )
        self.shortcut = nn.Identity()
        if stride != 1 or in_width != width:
            self.shortcut = nn.Sequential(nn.Conv2d(in_width, width, 1, stride=stride), nn.BatchNorm2d(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.residual(x).add_(self.shortcut(x)).relu_()
