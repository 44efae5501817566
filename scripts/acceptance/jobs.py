"""Starts the trainer and the PyTorch scripts, and reads the results of their runs."""

import functools
import json
import os
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FASHION = ROOT / "configs/regnetx32_fashion_mnist.toml"
REGNETX = ROOT / "configs/regnetx.toml"
LIMIT_S = 300
# A rehearsal on a CPU tests the checks, not the device, so its steps are small.
REHEARSAL = ("data.resolution_px=32", "train.global_batch_size=8", "train.micro_batch_size=4", "train.threads_per_rank=1")


class Failed(Exception):
    """A check that did not hold."""


class Skipped(Exception):
    """A check that this machine cannot run."""


def gpus() -> int:
    import torch

    return torch.cuda.device_count()


def recipe(config: Path, *keys: str) -> list:
    """Returns a recipe as trainer arguments, with Fashion-MNIST's folder if the recipe reads it."""
    folder = (f'data.folder="{os.environ.get("FASHION_MNIST_FOLDER", "")}"',) if config == FASHION else ()
    return ["--config", config, *(part for key in (*folder, *keys) for part in ("--set", key))]


class Jobs:
    """Programs of one acceptance run; their output goes to `out`, their runs to a folder in that."""

    def __init__(self, trainer: Path, out: Path, rehearses: bool = False):
        self.trainer, self.out, self.rehearses = trainer.resolve(), out, rehearses
        self.runs = out / "runs"

    def ranks(self) -> int:
        """Number of ranks: one per GPU."""
        return 2 if self.rehearses else gpus()

    def needs_gpus(self, number: int = 1) -> None:
        if self.rehearses and number == 1:
            raise Skipped("a rehearsal: no GPU")
        if self.ranks() < number:
            raise Skipped(f"{gpus()} GPUs")

    def keys(self, *keys: str) -> tuple:
        """Adds the keys that a rehearsal changes; the last of several values counts."""
        return (*keys, *(REHEARSAL if self.rehearses else ()))

    def train_command(self, name: str, config: Path, *keys: str, ranks: int | None = 1, options: tuple = ()) -> list:
        """Returns the command of a training run, under mpirun unless `ranks` is None."""
        launch = ["mpirun", "-n", ranks] if ranks else []
        device = "cpu" if self.rehearses else "cuda"
        keys = self.keys(f'run.folder="{self.runs}"', f'train.device="{device}"', *keys)
        return [*launch, self.trainer, "--name", name, *options, *recipe(config, *keys)]

    def probe_command(self, *options, ranks: int | None = None) -> list:
        launch = ["mpirun", "-n", ranks] if ranks else []
        return [*launch, self.trainer, "probe", "--json", *(["--cpu"] if self.rehearses else []), *options]

    def log(self) -> Path:
        """Returns the log file of the next program."""
        return self.out / f"{len(list(self.out.glob('*.log'))):03}.log"

    def run(self, *command, code: int = 0, limit_s: float = LIMIT_S, **environment: str) -> str:
        """Runs a command, which must exit with `code` within the limit; its output is also logged."""
        log = self.log()
        done = subprocess.run(
            limited(command, limit_s), capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}
        )
        log.write_text(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}\nexit code {done.returncode}\n")
        if done.returncode != code:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise Failed(f"exit code {done.returncode}, not {code} ({log}): {' '.join(last)}")
        return done.stdout

    def train(self, name: str, config: Path, *keys: str, ranks: int = 1, options: tuple = (), **environment: str) -> Path:
        """Runs one training to its end and returns its folder."""
        self.run(*self.train_command(name, config, *keys, ranks=ranks, options=options), **environment)
        return self.runs / name

    @functools.cache
    def probe(self) -> dict:
        """Returns the probe's findings in one process."""
        return json.loads(self.run(*self.probe_command()))


def limited(command, limit_s: float) -> list[str]:
    """Adds a time limit to a command. mpirun forwards the TERM; a killed mpirun would leave ranks on the GPU."""
    return ["timeout", "-k", "10", str(limit_s), *map(str, command)]


def lines(run: Path, kind: str) -> list[dict]:
    """Returns the records of one kind from a run's metrics."""
    return [line for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if line["kind"] == kind]


def checkpoint(run: Path, step: int | None = None) -> Path:
    """Returns the checkpoint of this step, or the newest."""
    return run / f"checkpoints/step-{step:09}" if step else max((run / "checkpoints").glob("step-*"))


def state(checkpoint: Path) -> dict:
    return json.loads((checkpoint / "state.json").read_text())


# The format is implemented here, since torch does not include the package safetensors.
DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32", "U8": "uint8"}


def tensors(file: Path) -> dict:
    import torch

    bytes_ = file.read_bytes()
    begin = 8 + int.from_bytes(bytes_[:8], "little")
    header = json.loads(bytes_[8:begin])
    header.pop("__metadata__", None)

    def tensor(entry: dict):
        data = bytearray(bytes_[begin + entry["data_offsets"][0] : begin + entry["data_offsets"][1]])
        dtype = getattr(torch, DTYPES[entry["dtype"]])
        return torch.frombuffer(data, dtype=dtype).reshape(entry["shape"]) if data else torch.empty(entry["shape"], dtype=dtype)

    return {name: tensor(entry) for name, entry in header.items()}


def save_tensors(tensors: dict, file: Path) -> None:
    names = {f"torch.{name}": short for short, name in DTYPES.items()}
    header, data = {}, b""
    for name, tensor in tensors.items():
        bytes_ = tensor.contiguous().numpy().tobytes()
        header[name] = {"dtype": names[str(tensor.dtype)], "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(bytes_)]}
        data += bytes_
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data)


def median(values) -> float:
    return statistics.median(values)
