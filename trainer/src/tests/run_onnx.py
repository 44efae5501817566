"""Runs ONNX models in onnxruntime for `onnx.rs`.

usage: run_onnx.py FOLDER

FOLDER/cases.json lists the cases: the name of a model's file, and the number of images that it takes or null for any. Each case
has its images in FILE.in.safetensors. Checks the model with ONNX's own checker, shapes of all layers included, and writes the
logits of the images, and of the first image alone where the model takes any number, to FILE.out.safetensors. Exits with 77 if
this Python lacks the libraries.
"""

import json
import sys
from pathlib import Path

try:
    import onnx
    import onnxruntime
    from safetensors.numpy import load_file, save_file
except ImportError as error:
    print(error)
    sys.exit(77)


def run(folder, case):
    path, count = folder / case["file"], case["batch"]
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    images = load_file(f"{path}.in.safetensors")["images"]
    logits = session.run(["logits"], {"images": images})[0]
    results = {"logits": logits}
    batch = "batch" if count is None else count
    [given], [taken] = session.get_inputs(), session.get_outputs()
    assert given.shape == [batch, *images.shape[1:]], given.shape
    assert taken.shape == [batch, *logits.shape[1:]], taken.shape
    if count is None:
        results["first"] = session.run(["logits"], {"images": images[:1]})[0]
    properties = session.get_modelmeta().custom_metadata_map
    assert properties == {"key": "value"} and model.producer_name == "regatta", properties
    save_file(results, f"{path}.out.safetensors")


def main():
    folder = Path(sys.argv[1])
    for case in json.loads((folder / "cases.json").read_text()):
        run(folder, case)


main()
