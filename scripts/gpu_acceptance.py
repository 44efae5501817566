"""Runs the checks of gpu_acceptance.sh, which sets up the environment."""

import argparse
import datetime
import sys
from pathlib import Path

from acceptance import plan
from acceptance.jobs import Jobs, gpus
from acceptance.report import Report


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trainer", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plan", action="store_true", help="print the checks with their seconds, calls and pass criteria")
    parser.add_argument("--call", type=int, choices=list(plan.CALLS), help="run the checks of one call, which takes less than ten minutes")
    parser.add_argument("--only", action="append", default=[], help="run only checks whose name contains this word; may be repeated")
    parser.add_argument("--skip", action="append", default=[], help="skip checks whose name contains this word; may be repeated")
    parser.add_argument("--no-compile", action="store_true", help="measure throughput without torch.compile")
    parser.add_argument("--rehearse", action="store_true", help="run the checks on a CPU with small steps; verifies nothing about a GPU")
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
