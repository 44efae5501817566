"""Throughput of complete steps: compared with PyTorch, with the loader, and by bucket cap.

Programs are compared in turns. All are started and warmed up, one after the other; then each in turn runs a window of steps when it
reads a line from standard input, while the others wait. Changes of clock, temperature or load thus affect all of them alike."""

import json
import subprocess
import sys
from dataclasses import dataclass

from .jobs import FASHION, REGNETX, ROOT, Failed, Jobs, limited, lines, median, recipe

IMAGENET = ["--resolution-px", "224"]
# The network and options for the PyTorch script, and the recipe.
NETWORKS = {
    "regnetx32": ([[4, 32, 16], [6, 80, 16]], ["--resolution-px", "96", "--channels", "1", "--classes", "10"], FASHION),
    "regnetx_400mf": ({"depth": 22, "w0": 24, "wa": 24.48, "wm": 2.54, "group_width": 16}, IMAGENET, REGNETX),
    "regnetx_1_6gf": ({"depth": 18, "w0": 80, "wa": 34.01, "wm": 2.25, "group_width": 24}, IMAGENET, REGNETX),
}
STEPS = 60
ROUNDS = 5
LIMIT_S = 400
RECORDED, EAGER, PYTORCH = "Regatta recorded", "Regatta eager", "PyTorch eager"
COMPILED = "PyTorch compiled"
CAPS_MIB = (4, 8, 16, 25)
MEMORY_LIMIT = 1.1


class Contestant:
    """A program that runs a window of steps for each line sent to it, and answers with a line of JSON."""

    def __init__(self, jobs: Jobs, command: list):
        self.log = jobs.log()
        with self.log.open("w") as stderr:
            stderr.write(f"{' '.join(map(str, command))}\n")
            stderr.flush()
            self.process = subprocess.Popen(
                limited(command, LIMIT_S), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=ROOT
            )

    def window(self) -> dict:
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self.process.stdout.readline()
        if not answer:
            last = self.log.read_text().strip().splitlines()[-1:]
            raise Failed(f"exit code {self.process.wait()} ({self.log}): {' '.join(last)}")
        return json.loads(answer)

    def end(self) -> None:
        """Closes its standard input, after which it exits by itself."""
        self.process.communicate()


def in_turn(jobs: Jobs, commands: dict[str, list], optional: tuple = ()) -> tuple[dict[str, list[dict]], list[str]]:
    """Returns the windows of each program by round, and messages about optional programs that do not run here."""
    contestants, missing = {}, []
    try:
        for label, command in commands.items():
            contestants[label] = Contestant(jobs, command)
            try:
                # Warm up before the next one starts, so that its cuDNN times algorithms undisturbed.
                contestants[label].window()
            except Failed as error:
                if label not in optional:
                    raise
                contestants.pop(label).end()
                missing.append(f"{label} not measured ({error})")
        windows = {label: [] for label in contestants}
        for _ in range(ROUNDS):
            for label, contestant in contestants.items():
                windows[label].append(contestant.window())
    finally:
        for contestant in contestants.values():
            contestant.end()
    return windows, missing


def rates(windows: list[dict]) -> list[float]:
    return [window["images_per_second"] for window in windows]


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Returns the median ratio over the rounds."""
    return median(our / their for our, their in zip(ours, theirs, strict=True))


def judge(windows: dict[str, list[dict]], bounds: dict[str, float]) -> str:
    """Checks that recorded steps reach a minimum share of each peer's rate, and stay within PyTorch's memory."""
    ours = rates(windows[RECORDED])
    ratios = {label: ratio(ours, rates(peer)) for label, peer in windows.items() if label != RECORDED}
    told = ", ".join(f"{value:.2f} of {label}" for label, value in ratios.items())
    told += "".join(f"; {described(label, peer)}" for label, peer in windows.items())
    slow = [f"{ratios[label]:.2f} of {label}, not {bound}" for label, bound in bounds.items() if label in ratios and ratios[label] < bound]
    (our_mib, their_mib) = (windows[label][-1].get("peak_device_mib") or 0 for label in (RECORDED, PYTORCH))
    if our_mib > MEMORY_LIMIT * their_mib:
        slow.append(f"{our_mib:.0f} MiB, not {MEMORY_LIMIT} times {their_mib:.0f}")
    if slow:
        raise Failed(f"{'; '.join(slow)} ({told})")
    return told


def described(label: str, windows: list[dict]) -> str:
    values, last = rates(windows), windows[-1]
    spread = f"{median(values):.0f} images/s ({min(values):.0f} to {max(values):.0f})"
    return f"{label} {spread}, {last.get('peak_device_mib') or 0:.0f} MiB, first step {last['seconds_to_first_step']:.1f} s"


def beside_pytorch(jobs: Jobs, network: str, memory_format: str, batch: int, bounds: dict[str, float], mode: str | None = None) -> str:
    """Compares with PyTorch on images on the device; also with compiled PyTorch if a mode of torch.compile is given."""
    return judge_with(*in_turn(jobs, contest(jobs, network, memory_format, batch, mode), optional=(COMPILED,)), bounds)


def judge_with(windows: dict, missing: list[str], bounds: dict[str, float]) -> str:
    return "; ".join([judge(windows, bounds), *missing])


def contest(jobs: Jobs, network: str, memory_format: str, batch: int, mode: str | None) -> dict[str, list]:
    """Returns the command of each program."""
    described, options, config = NETWORKS[network]
    on_cpu = ["--device", "cpu", "--batch", "8", "--steps", "2", "--resolution-px", "32"] if jobs.rehearses else []
    steps = 2 if jobs.rehearses else STEPS
    keys = [
        'train.precision="bf16"', f'train.memory_format="{memory_format}"', f"train.global_batch_size={batch}", f"train.micro_batch_size={batch}",
        'optim.name="sgd"', "optim.momentum=0.9", "optim.nesterov=true",
    ]  # fmt: skip
    keys += ["model.conv_bias=false"] if config == FASHION else [f'model.arch="{network}"']
    pytorch = [
        sys.executable, ROOT / "bench/pytorch_regnet.py", "--network", json.dumps(described), *options, "--format", memory_format,
        "--batch", batch, "--steps", steps, "--in-turn", *on_cpu,
    ]  # fmt: skip
    commands = {
        label: jobs.probe_command("--steps", steps, "--in-turn", *recipe(config, *jobs.keys(*keys, f"train.cuda_graph={graph}")))
        for label, graph in ((RECORDED, "true"), (EAGER, "false"))
    }
    commands[PYTORCH] = pytorch
    if mode:
        commands[COMPILED] = [*pytorch, "--compile", mode]
    return commands


@dataclass(frozen=True)
class Shares:
    """Shares of a step's time on the device, from the metrics: medians over the logged steps."""

    step_ms: float
    busy: float
    copy: float
    data: float


def shares(steps: list[dict], images: int) -> Shares:
    """`busy` is from forward's first kernel to the update's last, pauses between kernels included."""

    def share(*phases: str) -> float:
        return median(sum(line[f"seconds_{phase}"] for phase in phases) * line["images_per_second"] / images for line in steps)

    step_ms = 1e3 * images / median(line["images_per_second"] for line in steps)
    return Shares(step_ms, share("forward", "backward", "exposed_comm", "optimizer"), share("copy"), share("data"))


def loader_keeps_up(jobs: Jobs, precision: str, least: float) -> str:
    """Compares training from files with the same recipe's steps on images on the device."""
    images, steps = (8, 40) if jobs.rehearses else (128, 900)
    keys = (f'train.precision="{precision}"', f"train.global_batch_size={images}", f"train.micro_batch_size={images}", "train.epochs=9")
    logged = lines(jobs.train(f"loader-{precision}", FASHION, *keys, f"train.max_steps={steps}", "eval.interval_epochs=0"), "step")
    probe = json.loads(jobs.run(*jobs.probe_command("--steps", 2 if jobs.rehearses else STEPS, *recipe(FASHION, *jobs.keys(*keys)))))
    # The first lines include cuDNN's timing and the recording.
    return judge_loader(shares(logged[len(logged) // 3 :], images), probe["step"]["milliseconds"], probe["loader_images_per_second"], least)


def judge_loader(found: Shares, resident_ms: float, loader_rate: float, least: float) -> str:
    """`least` is the minimum share of the rate without a loader."""
    rate = resident_ms / found.step_ms
    told = (
        f"a step takes {found.step_ms:.2f} ms, {resident_ms:.2f} on images that lie on the device: {rate:.2f} of that rate; of its time busy "
        f"{found.busy:.2f}, copies {found.copy:.2f}, waiting for the loader {found.data:.2f}; alone the loader assembles {loader_rate:.0f} images/s"
    )
    if rate < least:
        raise Failed(f"{rate:.2f}, not {least} of the rate without a loader ({told})")
    return told


def bucket_caps(jobs: Jobs, network: str, batch: int) -> str:
    """Uses one rank per GPU. Three rounds over all caps, not turns, since waiting ranks would spin on the cores."""
    jobs.needs_gpus(2)
    _, _, config = NETWORKS[network]
    ranks, steps = jobs.ranks(), 2 if jobs.rehearses else STEPS
    keys = (f'model.arch="{network}"', 'train.precision="bf16"', f"train.global_batch_size={batch * ranks}", f"train.micro_batch_size={batch}")
    by_cap = {cap: [] for cap in CAPS_MIB}
    for _ in range(3):
        for cap in CAPS_MIB:
            command = jobs.probe_command("--steps", steps, *recipe(config, *jobs.keys(*keys, f"comm.bucket_cap_mib={cap}")), ranks=ranks)
            by_cap[cap].append(json.loads(jobs.run(*command))["step"]["images_per_second"])
    return judge_caps(by_cap)


def judge_caps(by_cap: dict[int, list[float]]) -> str:
    """The first cap is the default."""
    medians = {cap: median(values) for cap, values in by_cap.items()}
    told = ", ".join(f"{cap} MiB {rate:.0f} images/s" for cap, rate in medians.items())
    default, best = CAPS_MIB[0], max(medians, key=medians.get)
    if medians[default] < 0.97 * medians[best]:
        raise Failed(f"comm.bucket_cap_mib = {best} is {medians[best] / medians[default]:.2f} times as fast as the default of {default} ({told})")
    return told
