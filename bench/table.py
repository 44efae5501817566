#!/usr/bin/env python3
"""Turns the JSON lines of a measurement into a Markdown table, printed and written to bench/results/."""

import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
HEADER = [
    "processes", "precision", "pairs", "Regatta img/s", "PyTorch img/s", "ratio",
    "Regatta peak MiB", "PyTorch peak MiB", "Regatta start s", "PyTorch start s",
]  # fmt: skip


def main() -> None:
    options = parse_options()
    lines = [json.loads(line) for line in Path(options.lines).read_text().splitlines()]
    write(slug(cpu_facts()["model name"]), document(lines, options), lines, Path(options.results))


def write(name: str, text: str, lines: list[dict], results: Path) -> None:
    """Writes the table to `results/DATE-name.md`, the lines to the `.jsonl` beside it, and prints the table."""
    stem = f"{datetime.date.today().isoformat()}-{name}"
    results.mkdir(parents=True, exist_ok=True)
    (results / f"{stem}.md").write_text(text)
    (results / f"{stem}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    print(text)
    print(f"written to {os.path.relpath(results / stem)}.md; the individual runs are in the .jsonl file beside it")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lines", help="file with one JSON object a line, in the order of the runs")
    parser.add_argument("--command", required=True, help="the command that made the measurement")
    parser.add_argument("--commit", required=True, help="what was measured, as git describes it")
    parser.add_argument("--load", required=True, help="load average before the first run")
    parser.add_argument("--results", default=str(FOLDER / "results"), help="folder to write to")
    return parser.parse_args()


def document(lines: list[dict], options: argparse.Namespace) -> str:
    table = [HEADER, ["---:"] * len(HEADER), *rows(lines)]
    return "\n".join(
        [
            "# RegNetX32 on Fashion-MNIST at 96x96, global batch 128, channels_last",
            "",
            f"- Hardware: {hardware()}",
            f"- Date: {datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}; load average before: {options.load}",
            f"- Versions: {versions(lines, options.commit)}",
            f"- Command: `{options.command}`",
            f"- Steps: {steps(lines)}",
            "",
            *("| " + " | ".join(row) + " |" for row in table),
            "",
            "Images a second and start: medians over the runs (a run's speed is the median of its windows).",
            "Ratio: median over the pairs of Regatta / PyTorch, with the lowest and highest pair. Peak: highest",
            "resident memory of one process. Start: from the command to the end of the first step.",
            "",
        ]
    )


def rows(lines: list[dict]) -> list[list[str]]:
    """One row for each number of processes and precision, in the order measured."""
    keys = dict.fromkeys((line["processes"], line["precision"]) for line in lines)
    return [row(key, [line for line in lines if (line["processes"], line["precision"]) == key]) for key in keys]


def row(key: tuple[int, str], lines: list[dict]) -> list[str]:
    regatta = [line for line in lines if line["program"] == "regatta"]
    pytorch = [line for line in lines if line["program"] == "pytorch"]
    pairs = [ours["images_per_second"] / theirs["images_per_second"] for ours, theirs in zip(regatta, pytorch)]
    ratio = f"{statistics.median(pairs):.3f} ({min(pairs):.3f}-{max(pairs):.3f})" if pairs else "-"
    return [
        str(key[0]), key[1], str(len(pairs) or max(len(regatta), len(pytorch))),
        median(regatta, "images_per_second", 1), median(pytorch, "images_per_second", 1), ratio,
        highest(regatta, "peak_rss_mib"), highest(pytorch, "peak_rss_mib"),
        median(regatta, "start_to_first_step_s", 2), median(pytorch, "start_to_first_step_s", 2),
    ]  # fmt: skip


def median(lines: list[dict], field: str, digits: int) -> str:
    return f"{statistics.median(line[field] for line in lines):.{digits}f}" if lines else "-"


def highest(lines: list[dict], field: str) -> str:
    return f"{max(line[field] for line in lines):.0f}" if lines else "-"


def steps(lines: list[dict]) -> str:
    texts = (
        f"{line['precision']}: {line['warmup_steps']} to warm up, then {line['steps']} in {len(line['windows'])} windows"
        for line in lines
    )
    return "; ".join(dict.fromkeys(texts))


def hardware() -> str:
    facts = cpu_facts()
    flags = facts["flags"].split()
    wide = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags] or ["no avx2"]
    memory_kib = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1])
    return (
        f"{facts['model name']} (family {facts['cpu family']}, model {facts['model']}; {', '.join(wide)}), "
        f"{len(os.sched_getaffinity(0))} cores, {memory_kib / 2**20:.0f} GiB memory"
    )


def cpu_facts() -> dict[str, str]:
    """The fields of the first processor in /proc/cpuinfo, where this architecture has them."""
    first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    fields = (line.partition(":") for line in first.splitlines())
    unknown = {"model name": platform.machine(), "cpu family": "-", "model": "-", "flags": ""}
    return unknown | {name.strip(): value.strip() for name, _, value in fields}


def versions(lines: list[dict], commit: str) -> str:
    torch = next((line["version"] for line in lines if "version" in line), "not run")
    mpi = first_line(os.environ.get("MPIRUN", "mpirun"), "--version")
    return f"Regatta {commit}, PyTorch {torch}, Python {platform.python_version()}, {mpi}, Linux {platform.release()}"


def first_line(*command: str) -> str:
    try:
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return f"(unknown: `{Path(command[0]).name}` printed no version)"
    return output.partition("\n")[0].strip()


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


if __name__ == "__main__":
    main()
