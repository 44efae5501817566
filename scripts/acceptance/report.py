"""The results of an acceptance run: one row per check, printed and written to gpu_acceptance.json and .txt as they arrive."""

import json
import shutil
import time
from pathlib import Path

from .jobs import Skipped


class Report:
    def __init__(self, out: Path, facts: dict):
        self.out, self.facts = out, facts
        self.result = out / "gpu_acceptance.json"
        if out.exists() and any(out.iterdir()) and not self.result.exists():
            raise SystemExit(f"gpu_acceptance: {out} holds something else: name another folder")
        out.mkdir(parents=True, exist_ok=True)
        # Keep the results of earlier calls for checks that this call does not repeat.
        self.rows: list[dict] = json.loads(self.result.read_text())["checks"] if self.result.exists() else []
        shutil.rmtree(out / "runs", ignore_errors=True)
        self.write()

    def write(self) -> None:
        aside = self.result.with_suffix(".tmp")
        aside.write_text(json.dumps({**self.facts, "checks": self.rows}, indent=1) + "\n")
        aside.replace(self.result)
        self.result.with_suffix(".txt").write_text("".join(line(row) + "\n" for row in self.rows))

    def check(self, row, jobs) -> None:
        """Runs one row of the plan. An error in it does not stop the rows after it."""
        begin = time.monotonic()
        try:
            result, found = "pass", row.function(jobs, *row.arguments)
        except Skipped as reason:
            result, found = "skip", str(reason)
        except Exception as error:
            result, found = "FAIL", f"{type(error).__name__}: {error}"[:900]
        seconds = round(time.monotonic() - begin, 1)
        done = {"check": row.name, "passes_if": row.passes_if, "result": result, "told": found, "seconds": seconds}
        self.rows = [other for other in self.rows if other["check"] != row.name] + [done]
        self.write()
        print(line(done), flush=True)

    def failed(self) -> int:
        return sum(row["result"] == "FAIL" for row in self.rows)


def line(row: dict) -> str:
    return f"{row['result']:<5} {row['check']:<52} {row['seconds']:>6.1f} s  {row['told']}"
