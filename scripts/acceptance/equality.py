"""Checks that two runs are equal: bitwise on one GPU, up to rounding in float64 on another device or on several."""

import math
import signal
import subprocess
import time
from pathlib import Path

from .jobs import FASHION, ROOT, Failed, Jobs, Skipped, checkpoint, tensors

# Largest accepted ratio of the GPU's error in fp32 to the CPU's.
FP32_MARGIN = 2
FILES = ("model.safetensors", "optimizer.safetensors")


def same_bytes(one: Path, other: Path) -> None:
    """Requires equal weights and optimizer state in two checkpoints."""
    for file in FILES:
        if (one / file).read_bytes() != (other / file).read_bytes():
            raise Failed(f"{file} differs: {differing(tensors(one / file), tensors(other / file))}")


def differing(ours: dict, theirs: dict) -> str:
    """Returns a description of the first tensor that differs, or an empty string."""
    for name, expected in theirs.items():
        if name not in ours or not (ours[name] == expected).all():
            return f"{name}, by {float((ours[name] - expected).abs().max()):.1e}" if name in ours else f"{name}, which is missing"
    return ""


def relative_difference(ours: dict, theirs: dict) -> tuple[float, str]:
    """Returns the relative L2 difference over the whole file and the tensor that contributes most. Not per tensor, since the gradient of a
    bias before BatchNorm is zero up to rounding and has no digits to compare."""
    off = {name: float((ours[name] - expected).norm()) for name, expected in theirs.items()}
    norm = math.hypot(*(float(expected.norm()) for expected in theirs.values()))
    return math.hypot(*off.values()) / norm, max(off, key=off.get)


def resume_is_exact(jobs: Jobs) -> str:
    keys = ("train.deterministic=true", "train.micro_batch_size=128", "checkpoint.keep=9", "eval.interval_epochs=0")
    whole = jobs.train("whole", FASHION, *keys, "train.max_steps=40")
    jobs.train("parts", FASHION, *keys, "train.max_steps=20")
    parts = jobs.train("parts", FASHION, *keys, "train.max_steps=40", options=("--resume", "auto"))
    same_bytes(checkpoint(parts), checkpoint(whole))
    return "weights and optimizer state equal to the bit after 20 + 20 steps"


def stops_and_goes_on(jobs: Jobs) -> str:
    """A run stopped by TERM and resumed must equal one that never stopped."""
    keys = ("train.deterministic=true", "train.micro_batch_size=128", "train.max_steps=400", "eval.interval_epochs=0", "log.interval_steps=1")
    whole = jobs.train("unstopped", FASHION, *keys)
    metrics = jobs.runs / "stopped/metrics.jsonl"
    command = jobs.train_command("stopped", FASHION, *keys, ranks=None)
    job = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=ROOT)
    while job.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") > 50):
        time.sleep(0.02)
    job.send_signal(signal.SIGTERM)
    if job.wait(60) != 75:
        raise Failed(f"exit code {job.returncode}, not 75")
    at = checkpoint(metrics.parent).name
    same_bytes(checkpoint(jobs.train("stopped", FASHION, *keys, options=("--resume", "auto"))), checkpoint(whole))
    return f"stopped at {at} with exit code 75, went on to the same bits at step 400"


def one_step_as_on_a_cpu(jobs: Jobs, config: Path, *keys: str) -> str:
    return one_step_in_two_ways(jobs, config, *keys, ways=(("cpu", 1), ("cuda", 1)))


def one_step_on_several_gpus(jobs: Jobs, config: Path, *keys: str) -> str:
    """At most three ranks, since a step has three micro-batches."""
    jobs.needs_gpus(2)
    return one_step_in_two_ways(jobs, config, *keys, ways=(("cuda", 1), ("cuda", min(3, jobs.ranks()))))


def step_keys(*keys: str) -> tuple:
    """Returns the keys of one step of several micro-batches in float64; the last of several values counts."""
    return (
        'train.precision="fp64"', "train.deterministic=true", "train.global_batch_size=48", "train.micro_batch_size=16", "train.max_steps=1",
        "eval.interval_epochs=0", "train.clip_grad_norm=0.5", "train.ema_decay=0.9", "train.label_smoothing=0.1", *keys,
    )  # fmt: skip


def one_step_in_two_ways(jobs: Jobs, config: Path, *keys: str, ways: tuple) -> str:
    """Uses float64, in which only the order of operations makes a difference."""
    keys = step_keys(*keys)
    name = f"step-{len(list(jobs.runs.glob('step-*')))}"
    expected, ours = (
        checkpoint(jobs.train(f"{name}-{device}-{ranks}", config, *keys, *device_key(jobs, device), ranks=ranks)) for device, ranks in ways
    )
    shown = []
    for file in ("model", "ema", "optimizer"):
        difference, most = relative_difference(tensors(ours / f"{file}.safetensors"), tensors(expected / f"{file}.safetensors"))
        if not difference < 1e-9:
            raise Failed(f"{file}: relative difference {difference:.1e}, most in {most}")
        shown.append(f"{file} {difference:.1e}")
    return f"relative differences: {', '.join(shown)}"


def one_fp32_step_is_as_good_as_a_cpus(jobs: Jobs) -> str:
    """The gradient, which momentum holds after one step, against the CPU's in float64. Rounding grows on its way back through
    the network to some percent of the whole; the classifier's gradient has more digits, and is held to its own error."""
    keys = (
        "train.deterministic=true", "train.tf32=false", 'train.memory_format="contiguous"', "train.global_batch_size=48", "train.micro_batch_size=16",
        "train.max_steps=1", "eval.interval_epochs=0", "optim.momentum=0.9",
    )  # fmt: skip

    def gradient(precision: str, device: str) -> dict:
        run = jobs.train(f"fp32-{precision}-{device}", FASHION, *keys, f'train.precision="{precision}"', *device_key(jobs, device))
        return tensors(checkpoint(run) / "optimizer.safetensors")

    exact = gradient("fp64", "cpu")
    cpu, gpu = (gradient("fp32", device) for device in ("cpu", "cuda"))
    head = {name: tensor for name, tensor in exact.items() if ".head." in name}
    return "; ".join(
        judge_errors(whose, relative_difference(cpu, expected)[0], relative_difference(gpu, expected)[0])
        for whose, expected in (("the gradient", exact), ("the classifier's", head))
    )


def judge_errors(whose: str, cpu: float, gpu: float) -> str:
    shown = f"relative error of {whose} {gpu:.1e} on the GPU, {cpu:.1e} on the CPU"
    if not gpu <= FP32_MARGIN * cpu:
        raise Failed(f"{shown}: more than {FP32_MARGIN} times")
    return shown


def device_key(jobs: Jobs, device: str) -> tuple:
    return () if jobs.rehearses else (f'train.device="{device}"',)


def recorded_steps_are_eager_ones(jobs: Jobs, precision: str, *keys: str) -> str:
    """Thirty steps, of which all but the first three are replayed, equal to the bit."""
    keys = (
        f'train.precision="{precision}"', "train.deterministic=true", "train.micro_batch_size=64", "train.max_steps=30",
        "eval.interval_epochs=0", *keys,
    )  # fmt: skip
    number = len(list(jobs.runs.glob("graph-*")))
    recorded, eager = (
        checkpoint(jobs.train(f"graph-{number}-{graph}", FASHION, *keys, f"train.cuda_graph={graph}")) for graph in ("true", "false")
    )
    for file in FILES:
        if difference := differing(tensors(recorded / file), tensors(eager / file)):
            raise Failed(f"{file} differs: {difference}")
    return "30 steps of two micro-batches, recorded and eager, equal to the bit"


def dropout_repeats(jobs: Jobs) -> str:
    """The GPU draws other numbers than a CPU, so it is compared with itself: whole, in two parts, and with recording forbidden."""
    keys = (
        'train.precision="bf16"', "train.deterministic=true", "train.micro_batch_size=64", "checkpoint.keep=9", "eval.interval_epochs=0",
    )  # fmt: skip
    dropping = (*keys, "model.dropout=0.3")
    whole = checkpoint(jobs.train("dropout-whole", FASHION, *dropping, "train.max_steps=30"))
    jobs.train("dropout-parts", FASHION, *dropping, "train.max_steps=15")
    parts = checkpoint(jobs.train("dropout-parts", FASHION, *dropping, "train.max_steps=30", options=("--resume", "auto")))
    eager = checkpoint(jobs.train("dropout-eager", FASHION, *dropping, "train.max_steps=30", "train.cuda_graph=false"))
    none = checkpoint(jobs.train("dropout-none", FASHION, *keys, "train.max_steps=30"))
    same_bytes(parts, whole)
    same_bytes(eager, whole)
    if not differing(tensors(none / FILES[0]), tensors(whole / FILES[0])):
        raise Failed("a run without dropout has the same weights")
    return "30 steps, 15 + 15 steps, and 30 with train.cuda_graph = false equal to the bit; another result than without dropout"


def sums_are_waited_for(jobs: Jobs) -> str:
    """Uses a stand-in for NCCL that delays each sum on the lane's stream and doubles it: the weights must be those of twice the learning rate."""
    double = next((path for path in (ROOT / "lib/libnccl_device_double.so", ROOT / "target/libnccl_device_double.so") if path.exists()), None)
    if not double:
        raise Skipped("no libnccl_device_double.so: it comes with make gpu-bundle")
    keys = (
        'train.precision="fp32"', "train.deterministic=true", "train.cuda_graph=false", "train.micro_batch_size=64", "train.max_steps=20",
        "eval.interval_epochs=0", "comm.first_bucket_mib=0.05", "comm.bucket_cap_mib=0.1",
    )  # fmt: skip
    single = jobs.train("sums-single", FASHION, *keys, "optim.lr=0.1", 'comm.backend="single"')
    doubled = jobs.train("sums-doubled", FASHION, *keys, "optim.lr=0.05", 'comm.backend="nccl"', NCCL_LIBRARY=str(double))
    ours, theirs = (tensors(checkpoint(run) / FILES[0]) for run in (doubled, single))
    parameters = {name: tensor for name, tensor in theirs.items() if "running_" not in name}
    if difference := differing(ours, parameters):
        raise Failed(f"parameters differ: {difference}")
    return f"{len(parameters)} parameters equal to the bit after 20 steps whose sums came 20 ms late"
