#!/usr/bin/env python3
"""Measures how fast images are read, decoded, augmented and delivered on the CPU, beside torchvision and DALI.

For each set of images, transform and number of cores the programs take turns, one process for each measurement, in several
rounds. bench/README.md documents the options; `loader_table.py` writes the table to bench/results/."""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import loader_table
from loader_sets import ImageSet, prepare, write_recipe, write_shards

REPOSITORY = Path(__file__).resolve().parent.parent
PEERS = ["pil", "v2", "dali"]
PROGRAMS = [*PEERS, "regatta", "regatta-fast", "regatta-shards"]
SETS = ["originals", "packed", "imagenette"]
CORES = sorted(os.sched_getaffinity(0))
# Far longer than any process takes to start.
STARTUP_LIMIT_S = 240
# Open MPI refuses to run as root without these; they have no effect for other users.
ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def main() -> None:
    options = parse_options()
    options.load = Path("/proc/loadavg").read_text().split()[0]
    options.programs = available(options)
    with tempfile.TemporaryDirectory() as folder:
        sets = prepare(options.sets, Path(folder))
        if not sets:
            raise SystemExit("there are no images: set REGATTA_TEST_PHOTOS or REGATTA_TEST_IMAGENETTE")
        options.images = [images.describe() for images in sets]
        recipes = {images.name: write_recipes(images, options) for images in sets}
        lines = [line for number in range(options.rounds) for line in one_round(number, sets, recipes, options)]
    loader_table.write(lines, options)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each program in each row")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a measurement, after the warm-up")
    parser.add_argument("--warmup-seconds", type=float, default=1.0, help="the peers' warm-up before each measurement")
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--transforms", nargs="+", choices=["train", "eval"], default=["train", "eval"])
    parser.add_argument("--cores", nargs="+", choices=["1", "all"], default=["1", "all"])
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=PROGRAMS, help="their order within a round rotates")
    parser.add_argument("--trainer", default=str(REPOSITORY / "target/release/trainer"), help="the binary")
    parser.add_argument("--dali-python", default=sys.executable, help="the Python that has nvidia-dali-cuda130")
    parser.add_argument("--results", default=str(REPOSITORY / "bench/results"), help="folder to write to")
    options = parser.parse_args()
    options.command = shlex.join(["bench/loader.py", *sys.argv[1:]])
    options.commit = git_describe()
    return options


def git_describe() -> str:
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "(not from a git checkout)"


def available(options: argparse.Namespace) -> list[str]:
    """The programs without DALI where it is missing; without a trainer where one is asked for there is nothing to measure."""
    programs = list(dict.fromkeys(options.programs))
    if set(programs) - set(PEERS) and not Path(options.trainer).exists():
        raise SystemExit(f"no trainer at {options.trainer}: run `make build`")
    if "dali" in programs and subprocess.run([options.dali_python, "-c", "import nvidia.dali"], capture_output=True).returncode != 0:
        install = f"{options.dali_python} -m pip install nvidia-dali-cuda130"
        print(f"skipped: dali: {install}, or name another Python with --dali-python", flush=True)
        programs.remove("dali")
    if not programs:
        raise SystemExit("there is no program to measure")
    return programs


def write_recipes(images: ImageSet, options: argparse.Namespace) -> dict[str, Path]:
    """The recipe of each of Regatta's programs."""
    files = write_recipe(images, options.batch_size)
    recipes = {"regatta": files, "regatta-fast": files}
    if "regatta-shards" in options.programs:
        recipes["regatta-shards"] = write_recipe(images, options.batch_size, write_shards(options.trainer, images, files))
    return recipes


def one_round(number: int, sets: list[ImageSet], recipes: dict[str, dict[str, Path]], options: argparse.Namespace) -> list[dict]:
    """Measures every row once; the programs of a row follow each other."""
    turn = number % len(options.programs)
    programs = options.programs[turn:] + options.programs[:turn]
    counts = dict.fromkeys(1 if cores == "1" else len(CORES) for cores in options.cores)
    lines = []
    for images in sets:
        for transform in options.transforms:
            for cores in counts:
                images.read()
                for program in programs:
                    key = {"program": program, "set": images.name, "transform": transform, "cores": cores, "round": number}
                    measured = measure(program, images, recipes[images.name].get(program), transform, cores, options)
                    lines.append({**key, **measured})
                    print(json.dumps(lines[-1]), flush=True)
    return lines


def measure(
    program: str, images: ImageSet, recipe: Path | None, transform: str, cores: int, options: argparse.Namespace
) -> dict:
    if program in PEERS:
        return run(peer(program, images, transform, cores, options), cores, options)
    report = run(regatta(program, recipe, transform, cores, options), cores, options)
    return {"images_per_second": round(report["loader_images_per_second"], 1), "versions": {"Regatta": options.commit}}


def peer(program: str, images: ImageSet, transform: str, cores: int, options: argparse.Namespace) -> list[str]:
    python = options.dali_python if program == "dali" else sys.executable
    return [
        python, str(REPOSITORY / "bench/loader_peers.py"), program, "--folder", str(images.folder / "train"),
        "--transform", transform, "--cores", str(cores), "--batch-size", str(options.batch_size),
        "--warmup-seconds", str(options.warmup_seconds), "--seconds", str(options.seconds),
    ]  # fmt: skip


def regatta(program: str, recipe: Path, transform: str, cores: int, options: argparse.Namespace) -> list[str]:
    jpeg = "fast" if program == "regatta-fast" else "exact"
    return [
        options.trainer, "probe", "--config", str(recipe), "--cpu", "--json",
        "--set", f"data.workers={cores}", "--set", f'data.jpeg="{jpeg}"',
        "--loader-seconds", f"{options.seconds:g}", "--loader-split", "train" if transform == "train" else "val",
    ]  # fmt: skip


def run(command: list[str], cores: int, options: argparse.Namespace) -> dict:
    """Runs a program that may use that many cores and returns the JSON that it prints."""
    # One core stands for all threads of a program, also for those that only read or hand over.
    usable = CORES[-1:] if cores == 1 else CORES
    done = subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, usable),
        timeout=STARTUP_LIMIT_S + options.warmup_seconds + options.seconds,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"{shlex.join(command)} exited with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
