#!/usr/bin/env python3
"""The speed of tuned PyTorch on one GPU with a RegNetX: synthetic images on the device, bf16 autocast, fused SGD with
Nesterov momentum. The yardstick of scripts/gpu_acceptance.sh; prints one line of JSON, or one a window with --in-turn.
"""

import argparse
import collections
import json
import math
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


def stages(depth: int, w0: float, wa: float, wm: float, group_width: int) -> list[tuple[int, int, int]]:
    """(depth, width, group width) of each stage: the generator of the RegNet paper, section 3.3, rounded half to even as pycls does."""
    steps = (round(math.log((w0 + wa * block) / w0) / math.log(wm)) for block in range(depth))
    depths = collections.Counter(8 * round(w0 * wm**step / 8) for step in steps)
    result = []
    for width, blocks in sorted(depths.items()):
        group = min(group_width, width)
        result.append((blocks, round(width / group) * group, group))
    return result


class Block(nn.Module):
    """1x1, 3x3 grouped, 1x1, each with BatchNorm; ReLU after the sum."""

    def __init__(self, w_in: int, w_out: int, stride: int, group_width: int):
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(w_in, w_out, 1, bias=False), nn.BatchNorm2d(w_out), nn.ReLU(inplace=True),
            nn.Conv2d(w_out, w_out, 3, stride, 1, groups=w_out // group_width, bias=False), nn.BatchNorm2d(w_out),
            nn.ReLU(inplace=True), nn.Conv2d(w_out, w_out, 1, bias=False), nn.BatchNorm2d(w_out),
        )  # fmt: skip
        self.shortcut = nn.Identity()
        if w_in != w_out or stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(w_in, w_out, 1, stride, bias=False), nn.BatchNorm2d(w_out))

    def forward(self, x):
        return F.relu(self.residual(x) + self.shortcut(x), inplace=True)


def regnetx(network: dict | list, channels: int, classes: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(channels, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True)]
    w_in = 32
    for depth, width, group_width in network if isinstance(network, list) else stages(**network):
        for number in range(depth):
            layers.append(Block(w_in, width, 2 if number == 0 else 1, group_width))
            w_in = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(w_in, classes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", type=json.loads, required=True, help="JSON: the generator's parameters, or [depth, width, group width] of each stage")
    parser.add_argument("--format", choices=["channels_last", "contiguous"], required=True)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--compile", choices=["default", "reduce-overhead", "max-autotune"], help="torch.compile in this mode")
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--resolution-px", type=int, default=224)
    parser.add_argument("--in-turn", action="store_true", help="repeats the steps for each line of standard input, as trainer probe does")
    options = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    memory_format = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}[options.format]
    started = time.perf_counter()
    model = regnetx(options.network, options.channels, options.classes).to(options.device, memory_format=memory_format)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    run = torch.compile(model, mode=options.compile) if options.compile else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-5, fused=True)
    side = options.resolution_px
    images = torch.randn(options.batch, options.channels, side, side, device=options.device).to(memory_format=memory_format)
    labels = torch.randint(options.classes, (options.batch,), device=options.device)

    def step() -> None:
        with torch.autocast(options.device, torch.bfloat16):
            loss = F.cross_entropy(run(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def wait() -> None:
        if options.device == "cuda":
            torch.cuda.synchronize()

    step()
    wait()
    seconds_to_first_step = time.perf_counter() - started
    for _ in range(max(1, options.steps // 3)):
        step()

    def window() -> str:
        wait()
        begin = time.perf_counter()
        for _ in range(options.steps):
            step()
        wait()
        seconds = time.perf_counter() - begin
        result = {
            "images_per_second": options.steps * options.batch / seconds,
            "peak_device_mib": torch.cuda.max_memory_allocated() / 2**20 if options.device == "cuda" else 0.0,
            "parameters": parameters,
            "seconds_to_first_step": seconds_to_first_step,
        }
        return json.dumps(result)

    first = window()
    if not options.in_turn:
        print(first)
        return
    for _ in sys.stdin:
        print(window(), flush=True)


if __name__ == "__main__":
    main()
