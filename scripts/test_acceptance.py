"""The acceptance run's own decisions: its plan, its command lines, its verdicts. Needs neither a GPU nor PyTorch."""

import contextlib
import io
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from acceptance import equality, overflow, plan, throughput
from acceptance.jobs import FASHION, REGNETX, REHEARSAL, ROOT, Failed, Jobs, Skipped, checkpoint, recipe
from acceptance.report import Report
from acceptance.throughput import COMPILED, EAGER, PYTORCH, RECORDED, Shares


def sets(command: list) -> list[str]:
    """The keys that a command line overrides."""
    return [key for flag, key in zip(command, command[1:]) if flag == "--set"]


def windows(**rates: list[float]) -> dict[str, list[dict]]:
    labels = {"recorded": RECORDED, "eager": EAGER, "pytorch": PYTORCH, "compiled": COMPILED}
    return {
        labels[label]: [{"images_per_second": rate, "seconds_to_first_step": 1.0, "peak_device_mib": 100.0} for rate in values]
        for label, values in rates.items()
    }


class InFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = Path(folder.name)
        self.jobs = Jobs(Path("trainer"), self.out)


class Plan(unittest.TestCase):
    def test_each_call_ends_in_time_and_half_an_hour_is_enough_for_one_gpu(self):
        seconds = {call: sum(row.seconds for row in plan.rows() if row.call == call) for call in plan.CALLS}
        self.assertTrue(all(0 < seconds[call] <= plan.CALL_LIMIT_S for call in plan.CALLS), seconds)
        self.assertLess(sum(seconds[call] for call in (1, 2, 3)), 25 * 60)

    def test_names_differ_and_each_row_says_when_it_passes(self):
        rows = plan.rows()
        self.assertEqual(len({row.name for row in rows}), len(rows))
        self.assertTrue(all(row.passes_if and row.ran for row in rows))
        shown = plan.table(rows)
        self.assertTrue(all(row.name in shown and row.passes_if in shown for row in rows))

    def test_rows_are_chosen_by_call_and_words(self):
        def names(**choice):
            return [row.name for row in plan.chosen(plan.rows(), **{"call": None, "only": [], "skip": [], **choice})]

        self.assertEqual(len(names()), len(plan.rows()))
        self.assertEqual({name.split(",")[0] for name in names(call=3)}, {"regnetx32", "regnetx_400mf", "regnetx_1_6gf"})
        self.assertEqual(names(only=["dropout", "overflow"], skip=["fp16"]), ["dropout repeats"])
        self.assertEqual(names(call=1, only=["bucket"]), [])

    def test_without_compiling_no_row_asks_for_it(self):
        beside = [row for row in plan.rows(compiles=False) if row.function is throughput.beside_pytorch]
        self.assertEqual(len(beside), 7)
        for row in beside:
            self.assertNotIn("compiled", row.passes_if)
            self.assertEqual((row.arguments[-1], list(row.arguments[-2])), (None, [PYTORCH]))
        compiled = [row.name for row in plan.rows() if row.arguments[-1:] == (plan.REDUCE_OVERHEAD,)]
        self.assertIn("regnetx_1_6gf, bf16, channels_last, 128 images", compiled)

    def test_micro_batches_of_a_step_are_equal_or_end_with_a_short_one(self):
        steps = [row for row in plan.rows() if row.function is equality.one_step_as_on_a_cpu]
        self.assertEqual(sum(plan.SHORT_LAST[0] in row.arguments for row in steps), 1)
        command = Jobs(Path("trainer"), Path("out")).train_command("a", FASHION, *equality.step_keys(*plan.SHORT_LAST))
        sizes = dict(key.split("=") for key in sets(command))
        self.assertEqual((sizes["train.global_batch_size"], sizes["train.micro_batch_size"]), ("48", "20"))

    def test_printing_it_needs_no_pytorch(self):
        command = [sys.executable, "-S", ROOT / "scripts/gpu_acceptance.py", "--plan", "--call", "4"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        self.assertIn("bucket caps of 4, 8, 16 and 25 MiB", printed)


class CommandLines(InFolder):
    def test_a_run(self):
        command = self.jobs.train_command("a", REGNETX, "train.max_steps=3", ranks=2, options=("--resume", "auto"))
        self.assertEqual(command[:4], ["mpirun", "-n", 2, self.jobs.trainer])
        self.assertEqual(command[4:10], ["--name", "a", "--resume", "auto", "--config", REGNETX])
        self.assertEqual(sets(command), [f'run.folder="{self.out / "runs"}"', 'train.device="cuda"', "train.max_steps=3"])
        self.assertEqual(self.jobs.train_command("a", REGNETX, ranks=None)[0], self.jobs.trainer)

    def test_the_folder_of_the_data_where_the_recipe_reads_it(self):
        self.assertEqual(recipe(REGNETX), ["--config", REGNETX])
        self.assertTrue(sets(recipe(FASHION, "a=1"))[0].startswith("data.folder="))
        self.assertEqual(sets(recipe(FASHION, "a=1"))[1:], ["a=1"])

    def test_a_rehearsal_has_the_last_word(self):
        keys = sets(Jobs(Path("trainer"), self.out, rehearses=True).train_command("a", REGNETX, "train.global_batch_size=128"))
        self.assertEqual(tuple(keys[-len(REHEARSAL) :]), REHEARSAL)
        self.assertIn('train.device="cpu"', keys)

    def test_a_contest_is_of_one_batch_and_format(self):
        commands = throughput.contest(self.jobs, "regnetx32", "contiguous", 64, "reduce-overhead")
        self.assertEqual(list(commands), [RECORDED, EAGER, PYTORCH, COMPILED])
        self.assertIn("train.cuda_graph=true", sets(commands[RECORDED]))
        self.assertIn("train.cuda_graph=false", sets(commands[EAGER]))
        self.assertIn("train.micro_batch_size=64", sets(commands[RECORDED]))
        self.assertEqual(commands[COMPILED], [*commands[PYTORCH], "--compile", "reduce-overhead"])
        self.assertEqual(commands[PYTORCH][commands[PYTORCH].index("--batch") + 1], 64)
        self.assertTrue(all("--in-turn" in command for command in commands.values()))
        self.assertNotIn(COMPILED, throughput.contest(self.jobs, "regnetx_400mf", "contiguous", 64, None))

    def test_a_command_that_ends_otherwise_fails_with_its_last_line(self):
        with self.assertRaisesRegex(Failed, "exit code 3, not 0 .*: the last"):
            self.jobs.run("sh", "-c", "echo first >&2; echo the last >&2; exit 3")
        self.assertEqual(self.jobs.run("sh", "-c", "echo $KEY; exit 5", code=5, KEY="value"), "value\n")
        self.assertEqual(len(list(self.out.glob("*.log"))), 2)


class Turns(InFolder):
    """With programs that answer each line by the next number of their own, and write down whose turn it was."""

    def program(self, name: str, start: int) -> list:
        code = f"""
import json, sys
for number, _ in enumerate(sys.stdin, {start}):
    open({str(self.out / "order")!r}, "a").write({name!r})
    print(json.dumps({{"images_per_second": number}}), flush=True)
"""
        return [sys.executable, "-c", code]

    def test_programs_take_turns_after_each_was_warmed_up_alone(self):
        answers, missing = throughput.in_turn(self.jobs, {"A": self.program("A", 10), "B": self.program("B", 20)})
        self.assertEqual((self.out / "order").read_text(), "AB" + "AB" * throughput.ROUNDS)
        self.assertEqual(throughput.rates(answers["A"]), [11, 12, 13, 14, 15])
        self.assertEqual((throughput.rates(answers["B"])[0], missing), (21, []))

    def test_one_that_does_not_run_is_named_or_fails_the_row(self):
        commands = {"A": self.program("A", 0), "B": ["sh", "-c", "echo no compiler >&2; exit 7"]}
        answers, missing = throughput.in_turn(self.jobs, commands, optional=("B",))
        self.assertEqual(list(answers), ["A"])
        self.assertRegex(missing[0], "B not measured .*exit code 7 .*no compiler")
        with self.assertRaisesRegex(Failed, "no compiler"):
            throughput.in_turn(self.jobs, commands)


class Verdicts(unittest.TestCase):
    def test_ratios_are_medians_over_rounds(self):
        self.assertEqual(throughput.ratio([100, 400, 90], [100, 100, 100]), 1.0)
        measured = windows(recorded=[100, 400, 90], pytorch=[100, 100, 100])
        self.assertIn(f"1.00 of {PYTORCH}; {RECORDED} 100 images/s (90 to 400)", throughput.judge(measured, {PYTORCH: 1.0}))
        with self.assertRaisesRegex(Failed, f"1.00 of {PYTORCH}, not 1.1"):
            throughput.judge(measured, {PYTORCH: 1.1})

    def test_a_peer_that_did_not_run_does_not_count(self):
        throughput.judge(windows(recorded=[10], pytorch=[10]), {PYTORCH: 1.0, COMPILED: 9.0})
        with self.assertRaisesRegex(Failed, COMPILED):
            throughput.judge(windows(recorded=[10], pytorch=[10], compiled=[10]), {PYTORCH: 1.0, COMPILED: 9.0})

    def test_memory_is_held_to_the_peers(self):
        measured = windows(recorded=[10], pytorch=[10])
        measured[RECORDED][0]["peak_device_mib"] = 120.0
        with self.assertRaisesRegex(Failed, "120 MiB, not 1.1 times 100"):
            throughput.judge(measured, {PYTORCH: 1.0})

    def test_shares_of_a_steps_time(self):
        phases = {"data": 0.001, "copy": 0.0005, "forward": 0.0, "backward": 0.002, "exposed_comm": 0.0, "optimizer": 0.0005}
        line = {"images_per_second": 25.0, **{f"seconds_{phase}": seconds for phase, seconds in phases.items()}}
        found = throughput.shares([line, line], images=1)
        self.assertEqual(found.step_ms, 40.0)
        for share, expected in ((found.busy, 0.0625), (found.copy, 0.0125), (found.data, 0.025)):
            self.assertAlmostEqual(share, expected)

    def test_the_loader_is_held_to_the_rate_without_it(self):
        found = Shares(step_ms=10.0, busy=0.8, copy=0.0, data=0.1)
        self.assertIn("0.90 of that rate", throughput.judge_loader(found, 9.0, 1e5, 0.9))
        with self.assertRaisesRegex(Failed, "0.80, not 0.9"):
            throughput.judge_loader(found, 8.0, 1e5, 0.9)

    def test_a_bucket_cap_that_is_faster_than_the_default_fails_with_its_name(self):
        self.assertIn("4 MiB 100", throughput.judge_caps({4: [99, 100, 500], 8: [101, 102, 101], 16: [90], 25: [80]}))
        with self.assertRaisesRegex(Failed, "bucket_cap_mib = 16 is 1.50 times"):
            throughput.judge_caps({4: [100], 8: [101], 16: [150], 25: [80]})

    def test_skipped_steps_halve_the_scale_and_the_others_leave_it(self):
        def states(skips: str) -> list[dict]:
            counts = [skips[:end].count("s") for end in range(1, len(skips) + 1)]
            return [
                {"skipped": skipped, "updates": number - skipped, "loss_scale": {"scale": 65_536 / 2**skipped}}
                for number, skipped in enumerate(counts, 1)
            ]

        self.assertEqual(overflow.skipped_steps(states("sssssuusu")), 5)
        for skips in ("ssssuuu", "uuuuuu", "ssssssss"):
            with self.assertRaisesRegex(Failed, "steps skipped at first"):
                overflow.skipped_steps(states(skips))
        wrong = states("ssssssuu")
        wrong[2]["loss_scale"]["scale"] = 65_536
        with self.assertRaisesRegex(Failed, "after step 3: 0 updates, 3 skipped, scale 65536"):
            overflow.skipped_steps(wrong)

    def test_the_classifier_is_found_by_name(self):
        self.assertEqual(overflow.classifier(["stem.conv.weight", "head.fc.weight", "head.fc.bias"]), ["head.fc.weight", "head.fc.bias"])
        with self.assertRaisesRegex(Failed, "no head.fc"):
            overflow.classifier(["fc.weight"])


class Reports(InFolder):
    def row(self, name: str, function) -> plan.Row:
        return plan.Row(name, 1, 1, "it holds", plan.NEVER, function)

    def test_rows_stay_from_call_to_call_and_an_error_stops_nothing(self):
        def refuses(jobs):
            raise Skipped("one GPU")

        printed = contextlib.redirect_stdout(io.StringIO())
        printed.__enter__()
        self.addCleanup(printed.__exit__, None, None, None)
        report = Report(self.out / "out", {"device": "a test"})
        for row in (
            self.row("holds", lambda jobs: "found"), self.row("skips", refuses), self.row("breaks", lambda jobs: [][0]),
        ):  # fmt: skip
            report.check(row, self.jobs)
        report = Report(self.out / "out", {"device": "a test"})
        report.check(self.row("breaks", lambda jobs: "now it holds"), self.jobs)
        rows = json.loads((self.out / "out/gpu_acceptance.json").read_text())["checks"]
        self.assertEqual([(row["check"], row["result"]) for row in rows], [("holds", "pass"), ("skips", "skip"), ("breaks", "pass")])
        self.assertEqual((rows[0]["passes_if"], rows[1]["told"], report.failed()), ("it holds", "one GPU", 0))

    def test_a_folder_of_something_else_is_refused(self):
        (self.out / "thesis.txt").write_text("")
        with self.assertRaisesRegex(SystemExit, "holds something else"):
            Report(self.out, {})

    def test_checkpoints_by_step_and_the_newest(self):
        for step in (9, 10):
            (self.out / f"checkpoints/step-{step:09}").mkdir(parents=True)
        self.assertEqual(checkpoint(self.out).name, "step-000000010")
        self.assertEqual(checkpoint(self.out, 9), self.out / "checkpoints/step-000000009")


class Number(float):
    """What a check asks of a tensor, of one element."""

    def __sub__(self, other):
        return Number(float(self) - float(other))

    def __eq__(self, other):
        return mock.Mock(all=lambda: float(self) == float(other))

    def norm(self):
        return abs(float(self))

    def abs(self):
        return Number(self.norm())

    def max(self):
        return self


class Equality(InFolder):
    def checkpoint(self, name: str, contents: bytes) -> Path:
        (self.out / name).mkdir()
        for file in equality.FILES:
            (self.out / name / file).write_bytes(contents)
        return self.out / name

    def test_checkpoints_are_compared_by_their_bytes(self):
        one, same, other = (self.checkpoint(name, contents) for name, contents in (("a", b"1"), ("b", b"1"), ("c", b"3")))
        equality.same_bytes(one, same)
        with mock.patch.object(equality, "tensors", lambda file: {"head.fc.bias": Number(file.read_bytes())}):
            with self.assertRaisesRegex(Failed, r"model.safetensors differs: head.fc.bias, by 2.0e\+00"):
                equality.same_bytes(one, other)

    def test_the_first_tensor_that_differs_is_named(self):
        theirs = {"a": Number(1), "b": Number(2)}
        self.assertEqual(equality.differing({"a": Number(1), "b": Number(2), "more": Number(0)}, theirs), "")
        self.assertEqual(equality.differing({"a": Number(1), "b": Number(5)}, theirs), "b, by 3.0e+00")
        self.assertEqual(equality.differing({"a": Number(1)}, theirs), "b, which is missing")

    def test_a_difference_is_relative_to_all_tensors(self):
        ours, theirs = {"a": Number(3.5), "b": Number(4)}, {"a": Number(3), "b": Number(4)}
        self.assertEqual(equality.relative_difference(ours, theirs), (0.1, "a"))

    def test_a_gpus_fp32_is_held_to_a_cpus(self):
        self.assertIn("2.0e-06 on the GPU", equality.judge_errors("the gradient", 1e-6, 2e-6))
        for gpu in (2.1e-6, float("nan")):
            with self.assertRaisesRegex(Failed, "more than 2 times"):
                equality.judge_errors("the gradient", 1e-6, gpu)


if __name__ == "__main__":
    unittest.main()
