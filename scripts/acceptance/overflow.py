"""Gradients that overflow: the steps are skipped on the device, with no effect except on the loss scale."""

from .equality import FILES, same_bytes
from .jobs import FASHION, Failed, Jobs, checkpoint, lines, state, save_tensors, tensors

INITIAL_SCALE = 65_536
STEPS = 30
# The trainer records after three eager steps: some skipped steps must come later, as replays.
EAGER_STEPS = 3


def overflowing_steps_are_skipped(jobs: Jobs) -> str:
    """From weights whose classifier is so large that gradients overflow fp16 until the loss scale has been halved many times,
    while the loss is finite; recorded, and again with recording forbidden."""
    keys = (
        'train.precision="fp16"', "train.deterministic=true", "train.micro_batch_size=64", f"train.max_steps={STEPS}", "eval.interval_epochs=0",
        "log.interval_steps=1", "checkpoint.interval_steps=1", "checkpoint.keep=99", "optim.lr=1e-6", "optim.momentum=0.9",
        f'model.pretrained="{large_weights(jobs)}"',
    )  # fmt: skip
    run = jobs.train("overflow", FASHION, *keys)
    skipped = skipped_steps([state(checkpoint(run, step)) for step in range(1, STEPS + 1)])
    for step in range(2, skipped + 1):
        same_bytes(checkpoint(run, step), checkpoint(run, 1))
    if checkpoint(run, skipped + 1).joinpath(FILES[0]).read_bytes() == checkpoint(run, 1).joinpath(FILES[0]).read_bytes():
        raise Failed(f"step {skipped + 1} was not skipped, and changed nothing")
    losses = [line["loss"] for line in lines(run, "step")]
    if len(losses) != STEPS:
        raise Failed(f"{len(losses)} lines of the metrics, not {STEPS}")
    eager = jobs.train("overflow-eager", FASHION, *keys, "train.cuda_graph=false")
    same_bytes(checkpoint(run), checkpoint(eager))
    return f"steps 1 to {skipped} of {STEPS} skipped and without effect, loss {losses[0]:.0f}; recorded and eager equal to the bit"


def skipped_steps(states: list[dict]) -> int:
    """How many steps were skipped before the first that was not. Each halves the scale and counts as skipped; after that, a step
    is one or the other."""
    skipped = sum(1 for number, state in enumerate(states, 1) if state["skipped"] == number)
    if not EAGER_STEPS + 2 <= skipped < len(states):
        raise Failed(f"{skipped} of {len(states)} steps skipped at first, not {EAGER_STEPS + 2} or more, and less than all")
    for number, state in enumerate(states, 1):
        scale = state["loss_scale"]["scale"]
        if state["updates"] + state["skipped"] != number or scale != INITIAL_SCALE / 2 ** state["skipped"]:
            raise Failed(f"after step {number}: {state['updates']} updates, {state['skipped']} skipped, scale {scale:.0f}")
    return skipped


def large_weights(jobs: Jobs):
    """Returns a file of the network's initial weights with the classifier's multiplied by 1000."""
    start = jobs.train("overflow-start", FASHION, "train.max_steps=1", "train.micro_batch_size=64", "eval.interval_epochs=0")
    weights, larger = jobs.out / "weights.safetensors", jobs.out / "large_weights.safetensors"
    jobs.run(jobs.trainer, "export", "--checkpoint", start, "--names", "pycls", "--out", weights, "--force")
    exported = tensors(weights)
    for name in classifier(exported):
        exported[name] *= 1000
    save_tensors(exported, larger)
    return larger


def classifier(names) -> list[str]:
    found = [name for name in names if name.startswith("head.fc.")]
    if not found:
        raise Failed(f"no head.fc among {sorted(names)[:5]}")
    return found
