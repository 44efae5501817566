"""The list of checks: each row has a pass criterion, its seconds on an H100, the call that it belongs to, and the day on which it last
passed on a GPU."""

from collections.abc import Callable
from dataclasses import dataclass

from . import device, equality, overflow, throughput, training
from .jobs import FASHION, REGNETX
from .throughput import COMPILED, PYTORCH

# A command on the GPU machine may take ten minutes at most.
CALL_LIMIT_S = 540
CALLS = {1: "checks", 2: "the loader, and against PyTorch eager", 3: "against PyTorch compiled", 4: "two GPUs and more"}
NEVER = "never"
FIRST = "2026-11-24"


@dataclass(frozen=True)
class Row:
    name: str
    call: int
    # On an H100: measured where it ran, else an estimate from rows like it.
    seconds: int
    passes_if: str
    # The day of its last pass on a GPU.
    ran: str
    function: Callable
    arguments: tuple = ()


# Up to eps, AdamW's first update is the gradient's sign: a large eps avoids magnifying the last bit of tiny gradients.
REGNETY = ('model.arch="regnety_200mf"', "data.resolution_px=64", 'optim.name="adamw"', "optim.nesterov=false", "optim.momentum=0", "optim.eps=0.001")
MOMENTUM = ("optim.momentum=0.9", "optim.weight_decay=0.01")
# Of 48 images: 20, 20 and 8.
SHORT_LAST = ("train.micro_batch_size=20",)
MIXED_BCE = ("augment.mixup_alpha=0.2", "augment.cutmix_alpha=1.0", 'train.loss="bce"', "train.bce_sum_classes=true")
AVERAGED_ADAMW = ('optim.name="adamw"', "train.ema_decay=0.9", "train.clip_grad_norm=1.0")
STEP_DIFFERENCE = "weights, averages and optimizer state differ by less than 1e-9"
RECORDED = "30 recorded and eager steps equal to the bit"
REDUCE_OVERHEAD = "reduce-overhead"


def rows(compiles: bool = True) -> list[Row]:
    return [*checks(), *speeds(compiles), *several_gpus()]


def checks() -> list[Row]:
    return [
        Row("CUDA is seen after the dlopen", 1, 2, "the trainer computes on CUDA", FIRST, device.cuda_after_dlopen),
        Row("hooks on device threads", 1, 1, "gradient hooks run on the engine's threads", FIRST, device.hooks_on_device_threads),
        Row("NCCL, world of one", 1, 3, "every sum is right, the communicator ends", FIRST, device.nccl, (1,)),
        Row("two ranks on one GPU", 1, 1, "refused with exit code 4", FIRST, device.two_ranks_on_one_gpu),
        Row("Fashion-MNIST, two epochs, fp32, no NCCL", 1, 36, "top-1 at least 0.7", FIRST, training.fashion_mnist, ("fp32", "auto")),
        Row("Fashion-MNIST, two epochs, bf16, NCCL", 1, 50, "top-1 at least 0.7", FIRST, training.fashion_mnist, ("bf16", "nccl")),
        Row("resume is exact", 1, 10, "20 + 20 steps equal 40 to the bit", FIRST, equality.resume_is_exact),
        Row("fp16 with a loss scale", 1, 15, "200 steps, loss finite and below 1.5", FIRST, training.loss_scale),
        Row(
            "overflowing steps are skipped, fp16", 1, 20,
            "at least 5 steps skipped, which change nothing but the scale; then updates; recorded and eager equal to the bit",
            NEVER, overflow.overflowing_steps_are_skipped,
        ),
        Row("gradients summed as bfloat16", 1, 16, "60 steps, loss finite and falling", FIRST, training.bf16_gradients),
        Row("one step, fp64, CPU against GPU, SGD", 1, 5, STEP_DIFFERENCE, FIRST, equality.one_step_as_on_a_cpu, (FASHION, *MOMENTUM)),
        Row(
            "one step, fp64, CPU against GPU, a short micro-batch", 1, 5, STEP_DIFFERENCE,
            NEVER, equality.one_step_as_on_a_cpu, (FASHION, *MOMENTUM, *SHORT_LAST),
        ),
        Row("one step, fp64, CPU against GPU, RegNetY and AdamW", 1, 5, STEP_DIFFERENCE, FIRST, equality.one_step_as_on_a_cpu, (REGNETX, *REGNETY)),
        Row(
            "one step, fp64, CPU against GPU, mixed images and binary cross-entropy", 1, 5, STEP_DIFFERENCE,
            NEVER, equality.one_step_as_on_a_cpu, (FASHION, *MOMENTUM, *MIXED_BCE),
        ),
        Row(
            "one step, fp32 without TF32, against fp64", 1, 7, f"the errors of the gradient and of the classifier's are at most {equality.FP32_MARGIN} times the CPU's",
            NEVER, equality.one_fp32_step_is_as_good_as_a_cpus,
        ),
        Row("recorded steps, fp32, SGD", 1, 7, RECORDED, FIRST, equality.recorded_steps_are_eager_ones, ("fp32", "optim.momentum=0.9")),
        Row("recorded steps, bf16, AdamW", 1, 7, RECORDED, FIRST, equality.recorded_steps_are_eager_ones, ("bf16", *AVERAGED_ADAMW)),
        Row("recorded steps, fp16", 1, 7, RECORDED, FIRST, equality.recorded_steps_are_eager_ones, ("fp16",)),
        Row(
            "recorded steps, fp32, mixed images and binary cross-entropy", 1, 7, RECORDED,
            NEVER, equality.recorded_steps_are_eager_ones, ("fp32", "optim.momentum=0.9", *MIXED_BCE),
        ),
        Row(
            "dropout repeats", 1, 18, "30 steps, 15 + 15 and 30 without recording equal to the bit, and unlike steps without dropout",
            NEVER, equality.dropout_repeats,
        ),
        Row("sums are waited for", 1, 11, "20 steps with late, doubled sums equal those at twice the rate to the bit", FIRST, equality.sums_are_waited_for),
        Row("stop and go on", 1, 12, "exit code 75 on TERM, then the bits of a run that never stopped", FIRST, equality.stops_and_goes_on),
        Row("memory stays", 1, 30, "from step 600 to 2345 at most 1 MiB more on the device, 100 on the host", FIRST, training.memory_stays),
    ]  # fmt: skip


def speeds(compiles: bool) -> list[Row]:
    """Comparisons with PyTorch in turns. So far the programs ran on a GPU only one after the other. Bounds are slightly below what was
    measured then; that of RegNetX-1.6GF compiled is copied from RegNetX-400MF."""
    return [
        loader("fp32", 0.9),
        loader("bf16", 0.7),
        beside("regnetx32", "contiguous", 128, 45, {PYTORCH: 1.2}),
        beside("regnetx_400mf", "contiguous", 256, 75, {PYTORCH: 1.0}),
        beside("regnetx_400mf", "channels_last", 64, 50, {PYTORCH: 2.0}),
        beside("regnetx_1_6gf", "contiguous", 128, 75, {PYTORCH: 1.0}),
        beside("regnetx32", "channels_last", 128, 110, {PYTORCH: 2.0, COMPILED: 0.9}, compiles),
        beside("regnetx_400mf", "channels_last", 256, 150, {PYTORCH: 1.1, COMPILED: 0.65}, compiles),
        beside("regnetx_1_6gf", "channels_last", 128, 170, {PYTORCH: 1.05, COMPILED: 0.65}, compiles),
    ]


def loader(precision: str, least: float) -> Row:
    passes_if = f"at least {least} of the rate on images that lie on the device"
    return Row(f"the loader keeps up, RegNetX32, {precision}", 2, 45, passes_if, NEVER, throughput.loader_keeps_up, (precision, least))


def beside(network: str, memory_format: str, images: int, seconds: int, bounds: dict[str, float], compiles: bool = False) -> Row:
    peers = {label: bound for label, bound in bounds.items() if compiles or label != COMPILED}
    passes_if = ", ".join(f"at least {bound} of {label}" for label, bound in peers.items())
    passes_if += f", at most {throughput.MEMORY_LIMIT} of its memory; medians of {throughput.ROUNDS} rounds"
    arguments = (network, memory_format, images, peers, REDUCE_OVERHEAD if compiles else None)
    call = 3 if COMPILED in bounds else 2
    return Row(f"{network}, bf16, {memory_format}, {images} images", call, seconds, passes_if, NEVER, throughput.beside_pytorch, arguments)


def several_gpus() -> list[Row]:
    caps = ("regnetx_400mf", 256)
    return [
        Row("NCCL, one rank a GPU", 4, 10, "every sum is right, the communicator ends", NEVER, device.nccl, (None,)),
        Row("a hang is named and aborted", 4, 60, "exit code 4, the stopped rank is named", NEVER, device.hang_is_named),
        Row("one step, fp64, one GPU against all", 4, 8, STEP_DIFFERENCE, NEVER, equality.one_step_on_several_gpus, (FASHION, *MOMENTUM)),
        Row("bucket caps of 4, 8, 16 and 25 MiB", 4, 300, "the default of 4 at least 0.97 of the best; medians of 3", NEVER, throughput.bucket_caps, caps),
    ]


def table(rows: list[Row]) -> str:
    """Returns the plan as text, grouped by call."""
    parts = []
    for call, title in CALLS.items():
        own = [row for row in rows if row.call == call]
        if own:
            parts.append(f"--call {call}: {title}, {sum(row.seconds for row in own)} s on an H100")
            parts += [f"  {row.seconds:>4} s  {row.name:<52} ran: {row.ran:<10}  passes if: {row.passes_if}" for row in own]
    return "\n".join(parts)


def chosen(rows: list[Row], call: int | None, only: list[str], skip: list[str]) -> list[Row]:
    """Returns the rows of one call (or all) whose name contains a word of `only`, if given, and none of `skip`."""
    return [
        row for row in rows
        if call in (None, row.call) and (not only or any(word in row.name for word in only)) and not any(word in row.name for word in skip)
    ]  # fmt: skip
