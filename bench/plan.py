#!/usr/bin/env python3
"""Compares the predictions of `launcher plan` for several CPU ranks with runs of as many ranks. A prediction is made from a run of one
rank and the all-reduce times that `trainer probe` measured.

The machine may be shared, and other jobs disturb two ranks more than one, which leaves a core free. So a run begins when every
core is free (or a minute has passed) and every step is timed. The table has the median step and the quiet step, the fastest of
ten, which comes closest to an idle machine. The runs of a round follow each other; ratios are taken within a round, and the table
has their median, lowest and highest."""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
CORES = len(os.sched_getaffinity(0))
LONGEST_WAIT_S = 60
# Open MPI refuses to run as root without these; they have no effect for other users.
ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def main() -> None:
    options = parse_options()
    with tempfile.TemporaryDirectory() as folder:
        rounds = [one_round(options, Path(folder) / str(number)) for number in range(options.rounds)]
    print(f"{Path(options.config).stem}{' ' if options.set else ''}{' '.join(options.set)}, {options.rounds} rounds:")
    print()
    columns = ["ranks", "predicted img/s", "quiet step, img/s", "predicted / quiet", "median step, img/s", "predicted / median"]
    columns += ["exposed ms, predicted", "quiet", "median"]
    print("| " + " | ".join(columns) + " |")
    print("|" + " ---: |" * len(columns))
    for ranks in options.ranks:
        print(row(ranks, [one[ranks] for one in rounds]))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--config", default=str(REPOSITORY / "configs/regnetx32_fashion_mnist.toml"))
    parser.add_argument("--trainer", default=str(REPOSITORY / "target/release/trainer"))
    parser.add_argument("--launcher", default=str(REPOSITORY / "target/release/launcher"))
    parser.add_argument("--mpirun", default=os.environ.get("MPIRUN", "mpirun"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="part of the recipe")
    return parser.parse_args()


def one_round(options: argparse.Namespace, folder: Path) -> dict[int, dict]:
    """Measures all numbers of ranks one after the other; returns prediction and measurement by number of ranks."""
    folder.mkdir()
    measured = {ranks: run(options, ranks, folder) for ranks in sorted({1, *options.ranks})}
    probes = [probe(options, ranks, folder) for ranks in options.ranks if ranks > 1]
    return {ranks: {"predicted": plan(options, ranks, folder, probes), "measured": measured[ranks]} for ranks in options.ranks}


def sets(options: argparse.Namespace) -> list[str]:
    # One thread per rank, so that a rank has one core at every world size.
    keys = ["train.threads_per_rank=1", 'train.device="cpu"', 'train.precision="fp32"', 'train.memory_format="channels_last"']
    return [part for key in [*keys, *options.set] for part in ("--set", key)]


def mpirun(options: argparse.Namespace, ranks: int) -> list[str]:
    more_than_cores = ["--oversubscribe"] if ranks > CORES else []
    return [options.mpirun, "-n", str(ranks), *more_than_cores, options.trainer]


def run(options: argparse.Namespace, ranks: int, folder: Path) -> dict:
    """Runs `ranks` ranks and returns the median and the quiet step."""
    job = [f"train.max_steps={options.steps}", "log.interval_steps=1", "eval.interval_epochs=0"]
    job_sets = [part for key in [*job, f"run.folder={json.dumps(str(folder))}"] for part in ("--set", key)]
    wait_for_cores()
    checked([*mpirun(options, ranks), "--config", options.config, "--name", f"ranks-{ranks}", *sets(options), *job_sets])
    metrics = folder / f"ranks-{ranks}" / "metrics.jsonl"
    steps = [line for line in map(json.loads, metrics.read_text().splitlines()) if line["kind"] == "step"]
    # The first one warms up.
    speeds = statistics.quantiles((line["images_per_second"] for line in steps[1:]), n=10)
    exposed = statistics.quantiles((1e3 * line["seconds_exposed_comm"] for line in steps[1:]), n=10)
    return {"quiet": speeds[-1], "median": speeds[4], "exposed_quiet": exposed[0], "exposed_median": exposed[4]}


def wait_for_cores() -> None:
    """Waits until one process per core gets nearly all of its core."""
    end = time.monotonic() + LONGEST_WAIT_S
    with multiprocessing.Pool(CORES) as pool:
        while time.monotonic() < end and min(pool.map(share_of_a_core, [1.0] * CORES, chunksize=1)) < 0.95:
            time.sleep(1)


def share_of_a_core(seconds: float) -> float:
    begin, cpu = time.monotonic(), time.process_time()
    while (wall := time.monotonic() - begin) < seconds:
        pass
    return (time.process_time() - cpu) / wall


def probe(options: argparse.Namespace, ranks: int, folder: Path) -> str:
    file = folder / f"probe-{ranks}.json"
    file.write_text(checked([*mpirun(options, ranks), "probe", "--json", "--cpu"]))
    return str(file)


def plan(options: argparse.Namespace, ranks: int, folder: Path, probes: list[str]) -> dict:
    command = [options.launcher, "plan", "--config", options.config, *sets(options), "--gpus-per-node", str(ranks)]
    curves = [part for file in probes for part in ("--all-reduce", file)]
    made = json.loads(checked([*command, "--from-run", str(folder / "ranks-1"), *curves, "--json"]))
    last = made["rows"][-1]
    return {"images_per_second": last["images_per_second"], "exposed_ms": 1e3 * last["exposed_seconds"]}


def checked(command: list[str]) -> str:
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} exited with {done.returncode}:\n{done.stderr}")
    return done.stdout


def row(ranks: int, rounds: list[dict]) -> str:
    def median(side: str, field: str, digits: int) -> str:
        return f"{statistics.median(one[side][field] for one in rounds):.{digits}f}"

    def ratio(field: str) -> str:
        ratios = [one["predicted"]["images_per_second"] / one["measured"][field] for one in rounds]
        return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"

    speeds = [cell for field in ("quiet", "median") for cell in (median("measured", field, 1), ratio(field))]
    exposed = [median("measured", field, 2) for field in ("exposed_quiet", "exposed_median")]
    cells = [str(ranks), median("predicted", "images_per_second", 1), *speeds, median("predicted", "exposed_ms", 2), *exposed]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
