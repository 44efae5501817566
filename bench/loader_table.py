"""Turns the measurements of `loader.py` into Markdown: rates, ratios to the peers, scaling over cores, and the targets."""

import argparse
import datetime
import platform
import statistics
from collections.abc import Callable
from pathlib import Path

import table

TITLES = {
    "pil": "torchvision, PIL",
    "v2": "torchvision v2",
    "dali": "DALI",
    "regatta": "Regatta",
    "regatta-fast": "Regatta, fast",
    "regatta-shards": "Regatta, shards",
}
PEERS = ["pil", "v2", "dali"]
# Program, set, transform and cores of a measurement; the cores of all are the most that were measured.
Key = tuple[str, str, str, int]
# The images per second of each measured key, in the order of the rounds.
Rates = dict[Key, list[float]]


def write(lines: list[dict], options: argparse.Namespace) -> None:
    """Writes the table and the lines to `options.results`."""
    name = f"loader-{table.slug(table.cpu_facts()['model name'])}"
    table.write(name, document(lines, options), lines, Path(options.results))


def document(lines: list[dict], options: argparse.Namespace) -> str:
    rates: Rates = {}
    for line in lines:
        key = (line["program"], line["set"], line["transform"], line["cores"])
        rates.setdefault(key, []).append(line["images_per_second"])
    # The first round has every row once, in the order of the options.
    rows = list(dict.fromkeys(key[1:] for key in rates))
    programs = [program for program in TITLES if program in options.programs]
    return "\n".join(
        [
            "# Images read, decoded and transformed on the CPU, for 224x224",
            "",
            f"- Hardware: {table.hardware()}",
            f"- Date: {datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}; load average before: {options.load}{core_share(lines)}",
            f"- Versions: {versions(lines)}",
            f"- Command: `{options.command}`",
            f"- Images: {'; '.join(options.images)}; from the page cache",
            f"- Rounds: {options.rounds}, each number measured for {options.seconds:g} s in each; batches of {options.batch_size}",
            "",
            "Images per second (median of the rounds):",
            "",
            *markdown(["set", "transform", "cores", *(TITLES[program] for program in programs)], rate_rows(rows, programs, rates)),
            "",
            *ratio_section(rows, programs, rates),
            *section("Images per second on all cores / (cores x images per second on one):", scaling(rows, programs, rates)),
            *section("Targets; measured: median over the rounds (lowest-highest):", targets(rates)),
            "train: RandomResizedCrop(224) and horizontal flip; eval: Resize(256) and CenterCrop(224); bilinear, antialiased,",
            "uint8, not normalised. fast: data.jpeg = \"fast\", all others are exact; shards: the same files in tar archives.",
            "One core: the process and all its threads may use one core only. All cores: that many workers.",
            "packed: the photos with a shorter side of 256 px, JPEG quality 90.",
            "",
        ]
    )


def section(title: str, lines: list[str]) -> list[str]:
    return [title, "", *lines, ""] if lines else []


def markdown(header: list[str], rows: list[list[str]]) -> list[str]:
    alignment = ["---" if name in ("set", "transform", "program", "what") else "---:" for name in header]
    return ["| " + " | ".join(row) + " |" for row in (header, alignment, *rows)] if rows else []


def rate_rows(rows: list[tuple[str, str, int]], programs: list[str], rates: Rates) -> list[list[str]]:
    def cell(values: list[float] | None) -> str:
        return f"{statistics.median(values):.0f}" if values else "-"

    return [
        [*map(str, row), *(cell(rates.get((program, *row))) for program in programs)]
        for row in rows
    ]  # fmt: skip


def ratio_section(rows: list[tuple[str, str, int]], programs: list[str], rates: Rates) -> list[str]:
    """Ratios of each of Regatta's programs to each peer within a round."""
    peers = [peer for peer in programs if peer in PEERS]
    found = [
        [*map(str, row), TITLES[ours], *(cell(ratios(rates, (ours, *row), (peer, *row))) for peer in peers)]
        for row in rows
        for ours in programs
        if ours not in PEERS
    ]
    header = ["set", "transform", "cores", "program", *(f"/ {TITLES[peer]}" for peer in peers)]
    title = "Ratio of Regatta to each peer within a round: median (lowest-highest); above 1, Regatta is faster:"
    return section(title, markdown(header, found) if peers else [])


def ratios(rates: Rates, ours: Key, theirs: Key, scale: float = 1.0) -> list[float]:
    """Images per second of `ours` / `theirs` in each round, times `scale`; empty if one was not measured."""
    return [scale * a / b for a, b in zip(rates.get(ours, []), rates.get(theirs, []))]


def cell(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})" if values else "-"


def scaling(rows: list[tuple[str, str, int]], programs: list[str], rates: Rates) -> list[str]:
    many = max(cores for _, _, cores in rows)
    pairs = dict.fromkeys((images, transform) for images, transform, _ in rows) if many > 1 else {}
    found = [
        [*pair, *(cell(linear(rates, (program, *pair), many)) for program in programs)]
        for pair in pairs
        if any(linear(rates, (program, *pair), many) for program in programs)
    ]
    return markdown(["set", "transform", *(TITLES[program] for program in programs)], found)


def linear(rates: Rates, key: tuple[str, str, str], cores: int) -> list[float]:
    """The part of linear scaling from one core to `cores` in each round."""
    return ratios(rates, (*key, cores), (*key, 1), scale=1 / cores)


def targets(rates: Rates) -> list[str]:
    many = max(cores for *_, cores in rates)
    pil = ("pil", "originals", "train", 1)
    checks: list[tuple[str, float, Callable[[], list[float]]]] = [
        ("Regatta / PIL, originals, train, one core", 2.0, lambda: ratios(rates, ("regatta", *pil[1:]), pil)),
        (
            "Regatta from packed shards / PIL on originals, train, one core",
            5.0,
            lambda: ratios(rates, ("regatta-shards", "packed", "train", 1), pil),
        ),
        ("Regatta on all cores / linear, originals, train", 0.9, lambda: linear(rates, ("regatta", *pil[1:3]), many)),
    ]
    if many == 1:
        checks.pop()
    measured = [(what, target, values()) for what, target, values in checks]
    rows = [
        [what, f"{target:.1f}", cell(values), "yes" if statistics.median(values) >= target else "no"]
        for what, target, values in measured
        if values
    ]
    return markdown(["what", "target", "measured", "reached"], rows)


def core_share(lines: list[dict]) -> str:
    """Says how much of its core a peer got that computes on one, which shows whether other jobs ran."""
    shares = [line["cpu_seconds"] / line["seconds"] for line in lines if line["cores"] == 1 and "cpu_seconds" in line]
    return f"; peers on one core got {min(shares):.0%} to {max(shares):.0%} of it" if shares else ""


def versions(lines: list[dict]) -> str:
    found = {name: version for line in lines for name, version in line["versions"].items()}
    texts = [f"{name} {version}" for name, version in found.items()]
    return ", ".join([*texts, f"Python {platform.python_version()}", f"Linux {platform.release()}"])
