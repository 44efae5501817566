"""The checks of gpu_acceptance.sh, which sets up the environment and calls this."""

import argparse
import datetime
import sys
from pathlib import Path

from acceptance import plan
from acceptance.jobs import Jobs, gpus
from acceptance.report import Report


<<<<<<< HEAD
def parse() -> argparse.Namespace:
=======
class Failed(Exception):
    """A check that did not hold."""


class Skipped(Exception):
    """A check that this machine cannot do."""


class Acceptance:
    def __init__(self, trainer: Path, out: Path, only: list[str], skip: list[str], facts: dict):
        self.trainer, self.out, self.only, self.skip, self.facts = trainer.resolve(), out, only, skip, facts
        self.result = out / "gpu_acceptance.json"
        if out.exists() and any(out.iterdir()) and not self.result.exists():
            raise SystemExit(f"gpu_acceptance: {out} holds something else: name another folder")
        out.mkdir(parents=True, exist_ok=True)
        # Of an earlier call, whose checks this one may not repeat.
        self.rows: list[dict] = json.loads(self.result.read_text())["checks"] if self.result.exists() else []
        shutil.rmtree(out / "runs", ignore_errors=True)
        self.write()

    def write(self) -> None:
        aside = self.result.with_suffix(".tmp")
        aside.write_text(json.dumps({**self.facts, "checks": self.rows}, indent=1) + "\n")
        aside.replace(self.result)

    def check(self, name, function, *arguments) -> None:
        if (self.only and not any(word in name for word in self.only)) or any(word in name for word in self.skip):
            return
        begin = time.monotonic()
        try:
            result, told = "pass", function(*arguments)
        except Skipped as reason:
            result, told = "skip", str(reason)
        except (Failed, subprocess.SubprocessError, OSError, KeyError, IndexError, ValueError) as error:
            result, told = "FAIL", f"{type(error).__name__}: {error}"[:600]
        row = {"check": name, "result": result, "told": told, "seconds": round(time.monotonic() - begin, 1)}
        self.rows = [other for other in self.rows if other["check"] != name] + [row]
        self.write()
        print(f"{result:<5} {name:<44} {row['seconds']:>6.1f} s  {told}", flush=True)

    def run(self, *command, code: int = 0, limit_s: float = LIMIT_S) -> str:
        """Runs a command, which must end with `code` in time; its output goes to the log too."""
        log = self.out / f"{len(list(self.out.glob('*.log'))):02}.log"
        # mpirun passes the TERM on; killed itself, it would leave ranks on the GPU.
        limited = ["timeout", "-k", "10", str(limit_s), *(str(part) for part in command)]
        done = subprocess.run(limited, capture_output=True, text=True, cwd=ROOT)
        log.write_text(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}\nexit code {done.returncode}\n")
        if done.returncode != code:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise Failed(f"exit code {done.returncode}, not {code} ({log}): {' '.join(last)}")
        return done.stdout

    @functools.cache
    def probe(self) -> dict:
        """What one process alone finds."""
        return json.loads(self.run(self.trainer, "probe", "--json"))

    def train(self, name: str, config: Path, *sets: str, ranks: int = 1, options: tuple = (), code: int = 0) -> Path:
        """One run under mpirun; returns its folder."""
        if config == FASHION:
            sets = (FASHION_FOLDER, *sets)
        keys = (f'run.folder="{self.out / "runs"}"', 'train.device="cuda"', *sets)
        parts = [part for key in keys for part in ("--set", key)]
        self.run("mpirun", "-n", ranks, self.trainer, "--config", config, "--name", name, *options, *parts, code=code)
        return self.out / "runs" / name


def lines(run: Path, kind: str) -> list[dict]:
    return [line for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if line["kind"] == kind]


def newest_checkpoint(run: Path) -> Path:
    return max((run / "checkpoints").glob("step-*"))


def gpus() -> int:
    import torch

    return torch.cuda.device_count()


def cuda_after_dlopen(it: Acceptance) -> str:
    probe = it.probe()
    if not probe["device"].startswith("cuda"):
        raise Failed(f"the trainer computes on {probe['device']}")
    return f"{probe['visible_gpus']} GPUs, the first at {probe['gpu_pci_bus_id']}"


def hooks_on_device_threads(it: Acceptance) -> str:
    if not it.probe()["hooks_run_on_engine_threads"]:
        raise Failed("hooks ran on the main thread: no CUDA graph")
    return "gradient hooks run on the autograd engine's threads"


def nccl(it: Acceptance, ranks: int) -> str:
    if ranks > gpus():
        raise Skipped(f"{gpus()} GPUs")
    probe = json.loads(it.run("mpirun", "-n", ranks, it.trainer, "probe", "--json", "--nccl"))
    if "NCCL" not in probe["backend"] or not all(size["correct"] for size in probe["all_reduce"]):
        raise Failed(json.dumps(probe))
    sizes = ", ".join(
        f"{size['bytes'] >> 10} KiB {size['microseconds']:.0f} us {size['bus_gb_per_second']:.1f} GB/s"
        for size in probe["all_reduce"]
    )
    return f"{probe['backend']}; {sizes}; finalize {probe['nccl_finalize_seconds']:.2f} s"


def two_ranks_on_one_gpu(it: Acceptance) -> str:
    if gpus() > 1:
        raise Skipped("several GPUs: each rank gets its own")
    it.run("mpirun", "-n", 2, "--oversubscribe", it.trainer, "probe", code=4)
    return "refused with exit code 4"


def fashion_mnist(it: Acceptance, precision: str, backend: str) -> str:
    run = it.train(
        f"fashion-{precision}", FASHION, "train.epochs=2", f'train.precision="{precision}"', f'comm.backend="{backend}"',
        "train.micro_batch_size=128", 'train.memory_format="auto"',
    )  # fmt: skip
    top1 = max(line["val_top1"] for line in lines(run, "epoch"))
    if not top1 >= 0.7:
        raise Failed(f"top-1 {top1}")
    return f"top-1 {top1:.4f}, {lines(run, 'step')[-1]['images_per_second']:.0f} images/s"


def resume_is_exact(it: Acceptance) -> str:
    sets = ("train.deterministic=true", "train.micro_batch_size=128", "checkpoint.keep=9", "eval.interval_epochs=0")
    whole = it.train("whole", FASHION, *sets, "train.max_steps=40")
    it.train("parts", FASHION, *sets, "train.max_steps=20")
    parts = it.train("parts", FASHION, *sets, "train.max_steps=40", options=("--resume", "auto"))
    for file in ("model.safetensors", "optimizer.safetensors"):
        if (newest_checkpoint(whole) / file).read_bytes() != (newest_checkpoint(parts) / file).read_bytes():
            raise Failed(f"{file} differs")
    return "weights and optimizer state equal to the bit after 20 + 20 steps"


def loss_scale(it: Acceptance) -> str:
    sets = ('train.precision="fp16"', "train.max_steps=200", "train.micro_batch_size=128", "eval.interval_epochs=0")
    run = it.train("fp16", FASHION, *sets)
    state = json.loads((newest_checkpoint(run) / "state.json").read_text())
    loss = lines(run, "step")[-1]["loss"]
    if not (math.isfinite(loss) and loss < 1.5 and state["loss_scale"]["scale"] > 0):
        raise Failed(f"loss {loss}, {state['loss_scale']}")
    return f"loss {loss:.3f}, scale {state['loss_scale']['scale']:.0f}, {state['skipped']} steps skipped"


def bf16_gradients(it: Acceptance) -> str:
    keys = ('comm.backend="nccl"', 'comm.gradient_compression="bf16"', "train.max_steps=60", "log.interval_steps=20")
    losses = [line["loss"] for line in lines(it.train("bf16-gradients", FASHION, *keys), "step")]
    if not (all(map(math.isfinite, losses)) and losses[-1] < losses[0]):
        raise Failed(f"losses {losses}")
    return f"loss {losses[0]:.3f} to {losses[-1]:.3f} in 60 steps"


def children(parent: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def hang_is_named(it: Acceptance) -> str:
    """Stops one rank for good: the others abort NCCL and are gone in bounded time."""
    if gpus() < 2:
        raise Skipped("one GPU: a hang needs a peer")
    command = [
        "mpirun", "-n", "2", it.trainer, "--config", FASHION, "--name", "hang", "--set", f'run.folder="{it.out / "runs"}"',
        "--set", "comm.timeout_s=20", "--set", "train.micro_batch_size=64", "--set", FASHION_FOLDER,
    ]  # fmt: skip
    log = it.out / "hang.stderr"
    with log.open("w") as stderr:
        job = subprocess.Popen(["timeout", "-k", "10", "200", *map(str, command)], stderr=stderr, cwd=ROOT)
    metrics = it.out / "runs/hang/metrics.jsonl"
    while job.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") > 2):
        time.sleep(0.2)
    # timeout, mpirun below it, the ranks below that.
    mpirun = children(job.pid)[0]
    os.kill([rank for rank in children(mpirun) if "--config" in Path(f"/proc/{rank}/cmdline").read_text()][-1], signal.SIGSTOP)
    begin = time.monotonic()
    job.wait()
    told = log.read_text()
    if job.returncode != 4 or "gives no sign of life" not in told:
        raise Failed(f"exit code {job.returncode}: {told[-300:]}")
    return f"exit code 4 after {time.monotonic() - begin:.1f} s"


def tensors(file: Path) -> dict:
    from safetensors.torch import load_file

    return load_file(file)


def one_step_as_on_a_cpu(it: Acceptance, config: Path, *keys: str) -> str:
    """In float64, where the order of operations is all that differs."""
    sets = (
        'train.precision="fp64"', "train.deterministic=true", "train.global_batch_size=48", "train.micro_batch_size=16", "train.max_steps=1",
        "eval.interval_epochs=0", "train.clip_grad_norm=0.5", "train.ema_decay=0.9", "train.label_smoothing=0.1", *keys,
    )  # fmt: skip
    runs = [newest_checkpoint(it.train(f"step-{len(it.rows)}-{device}", config, *sets, f'train.device="{device}"')) for device in ("cpu", "cuda")]
    told = []
    for file in ("model", "ema", "optimizer"):
        ours, theirs = (tensors(run / f"{file}.safetensors") for run in reversed(runs))
        # Over the whole file: the gradient of a bias before BatchNorm is zero but for rounding, and has no digits to compare.
        norm = {name: float(expected.norm()) for name, expected in theirs.items()}
        off = {name: float((ours[name] - expected).norm()) for name, expected in theirs.items()}
        difference = math.hypot(*off.values()) / math.hypot(*norm.values())
        if not difference < 1e-9:
            raise Failed(f"{file}: relative difference {difference:.1e}, most in {max(off, key=off.get)}")
        told.append(f"{file} {difference:.1e}")
    return f"relative differences: {', '.join(told)}"


def recorded_steps_are_eager_ones(it: Acceptance, precision: str, *keys: str) -> str:
    """Thirty steps, of which all but the first three are replayed, equal to the bit."""
    sets = (
        f'train.precision="{precision}"', "train.deterministic=true", "train.micro_batch_size=64", "train.max_steps=30",
        "eval.interval_epochs=0", *keys,
    )  # fmt: skip
    runs = [
        newest_checkpoint(it.train(f"graph-{graph}-{precision}", FASHION, *sets, f"train.cuda_graph={graph}")) for graph in ("true", "false")
    ]
    for file in ("model.safetensors", "optimizer.safetensors"):
        ours, theirs = tensors(runs[0] / file), tensors(runs[1] / file)
        for name, expected in theirs.items():
            if not (ours[name] == expected).all():
                raise Failed(f"{name} differs by {float((ours[name] - expected).abs().max()):.1e}")
    return "30 steps of two micro-batches, recorded and eager, equal to the bit"


def sums_are_waited_for(it: Acceptance) -> str:
    """With a stand-in for NCCL that takes its time on the lane's stream and doubles each sum: weights are those of twice the learning rate."""
    double = next((path for path in (ROOT / "lib/libnccl_device_double.so", ROOT / "target/libnccl_device_double.so") if path.exists()), None)
    if not double:
        raise Skipped("no libnccl_device_double.so: it comes with make gpu-bundle")
    sets = (
        'train.precision="fp32"', "train.deterministic=true", "train.cuda_graph=false", "train.micro_batch_size=64", "train.max_steps=20",
        "eval.interval_epochs=0", "comm.first_bucket_mib=0.05", "comm.bucket_cap_mib=0.1",
    )  # fmt: skip
    single = it.train("sums-single", FASHION, *sets, "optim.lr=0.1", 'comm.backend="single"')
    os.environ["NCCL_LIBRARY"] = str(double)
    try:
        doubled = it.train("sums-doubled", FASHION, *sets, "optim.lr=0.05", 'comm.backend="nccl"')
    finally:
        del os.environ["NCCL_LIBRARY"]
    ours, theirs = (tensors(newest_checkpoint(run) / "model.safetensors") for run in (doubled, single))
    parameters = [name for name in theirs if "running_" not in name]
    differing = [name for name in parameters if not (ours[name] == theirs[name]).all()]
    if differing:
        raise Failed(f"{len(differing)} of {len(parameters)} parameters differ, such as {differing[0]}")
    return f"{len(parameters)} parameters equal to the bit after 20 steps whose sums came 20 ms late"


def stops_and_goes_on(it: Acceptance) -> str:
    """USR2 in mid-run, then to the end, equal to a run that never stopped."""
    sets = ("train.deterministic=true", "train.micro_batch_size=128", "train.max_steps=400", "eval.interval_epochs=0", "log.interval_steps=1")
    whole = it.train("unstopped", FASHION, *sets)
    metrics = it.out / "runs/stopped/metrics.jsonl"
    keys = (f'run.folder="{it.out / "runs"}"', 'train.device="cuda"', FASHION_FOLDER, *sets)
    parts = [part for key in keys for part in ("--set", key)]
    command = [it.trainer, "--config", FASHION, "--name", "stopped", *parts]
    job = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=ROOT)
    while job.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") > 50):
        time.sleep(0.02)
    job.send_signal(signal.SIGTERM)
    if job.wait(60) != 75:
        raise Failed(f"exit code {job.returncode}, not 75")
    at = newest_checkpoint(metrics.parent).name
    stopped = it.train("stopped", FASHION, *sets, options=("--resume", "auto"))
    for file in ("model.safetensors", "optimizer.safetensors"):
        if (newest_checkpoint(whole) / file).read_bytes() != (newest_checkpoint(stopped) / file).read_bytes():
            raise Failed(f"{file} differs")
    return f"stopped at {at} with exit code 75, went on to the same bits at step 400"


def memory_stays(it: Acceptance) -> str:
    sets = ("train.micro_batch_size=64", "train.epochs=5", "eval.interval_epochs=0", "log.interval_steps=1", "checkpoint.interval_steps=500")
    steps = lines(it.train("memory", FASHION, *sets), "step")
    early, late = steps[600], steps[-1]
    if late["peak_device_mib"] > early["peak_device_mib"] + 1 or late["peak_rss_mib"] > early["peak_rss_mib"] + 100:
        raise Failed(f"device {early['peak_device_mib']} to {late['peak_device_mib']}, host {early['peak_rss_mib']} to {late['peak_rss_mib']}")
    return f"{len(steps)} steps, each logged: {late['peak_device_mib']:.0f} MiB on the device, {late['peak_rss_mib']:.0f} MiB on the host"


def throughput(it: Acceptance, network: str, memory_format: str, batch: int, modes: list) -> str:
    """Whole steps on images that lie on the device: ours recorded and eager, PyTorch's eager and compiled, one after the other."""
    described, options, config = NETWORKS[network]
    sets = [
        'train.precision="bf16"', f'train.memory_format="{memory_format}"', f"train.global_batch_size={batch}", f"train.micro_batch_size={batch}",
        'optim.name="sgd"', "optim.momentum=0.9", "optim.nesterov=true",
    ]  # fmt: skip
    sets += [FASHION_FOLDER, "model.conv_bias=false"] if config == FASHION else [f'model.arch="{network}"']
    told, ours = [], {}
    for graph in ("true", "false"):
        parts = [part for key in (*sets, f"train.cuda_graph={graph}") for part in ("--set", key)]
        step = json.loads(it.run(it.trainer, "probe", "--json", "--config", config, "--steps", STEPS, *parts))["step"]
        ours[graph] = step["images_per_second"]
        label = "recorded" if graph == "true" else "eager"
        told.append(f"Regatta {label} {ours[graph]:.0f} images/s, {step['peak_device_mib']:.0f} MiB, first step {step['seconds_to_first_step']:.1f} s")
    best = 0.0
    for mode in (None, *modes):
        label = f"compiled ({mode})" if mode else "eager"
        command = (
            sys.executable, ROOT / "bench/pytorch_regnet.py", "--network", json.dumps(described), *options,
            "--format", memory_format, "--batch", batch, "--steps", STEPS, *(["--compile", mode] if mode else []),
        )  # fmt: skip
        try:
            theirs = json.loads(it.run(*command).splitlines()[-1])
        except Failed as error:
            if not mode:
                raise
            # torch.compile wants a C compiler, which this machine need not have.
            told.append(f"PyTorch {label} not measured ({error})")
            continue
        best = max(best, theirs["images_per_second"])
        told.append(
            f"PyTorch {label} {theirs['images_per_second']:.0f} images/s, {theirs['peak_mib']:.0f} MiB, "
            f"first step {theirs['seconds_to_first_step']:.1f} s"
        )
    return f"{max(ours.values()) / best:.2f} of PyTorch's best; " + "; ".join(told)


def main() -> int:
>>>>>>> precision
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trainer", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plan", action="store_true", help="prints the checks with their seconds, calls and pass criteria")
    parser.add_argument("--call", type=int, choices=list(plan.CALLS), help="the checks of one call, which takes less than ten minutes")
    parser.add_argument("--only", action="append", default=[], help="checks whose name holds this word; several add up")
    parser.add_argument("--skip", action="append", default=[], help="not the checks whose name holds this word")
    parser.add_argument("--no-compile", action="store_true", help="throughput without torch.compile")
    parser.add_argument("--rehearse", action="store_true", help="tries the checks on a CPU with small steps; proves nothing of a GPU")
    options = parser.parse_args()
    if not options.plan and not (options.trainer and options.out):
        parser.error("--trainer and --out are required")
    return options


def main() -> int:
    options = parse()
    rows = plan.chosen(plan.rows(not options.no_compile), options.call, options.only, options.skip)
    if options.plan:
        print(plan.table(rows))
        return 0
    import torch

    if not torch.cuda.is_available() and not options.rehearse:
        print("gpu_acceptance: skipped: torch sees no CUDA device on this machine")
        return 0
    device = "a CPU, as a rehearsal" if options.rehearse else torch.cuda.get_device_name(0)
    facts = {"device": device, "gpus": gpus(), "torch": torch.__version__, "date": datetime.date.today().isoformat()}
    out = options.out.resolve()
    report = Report(out, facts)
    jobs = Jobs(options.trainer, out, options.rehearse)
    print(f"{device}, {gpus()} visible, torch {torch.__version__}, {facts['date']}")
    for row in rows:
        report.check(row, jobs)
    print(f"{len(report.rows)} checks, {report.failed()} failed; {report.result}")
    return 1 if report.failed() else 0


if __name__ == "__main__":
    sys.exit(main())
