"""Checks of the device and of NCCL alone."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from .jobs import FASHION, ROOT, Failed, Jobs, Skipped, gpus, limited


def cuda_after_dlopen(jobs: Jobs) -> str:
    jobs.needs_gpus()
    probe = jobs.probe()
    if not probe["device"].startswith("cuda"):
        raise Failed(f"the trainer computes on {probe['device']}")
    return f"{probe['visible_gpus']} GPUs, the first at {probe['gpu_pci_bus_id']}"


def hooks_on_device_threads(jobs: Jobs) -> str:
    jobs.needs_gpus()
    if not jobs.probe()["hooks_run_on_engine_threads"]:
        raise Failed("hooks ran on the main thread: no CUDA graph")
    return "gradient hooks run on the autograd engine's threads"


def nccl(jobs: Jobs, ranks: int | None) -> str:
    """Checks all-reduces over this number of ranks, or over one rank per GPU."""
    jobs.needs_gpus()
    ranks = ranks or max(2, gpus())
    jobs.needs_gpus(ranks)
    probe = json.loads(jobs.run(*jobs.probe_command("--nccl", ranks=ranks)))
    if "NCCL" not in probe["backend"] or not all(size["correct"] for size in probe["all_reduce"]):
        raise Failed(json.dumps(probe))
    sizes = ", ".join(
        f"{size['bytes'] >> 10} KiB {size['microseconds']:.0f} us {size['bus_gb_per_second']:.1f} GB/s"
        for size in probe["all_reduce"]
    )
    return f"{probe['backend']}; {sizes}; finalize {probe['nccl_finalize_seconds']:.2f} s"


def two_ranks_on_one_gpu(jobs: Jobs) -> str:
    jobs.needs_gpus()
    if gpus() > 1:
        raise Skipped("several GPUs: each rank gets its own")
    jobs.run("mpirun", "-n", 2, "--oversubscribe", jobs.trainer, "probe", code=4)
    return "refused with exit code 4"


def children(parent: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def hang_is_named(jobs: Jobs) -> str:
    """Suspends one rank: the others must abort NCCL and exit in bounded time."""
    jobs.needs_gpus(2)
    command = jobs.train_command("hang", FASHION, "comm.timeout_s=20", "train.micro_batch_size=64", ranks=2)
    log = jobs.out / "hang.stderr"
    with log.open("w") as stderr:
        job = subprocess.Popen(limited(command, 200), stderr=stderr, cwd=ROOT)
    metrics = jobs.runs / "hang/metrics.jsonl"
    while job.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") > 2):
        time.sleep(0.2)
    # timeout, mpirun below it, the ranks below that.
    mpirun = children(job.pid)[0]
    os.kill([rank for rank in children(mpirun) if "--config" in Path(f"/proc/{rank}/cmdline").read_text()][-1], signal.SIGSTOP)
    begin = time.monotonic()
    job.wait()
    text = log.read_text()
    if job.returncode != 4 or "gives no sign of life" not in text:
        raise Failed(f"exit code {job.returncode}: {text[-300:]}")
    return f"exit code 4 after {time.monotonic() - begin:.1f} s"
