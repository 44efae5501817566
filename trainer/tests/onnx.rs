//! `trainer export --format onnx`: the printed code gives a run's own results, class names travel, and wrong uses are refused.

use std::fs;
use std::process::Command;

use expect_test::expect;
use regatta_data::{Size, encode_png};
use test_jobs::{TINY, Workdir, metrics, python, tiny_with};

use crate::image_files;
use crate::weights::header_and_tensors;

/// Imports the libraries; exits with 77 if one is missing.
const LIBRARIES: &str = "import sys
try:
    import numpy, onnxruntime, safetensors.torch, torch, torchvision
except ImportError as error:
    print(error)
    sys.exit(77)
";

/// With `prepare` and `session` as in the printed code: the loss over the validation images, as the run's metrics have it.
const LOSS: &str = r#"
from pathlib import Path
files = sorted(Path("images/val").glob("*/*.png"))
batch = torch.stack([prepare(Image.open(file).convert("RGB")) for file in files])
logits = torch.from_numpy(session.run(None, {"images": batch.numpy()})[0])
labels = torch.tensor([["cat", "dog"].index(file.parent.name) for file in files])
loss = torch.nn.functional.cross_entropy(logits.double(), labels).item()
assert abs(loss - recorded) < 1e-5, (loss, recorded)
"#;

/// With `model` as in the code that is printed for safetensors.
const TORCH: &str = "
difference = (model.eval()(batch) - logits).abs().max().item()
assert difference < 1e-4 and logits.std() > 0, (difference, logits)
";

/// Trains on images of classes with names, exports both formats, and runs the printed code.
#[test]
fn the_printed_code_gives_the_runs_own_results() {
    let workdir = image_files::workdir();
    fs::write(
        workdir.path().join("image.jpg"),
        encode_png(&[7; 3 * 20 * 30], Size { width: 20, height: 30 }).unwrap(),
    )
    .unwrap();
    workdir.train("--name x augment.auto_augment=none data.interpolation=bicubic train.ema_decay=0.5 eval.precise_bn_images=10").ends_with(0);
    let names = fs::read_to_string(workdir.run("x").checkpoint(6).join("classes.json")).unwrap();
    assert_eq!(names, "[\n  \"cat\",\n  \"dog\"\n]");
    let export = |out: &str, options: &[&str]| {
        let command = ["export", "--checkpoint", "runs/x", "--out", out];
        let printed = workdir.trainer(&[&command, options].concat()).ends_with(0).stdout;
        printed.split_once("\n\n").unwrap().1.to_owned()
    };
    let two = export("two.onnx", &["--format", "onnx", "--batch", "2"]);
    let free = export("free.onnx", &["--format", "onnx"]);
    let weights = export("x.safetensors", &[]);
    let (header, _) = header_and_tensors(&workdir.path().join("x.safetensors"));
    assert_eq!(header["__metadata__"]["class_names"], r#"["cat","dog"]"#);
    assert_eq!(header["__metadata__"]["resize_px"], "18");

    let loss = metrics(&workdir.run("x")).iter().rev().find_map(|line| line.get("val_loss")?.as_f64());
    let script = format!("{LIBRARIES}recorded = {}\n{two}{free}{LOSS}{weights}{TORCH}", loss.unwrap());
    let python = match python() {
        Ok(python) => python,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let mut command = Command::new(&python);
    let output = command.args(["-c", &script]).current_dir(workdir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(77) {
        return println!("skipped: {}: {said}", python.display());
    }
    assert!(output.status.success(), "{}\n{script}", String::from_utf8_lossy(&output.stderr));
    let said: Vec<_> = said.lines().collect();
    assert!(said == ["cat", "cat"] || said == ["dog", "dog"], "{said:?}");
}

#[test]
fn impossible_onnx_exports_are_rejected() {
    let workdir = Workdir::new(TINY);
    workdir.train("--name x train.max_steps=1").ends_with(0);
    let flat = tiny_with("stem_width = 16\n", "");
    let stages =
        "stages = [{ depth = 1, width = 16, group_width = 8 }, { depth = 1, width = 16, group_width = 8 }]";
    assert!(flat.contains(stages));
    fs::write(
        workdir.path().join("recipe.toml"),
        flat.replace(stages, "block = \"mlp\"\nstages = [{ depth = 1, width = 16, stride = 1 }]"),
    )
    .unwrap();
    workdir.train("--name flat train.max_steps=1").ends_with(0);
    fs::write(workdir.path().join("old.onnx"), "notes").unwrap();
    let refused = |options: &str, code: i32| {
        let arguments: Vec<_> = format!("export --format {options}").split(' ').map(str::to_owned).collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let ended = workdir.trainer(&arguments).ends_with(code);
        format!("$ {options}\n{}\n", ended.stderr.trim_end())
    };
    let mut said = refused("onnx --checkpoint runs/x --out o --names timm", 2);
    said += &refused("safetensors --checkpoint runs/x --out o --batch 4", 2);
    said += &refused("safetensors --checkpoint runs/x --out o --resolution 32", 2);
    said += &refused("onnx --checkpoint runs/flat --out o --resolution 32", 2);
    said += &refused("onnx --checkpoint runs/x --out o --weights ema", 2);
    said += &refused("onnx --checkpoint runs/y --out o", 2);
    said += &refused("onnx --checkpoint runs/x --out old.onnx", 2);
    fs::write(workdir.run("x").checkpoint(1).join("model.safetensors"), b"torn").unwrap();
    said += &refused("onnx --checkpoint runs/x/checkpoints/step-000000001 --out o", 6);
    assert!(!workdir.path().join("o").exists());
    assert_eq!(fs::read_to_string(workdir.path().join("old.onnx")).unwrap(), "notes");
    expect![[r#"
        $ onnx --checkpoint runs/x --out o --names timm
        error: --names is an option of --format safetensors
        $ safetensors --checkpoint runs/x --out o --batch 4
        error: --batch is an option of --format onnx
        $ safetensors --checkpoint runs/x --out o --resolution 32
        error: --resolution is an option of --format onnx
        $ onnx --checkpoint runs/flat --out o --resolution 32
        error: --resolution: a flattening stem takes only images of 16 pixels, as in training
        $ onnx --checkpoint runs/x --out o --weights ema
        error: --weights ema: there is no moving average in runs/x/checkpoints/step-000000001 (neither train.ema_decay nor train.ema_half_life_steps is set): use --weights model
        $ onnx --checkpoint runs/y --out o
        error: --checkpoint runs/y: there is no such folder; give a run folder or one of its checkpoints
        $ onnx --checkpoint runs/x --out old.onnx
        error: old.onnx exists already: give another name, or --force to replace it
        $ onnx --checkpoint runs/x/checkpoints/step-000000001 --out o
        error: the checkpoint runs/x/checkpoints/step-000000001 is damaged: model.safetensors has 4 bytes where the manifest says 22680
    "#]].assert_eq(&said);
    let export = "export --format onnx --checkpoint runs/flat --out old.onnx --force --resolution 16";
    let printed = workdir.trainer(&export.split(' ').collect::<Vec<_>>()).ends_with(0).stdout;
    assert!(
        printed.starts_with("old.onnx: runs/flat/checkpoints/step-000000001/model.safetensors"),
        "{printed}"
    );
}
