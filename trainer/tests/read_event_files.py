"""Reads the event files of the runs in a folder with TensorBoard's own readers, and compares them with the runs' metrics."""

import io
import json
import sys
import time
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

try:
    import numpy
    from PIL import Image
    from tensorboard import default, program
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.backend.event_processing.plugin_event_accumulator import (
        EventAccumulator as PluginEventAccumulator,
    )
    from tensorboard.plugins.hparams import metadata as hparams
    from tensorboard.util import tensor_util
except ImportError as error:
    print(error)
    sys.exit(77)

ALL = dict.fromkeys(["scalars", "images", "histograms", "tensors", "distributions", "compressedHistograms"], 0)


def expected_scalars(records):
    """Values by tag: every number of the metrics, with its step."""
    values = {}
    for record in records:
        for name, value in record.items():
            if name not in ("kind", "schema", "step") and value is not None:
                values.setdefault(f"{record['kind']}/{name}", []).append((record["step"], numpy.float32(value)))
    return values


def check_scalars(events, plugins, expected):
    assert set(events.Tags()["scalars"]) == set(expected), set(expected) ^ set(events.Tags()["scalars"])
    for tag, values in expected.items():
        found = [(event.step, numpy.float32(event.value)) for event in events.Scalars(tag)]
        assert found == values, (tag, found, values)
        tensors = plugins.Tensors(tag)
        found = [(event.step, tensor_util.make_ndarray(event.tensor_proto).item()) for event in tensors]
        assert found == values, (tag, found, values)


def check_recipe(run, events, plugins, expected):
    text = tensor_util.make_ndarray(plugins.Tensors("recipe")[-1].tensor_proto).item().decode()
    config = (run / "config.toml").read_text()
    assert text.removeprefix("```toml\n").removesuffix("```\n") == config.split("\n\n", 1)[1], text
    content = plugins.PluginTagToContent("hparams")
    start = hparams.parse_session_start_info_plugin_data(content[hparams.SESSION_START_INFO_TAG])
    chosen = start.hparams
    assert chosen["optim.lr"].number_value == 0.05 and chosen["optim.name"].string_value == "sgd"
    assert chosen["optim.nesterov"].HasField("bool_value")
    assert "train.epochs" in chosen and not any(key.startswith(("log.", "run.")) for key in chosen)
    experiment = hparams.parse_experiment_plugin_data(content[hparams.EXPERIMENT_TAG])
    assert {info.name for info in experiment.hparam_infos} == set(chosen)
    assert {metric.name.tag for metric in experiment.metric_infos} <= set(expected)
    end = hparams.parse_session_end_info_plugin_data(content[hparams.SESSION_END_INFO_TAG])
    assert end.status == 1 and end.end_time_secs >= start.start_time_secs


def check_images(events, plugins, records):
    [filters] = [tag for tag in events.Tags()["images"] if tag.startswith("filters/")]
    assert set(events.Tags()["images"]) == {"images/training", filters}
    steps = lambda tag: [event.step for event in events.Images(tag)]
    assert steps("images/training") == sorted(set(steps("images/training"))) != []
    assert steps(filters) == [record["step"] for record in records if record["kind"] == "epoch"]
    for tag in ("images/training", filters):
        assert [event.step for event in plugins.Tensors(tag)] == steps(tag)
        for event in events.Images(tag):
            image = Image.open(io.BytesIO(event.encoded_image_string))
            assert image.size == (event.width, event.height) and image.mode == "RGB"
            assert len(image.getcolors(1 << 24)) > 2, tag
    # Ten, eight or four images of 16 pixels, which rank 0 had, in rows of eight; sixteen filters, enlarged from 3 to 24 pixels.
    sizes = {(event.width, event.height) for event in events.Images("images/training")}
    assert sizes <= {(8 * 18 - 2, 2 * 18 - 2), (8 * 18 - 2, 18 - 2), (4 * 18 - 2, 18 - 2)}, sizes
    assert {(event.width, event.height) for event in events.Images(filters)} == {(8 * 26 - 2, 2 * 26 - 2)}


def check_histograms(events, plugins, last, interval):
    tags = set(events.Tags()["histograms"])
    weights = {tag.removeprefix("weights/") for tag in tags if tag.startswith("weights/")}
    assert weights and tags == {f"{group}/{name}" for group in ("weights", "gradients") for name in weights}
    for tag in tags:
        found = events.Histograms(tag)
        assert [event.step for event in found] == list(range(interval, last + 1, interval)), (tag, found)
        for event in found:
            histogram = event.histogram_value
            assert sum(histogram.bucket) == histogram.num > 0 and histogram.min <= histogram.max
        for event in plugins.Tensors(tag):
            buckets = tensor_util.make_ndarray(event.tensor_proto)
            assert buckets.shape[1] == 3 and (buckets[:, 0] <= buckets[:, 1]).all(), (tag, buckets)


def check(run):
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    expected = expected_scalars(records)
    events = EventAccumulator(str(run / "tensorboard"), size_guidance=ALL)
    plugins = PluginEventAccumulator(str(run / "tensorboard"), size_guidance=ALL, tensor_size_guidance={
        name: 0 for name in ("scalars", "images", "histograms", "text", "hparams")
    })
    events.Reload(), plugins.Reload()
    check_scalars(events, plugins, expected)
    check_recipe(run, events, plugins, expected)
    check_images(events, plugins, records)
    assert ("step/loss_scale" in expected) == (run.name == "fp16") and "step/grad_norm" in expected
    if run.name == "killed":
        check_histograms(events, plugins, max(record["step"] for record in records), 2)
    else:
        assert events.Tags()["histograms"] == []


def check_server(runs):
    """Opens the folder of runs in TensorBoard itself, and asks for what its pages show."""
    server = program.TensorBoard(plugins=default.get_plugins())
    server.configure(argv=[None, "--logdir", str(runs), "--port", "0", "--load_fast", "false"])
    url = server.launch()

    def ask(path, data=None, **query):
        request = Request(f"{url}data/{path}?{urlencode(query)}", data and json.dumps(data).encode(), {"Content-Type": "application/json"})
        return json.load(urlopen(request, timeout=60))

    names = {f"{run.name}/tensorboard": run for run in runs.iterdir()}
    def finished():
        query = {"experimentName": "", "colParams": [], "allowedStatuses": ["STATUS_SUCCESS"], "sliceSize": len(names)}
        groups = ask("plugin/hparams/session_groups", query)["sessionGroups"]
        return {session["name"] for group in groups for session in group["sessions"]}

    deadline = time.monotonic() + 60
    while finished() != set(names):  # it reads one run after the other, each to its end
        assert time.monotonic() < deadline, finished()
        time.sleep(0.1)
    enabled = {plugin for plugin, facts in ask("plugins_listing").items() if facts["enabled"]}
    assert {"timeseries", "scalars", "images", "histograms", "distributions", "text", "hparams"} <= enabled, enabled
    for name, run in names.items():
        records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        expected = expected_scalars(records)
        assert set(ask("plugin/scalars/tags")[name]) == set(expected)
        shown = [(step, numpy.float32(value)) for _, step, value in ask("plugin/scalars/scalars", run=name, tag="step/loss")]
        assert shown == expected["step/loss"], (shown, expected["step/loss"])
        assert "images/training" in ask("plugin/images/tags")[name] and ask("plugin/text/tags")[name] == ["recipe"]
        assert "```toml" not in ask("plugin/text/text", run=name, tag="recipe")[-1]["text"], "TensorBoard renders the recipe"
        [*_, sheet] = ask("plugin/images/images", run=name, tag="images/training", sample=0)
        png = urlopen(f"{url}data/plugin/images/individualImage?{sheet['query']}", timeout=60).read()
        assert Image.open(io.BytesIO(png)).height in (16, 34)  # one or two rows of images
        assert (name in ask("plugin/histograms/tags")) == (run.name == "killed")


for run in sorted(Path(sys.argv[1], "runs").iterdir()):
    check(run)
check_server(Path(sys.argv[1], "runs"))
