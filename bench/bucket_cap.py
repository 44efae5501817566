#!/usr/bin/env python3
"""Estimates what the cap of gradient buckets costs: measures when backward completes each gradient, and computes from that the
communication exposed after backward, for several bucket caps and link speeds.

One trainer process runs with a stand-in for NCCL that sums host memory (a C file in nccl-rs's tests), with buckets so small that
each block has its own; its ledger records when each all-reduce was started. A link is modelled as `latency + bytes / bandwidth`
for each all-reduce, one after the other."""

import argparse
import json
import os
import statistics
import struct
import subprocess
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
DOUBLE = REPOSITORY / "crates/nccl-rs/tests/nccl-double/nccl_double.c"
MIB = 2**20
# Latency of an all-reduce in microseconds, and its bandwidth in GB/s (bytes of the buffer a second).
LINKS = {"NVLink, 8 GPUs": (30, 150.0), "400 Gb/s between nodes": (60, 25.0), "100 Gb/s between nodes": (80, 6.0)}
# Words of the ledger's file, as crates/ledger/src/lib.rs describes it.
HEADER_WORDS, ENTRY_WORDS = 16, 8


def main() -> None:
    options = parse_options()
    ready, backward_s = ready_times(options)
    total = sum(size for size, _ in ready)
    print(f"{Path(options.config).stem}: {total / MIB:.1f} MiB of gradients in {len(ready)} blocks; backward done with, by its time:")
    print()
    print("| share of backward's time | " + " | ".join(f"{share:.0%}" for share in (0.1, 0.25, 0.5, 0.75, 0.9)) + " |")
    print("| :--- | " + " | ".join("---:" for _ in range(5)) + " |")
    done = [sum(size for size, at in ready if at <= share) / total for share in (0.1, 0.25, 0.5, 0.75, 0.9)]
    print("| share of gradients complete | " + " | ".join(f"{share:.0%}" for share in done) + " |")
    print()
    print(f"Exposed communication in ms for a backward of {options.backward_ms:g} ms (collectives):")
    print()
    print("| link | sum of all ms | " + " | ".join(f"{cap:g} MiB" for cap in options.caps) + " |")
    print("| :--- | ---: | " + " | ".join("---:" for _ in options.caps) + " |")
    for name, (latency_us, bandwidth) in LINKS.items():
        cells = []
        for cap in options.caps:
            buckets = into_buckets(ready, options.first_bucket_mib * MIB, cap * MIB)
            exposed = exposed_ms(buckets, options.backward_ms, latency_us / 1e3, bandwidth * 1e6)
            cells.append(f"{exposed:.2f} ({len(buckets)})")
        print(f"| {name} | {total / (bandwidth * 1e6):.2f} | " + " | ".join(cells) + " |")
    print()
    print(f"Backward took {backward_s * 1e3:.0f} ms where it was measured.")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--caps", type=float, nargs="+", default=[1, 2, 4, 8, 16, 25, 50])
    parser.add_argument("--first-bucket-mib", type=float, default=1.0)
    parser.add_argument("--backward-ms", type=float, default=40, help="time of backward on the GPU in question")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--config", default=str(REPOSITORY / "configs/regnetx.toml"))
    parser.add_argument("--trainer", default=str(REPOSITORY / "target/release/trainer"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="passed to the trainer")
    return parser.parse_args()


def ready_times(options: argparse.Namespace) -> tuple[list[tuple[int, float]], float]:
    """Returns the bytes of each block's gradients with the share of backward's time after which they are complete (median over steps),
    and backward's time in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        keys = [
            'comm.backend="nccl"', "comm.first_bucket_mib=0.0001", "comm.bucket_cap_mib=0.0001",
            f"train.global_batch_size={options.batch}", f"train.max_steps={options.steps}", "eval.interval_epochs=0",
            "log.interval_steps=1", 'train.precision="fp32"', 'train.memory_format="channels_last"', 'train.device="cpu"',
            f'run.folder="{folder}"', *options.set,
        ]  # fmt: skip
        sets = [part for key in keys for part in ("--set", key)]
        double = f"{folder}/libnccl_double.so"
        compiler = [os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-o", double, str(DOUBLE)]
        subprocess.run([*compiler, "-lpthread", "-lrt"], check=True)
        command = [options.trainer, "--config", options.config, "--name", "bench", *sets]
        subprocess.run(command, env={**os.environ, "NCCL_LIBRARY": double}, check=True, capture_output=True)
        run = Path(folder) / "bench"
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        words = (run / "ranks" / "rank-0000.ledger").read_bytes()
    backward = statistics.median(line["seconds_backward"] for line in lines if line["kind"] == "step")
    words = struct.unpack(f"<{len(words) // 8}Q", words)
    entries = [words[at : at + ENTRY_WORDS] for at in range(HEADER_WORDS, len(words), ENTRY_WORDS)]
    steps: dict[int, list[tuple[int, int]]] = {}
    for sequence, step, _, _, size, entered, *_ in sorted(entries):
        if sequence and 1 < step <= options.steps:
            steps.setdefault(step, []).append((size, entered))
    # The last two all-reduces of a step carry BatchNorm's statistics and the control values.
    of_steps = [sums[:-2] for sums in steps.values()]
    of_steps = [sums for sums in of_steps if len(sums) == max(map(len, of_steps))]
    sizes = [size for size, _ in of_steps[0]]
    ready = []
    for index, size in enumerate(sizes):
        shares = [1 - (sums[-1][1] - sums[index][1]) / 1e9 / backward for sums in of_steps]
        ready.append((size, statistics.median(shares)))
    return ready, backward


def into_buckets(ready: list[tuple[int, float]], first: float, cap: float) -> list[tuple[int, float]]:
    """Groups whole blocks until the next would exceed the cap, as crates/anynet/src/layout.rs does; a bucket is complete with its last
    block."""
    buckets: list[tuple[int, float]] = []
    limit, size, at = first, 0, 0.0
    for block, block_at in ready:
        if size and size + block > limit:
            buckets.append((size, at))
            limit, size = cap, 0
        size, at = size + block, block_at
    return [*buckets, (size, at)]


def exposed_ms(buckets: list[tuple[int, float]], backward_ms: float, latency_ms: float, bytes_per_ms: float) -> float:
    """Returns the time from the end of backward to the end of the last all-reduce."""
    free = 0.0
    for size, share in buckets:
        free = max(free, share * backward_ms) + latency_ms + size / bytes_per_ms
    return free - backward_ms


if __name__ == "__main__":
    main()
