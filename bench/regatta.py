#!/usr/bin/env python3
"""Runs Regatta's trainer under mpirun and reports its speed in the form of `pytorch_ddp.py`."""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
POLL_S = 0.02


def main() -> int:
    options = parse_options()
    with tempfile.TemporaryDirectory() as folder:
        metrics_file = Path(folder) / "bench" / "metrics.jsonl"
        output_file = Path(folder) / "output"
        started = time.monotonic()
        with output_file.open("w") as output:
            job = subprocess.Popen(command(options, folder), stdout=output, stderr=output, env=environment())
        start_to_first_step_s = wait_for_start(job, metrics_file, started)
        exit_code = job.wait()
        if exit_code != 0:
            sys.stderr.write(output_file.read_text())
            raise SystemExit(f"the trainer exited with code {exit_code}")
        lines = [json.loads(line) for line in metrics_file.read_text().splitlines()]
    print(json.dumps(result(options, lines, start_to_first_step_s)), flush=True)
    return 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=1, help="ranks on this machine")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--steps", type=int, default=60, help="measured steps")
    parser.add_argument("--warmup-steps", type=int, default=10, help="steps before the measured ones")
    parser.add_argument("--window-steps", type=int, default=10, help="steps timed together")
    parser.add_argument("--trainer", default=str(REPOSITORY / "target/release/trainer"), help="the binary")
    parser.add_argument("--config", default=str(REPOSITORY / "configs/regnetx32_fashion_mnist.toml"))
    parser.add_argument("--mpirun", default=os.environ.get("MPIRUN", "mpirun"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="passed to the trainer")
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: the output is always JSON")
    options = parser.parse_args()
    # A window of the trainer is a log interval, counted from the first step.
    for name in ("steps", "warmup_steps"):
        if getattr(options, name) < 1 or getattr(options, name) % options.window_steps:
            parser.error(f"--{name.replace('_', '-')} is not a multiple of --window-steps {options.window_steps}")
    if not Path(options.trainer).exists():
        parser.error(f"no trainer at {options.trainer}: run `make build`")
    return options


def command(options: argparse.Namespace, folder: str) -> list[str]:
    sets = [
        f'train.precision="{options.precision}"',
        f"train.max_steps={options.warmup_steps + options.steps}",
        f"log.interval_steps={options.window_steps}",
        # One micro-batch per rank, as in DDP.
        f"train.micro_batch_size={128 // options.processes}",
        "eval.interval_epochs=0",
        f"run.folder={json.dumps(folder)}",
        *options.set,
    ]
    program = [options.trainer, "--config", options.config, "--name", "bench"]
    return [options.mpirun, "-n", str(options.processes), *program, *(part for key in sets for part in ("--set", key))]


def environment() -> dict[str, str]:
    """Allows Open MPI to run as root; has no effect for other users."""
    return {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def wait_for_start(job: subprocess.Popen, metrics_file: Path, started: float) -> float | None:
    """Returns the seconds from calling mpirun to the end of the first step, or None if the job ended before it logged one.

    Measured from outside, so that loading mpirun, the binary and libtorch is included: the time at which the first line
    appears, minus the time since the first step according to that line.
    """
    while job.poll() is None:
        if metrics_file.exists() and "\n" in (text := metrics_file.read_text()):
            seen, first = time.monotonic() - started, json.loads(text.splitlines()[0])
            return seen - (first["seconds_since_start"] - first["seconds_to_first_step"])
        time.sleep(POLL_S)
    return None


def result(options: argparse.Namespace, lines: list[dict], start_to_first_step_s: float | None) -> dict:
    steps = [line for line in lines if line["kind"] == "step"]
    measured = [line for line in steps if line["step"] > options.warmup_steps]
    expected = options.steps // options.window_steps
    if len(measured) != expected:
        raise SystemExit(f"{len(measured)} windows after the warm-up in metrics.jsonl, not {expected}: {steps}")
    if not all(math.isfinite(line["loss"]) for line in measured):
        raise SystemExit(f"a loss is not finite: the run diverged, so its speed is not reported: {measured}")
    if start_to_first_step_s is None:
        raise SystemExit("no step was seen in metrics.jsonl while the job ran")
    windows = [line["images_per_second"] for line in measured]
    own = steps[0]["seconds_to_first_step"]
    return {
        "program": "regatta",
        "processes": options.processes,
        "precision": options.precision,
        "warmup_steps": options.warmup_steps,
        "steps": options.steps,
        "images_per_second": round(statistics.median(windows), 2),
        "windows": [round(window, 2) for window in windows],
        "peak_rss_mib": round(measured[-1]["peak_rss_mib"], 1),
        "start_to_first_step_s": round(start_to_first_step_s, 3),
        "seconds_to_first_step": round(own, 3),
        "loss": round(measured[-1]["loss"], 4),
    }


if __name__ == "__main__":
    sys.exit(main())
