#!/usr/bin/env python3
"""Trains the book's RegNetX32 on Fashion-MNIST with tuned PyTorch DDP on CPUs and reports its speed.

This is the yardstick of Regatta's speed. It starts one process per rank (gloo on the loopback
interface) and imports no torch itself, so that the start is not paid twice; what a rank does is in
`pytorch_rank.py`.
"""

import argparse
import multiprocessing
import multiprocessing.connection
import os
import sys
import tempfile
import time
from pathlib import Path

# Keep freed tensors in the heap: without this glibc gives each large one back to the kernel, and
# faulting the pages in again costs 10 % of a step and more. Read by glibc when a rank is started.
ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
DEFAULT_DATA_FOLDER = os.environ.get("REGATTA__DATA__FOLDER", "/usr/share/datasets/fashion-mnist")


def main() -> int:
    options = parse_options()
    os.environ.update({"GLOO_SOCKET_IFNAME": "lo", **ALLOCATOR})
    started = process_start()
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        context = multiprocessing.get_context("spawn")
        ranks = [
            context.Process(target=run_rank, args=(rank, options, store, started))
            for rank in range(options.processes)
        ]
        for rank in ranks:
            rank.start()
        return wait_for(ranks)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=1, help="ranks on this machine")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--steps", type=int, default=60, help="measured steps")
    parser.add_argument("--warmup-steps", type=int, default=10, help="steps before the measured ones")
    parser.add_argument("--window-steps", type=int, default=10, help="steps timed together")
    parser.add_argument("--global-batch-size", type=int, default=128, help="images a step, all ranks together")
    parser.add_argument("--resolution-px", type=int, default=96, help="images are upsampled to this size")
    parser.add_argument("--data-folder", default=DEFAULT_DATA_FOLDER, help="folder of the idx .gz files")
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of a sentence")
    options = parser.parse_args()
    if options.processes < 1 or options.global_batch_size % options.processes:
        parser.error(f"--processes {options.processes} does not divide --global-batch-size {options.global_batch_size}")
    if options.window_steps < 1 or options.steps < 1 or options.steps % options.window_steps:
        parser.error(f"--steps {options.steps} is not a multiple of --window-steps {options.window_steps}")
    if options.warmup_steps < 1:
        parser.error("--warmup-steps is at least 1: the first step is never a measured one")
    return options


def process_start() -> float:
    """When this process was started, in seconds of CLOCK_BOOTTIME (imports before `main` included)."""
    fields_after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return int(fields_after_name[19]) / os.sysconf("SC_CLK_TCK")


def run_rank(rank: int, options: argparse.Namespace, store: str, started: float) -> None:
    from pytorch_rank import train

    train(rank, options, store, seconds_since_start=lambda: time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    os._exit(0)  # gloo's threads now and then abort an orderly interpreter shutdown


def wait_for(ranks: list) -> int:
    """Waits until all ranks have ended; ends them all as soon as one fails."""
    by_sentinel = {rank.sentinel: rank for rank in ranks}
    while by_sentinel:
        for sentinel in multiprocessing.connection.wait(list(by_sentinel)):
            rank = by_sentinel.pop(sentinel)
            rank.join()
            for other in by_sentinel.values() if rank.exitcode else []:
                other.terminate()
    return 1 if any(rank.exitcode for rank in ranks) else 0


if __name__ == "__main__":
    sys.exit(main())
