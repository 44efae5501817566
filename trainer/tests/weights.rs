//! Export of weights from a run to PyTorch's libraries, and pretrained weights from a file.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::Command;

use expect_test::expect;
use test_jobs::{TINY, Workdir, list, newest_step, python, tensors_f64, tiny_with};

/// [`TINY`] with the published network `name`.
fn published(name: &str) -> String {
    let end = TINY.find("[data]").unwrap();
    format!("[model]\narch = \"{name}\"\n{}", &TINY[end..])
}

/// Imports the libraries; exits with 77 if one is missing.
const LIBRARIES: &str = "import os, sys
try:
    import safetensors.torch, timm, torchvision
except ImportError as error:
    print(error)
    sys.exit(77)
";

const LOGITS: &str = "import torch
torch.manual_seed(3)
logits = model.eval()(torch.randn(2, 1, 64, 64))
assert logits.shape == (2, 10) and logits.isfinite().all() and logits.std() > 0, logits
";

/// Loads the file as timm's scripts do for `--initial-checkpoint` and `--checkpoint`.
const BY_TIMM: &str = "torch.manual_seed(3)
images = torch.randn(2, 1, 64, 64)
model = timm.create_model('regnetx_004', num_classes=10, in_chans=1, checkpoint_path='x.safetensors')
assert model.eval()(images).equal(logits)
timm.models.load_checkpoint(model, 'x.safetensors')
assert model.eval()(images).equal(logits)
";

/// Trains a few steps, exports, and runs the printed code: the libraries load the file strictly and compute finite logits.
#[test]
fn the_code_that_export_prints_loads_the_weights() {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let cases = [
        ("regnet_y_400mf", "torchvision", "model = torchvision.models.regnet_y_400mf(num_classes=10)"),
        ("regnetx_400mf", "torchvision", "model = RegNet(blocks, num_classes=10, stem_width=32)"),
        ("regnetx_400mf", "timm", "model = timm.create_model(\"regnetx_004\", num_classes=10, in_chans=1)"),
    ];
    let exported = cases.map(|(arch, names, expected)| {
        let workdir = Workdir::new(&published(arch));
        workdir.train("--name x train.max_steps=2 data.resolution_px=64").ends_with(0);
        let export = ["export", "--checkpoint", "runs/x", "--out", "x.safetensors", "--names", names];
        let printed = workdir.trainer(&export).ends_with(0).stdout;
        let (said, lines) = printed.split_once("\n\n").unwrap();
        assert!(
            said.starts_with("x.safetensors: ") && said.ends_with(&format!("with {names}'s names")),
            "{said}"
        );
        assert!(lines.contains(expected), "{lines}");
        let again = if names == "timm" { BY_TIMM } else { "" };
        let script = format!("os.chdir({:?})\n{lines}{LOGITS}{again}", workdir.path());
        (workdir, script)
    });
    let script: String = exported.iter().map(|(_, script)| script.as_str()).collect();
    let output = Command::new(&python).args(["-c", &format!("{LIBRARIES}{script}")]).output().unwrap();
    if output.status.code() == Some(77) {
        return println!("skipped: {}: {}", python.display(), String::from_utf8_lossy(&output.stdout));
    }
    assert!(output.status.success(), "{}\n{script}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_moving_average_is_exported_if_there_is_one() {
    let workdir = Workdir::new(TINY);
    workdir.train("--name x train.ema_decay=0.5").ends_with(0);
    let export = |out: &str, options: &[&str]| {
        let command = ["export", "--checkpoint", "runs/x", "--out", out, "--names", "pycls"];
        workdir.trainer(&[&command, options].concat()).ends_with(0);
        header_and_tensors(&workdir.path().join(out)).0["__metadata__"].clone()
    };
    let of = |about: &serde_json::Value| about["weights"].as_str().unwrap().to_owned();
    assert_eq!(of(&export("default.safetensors", &[])), "ema");
    assert_eq!(of(&export("ema.safetensors", &["--weights", "ema"])), "ema");
    let about = export("model.safetensors", &["--weights", "model"]);
    let tensors = |name: &str| header_and_tensors(&workdir.path().join(name)).1;
    assert!(tensors("default.safetensors") == tensors("ema.safetensors"));
    assert!(tensors("model.safetensors") != tensors("ema.safetensors"));

    let keys = ["format", "weights", "names", "arch", "classes", "mean", "std", "resolution_px", "step"];
    let texts: Vec<_> = keys.iter().map(|key| format!("{key} {}", about[key].as_str().unwrap())).collect();
    expect!["format pt, weights model, names pycls, arch anynet, classes 10, mean [0.5], std [0.25], resolution_px 16, step 6"]
        .assert_eq(&texts.join(", "));
}

/// The JSON header and the tensor bytes of a safetensors file, which starts with the length of the header in eight bytes.
pub(crate) fn header_and_tensors(file: &Path) -> (serde_json::Value, Vec<u8>) {
    let bytes = fs::read(file).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let (header, tensors) = bytes[8..].split_at(length);
    (serde_json::from_slice(header).unwrap(), tensors.to_vec())
}

/// `--force` replaces a regular file, and the target of a link but not the link itself.
#[test]
fn an_export_replaces_a_file_only_with_force() {
    let workdir = Workdir::new(TINY);
    workdir.train("--name x train.max_steps=1").ends_with(0);
    let path = |name: &str| workdir.path().join(name);
    fs::write(path("file"), "notes").unwrap();
    std::os::unix::fs::symlink("file", path("link")).unwrap();
    std::os::unix::fs::symlink("absent", path("dangling")).unwrap();
    let export = |out: &str, options: &[&str]| {
        workdir.trainer(&[&["export", "--checkpoint", "runs/x", "--out", out], options].concat())
    };
    let mut said = String::new();
    for (out, options) in [
        ("file", &[][..]),
        ("link", &[]),
        ("dangling", &[]),
        ("dangling", &["--force"]),
        ("/dev/full", &[]),
        ("/dev/full", &["--force"]),
        ("runs", &["--force"]),
        ("no/folder/o", &[]),
    ] {
        let ended = export(out, options).start().wait();
        said += &format!("{out} {}: {} {}", options.join(" "), ended.code.unwrap(), ended.stderr);
    }
    expect![[r#"
        file : 2 error: file exists already: give another name, or --force to replace it
        link : 2 error: link exists already: give another name, or --force to replace it
        dangling : 2 error: dangling is a link that leads nowhere, which is not replaced: give the name of a file
        dangling --force: 2 error: dangling is a link that leads nowhere, which is not replaced: give the name of a file
        /dev/full : 2 error: /dev/full is a device, which is not replaced: give the name of a file
        /dev/full --force: 2 error: /dev/full is a device, which is not replaced: give the name of a file
        runs --force: 2 error: runs is a folder, which is not replaced: give the name of a file
        no/folder/o : 6 error: cannot write no/folder/o: No such file or directory (os error 2)
    "#]].assert_eq(&said);
    assert_eq!(fs::read_to_string(path("file")).unwrap(), "notes");
    assert!(fs::metadata("/dev/full").unwrap().file_type().is_char_device());

    export("new", &[]).ends_with(0);
    export("link", &["--force"]).ends_with(0);
    assert_eq!(fs::read_link(path("link")).unwrap(), Path::new("file"));
    assert!(header_and_tensors(&path("file")).1 == header_and_tensors(&path("new")).1);
    assert_eq!(list(workdir.path()), ["dangling", "file", "link", "new", "recipe.toml", "runs"]);
}

/// The file in the checkpoint then also selects the weights.
#[test]
fn a_checkpoint_may_be_named_by_its_file() {
    let workdir = Workdir::new(TINY);
    workdir.train("--name x train.max_steps=1 train.ema_decay=0.5").ends_with(0);
    for weights in ["model", "ema"] {
        let file = format!("runs/x/checkpoints/step-000000001/{weights}.safetensors");
        workdir.trainer(&["export", "--checkpoint", &file, "--out", weights]).ends_with(0);
        let (header, _) = header_and_tensors(&workdir.path().join(weights));
        assert_eq!(header["__metadata__"]["weights"], weights);
    }
    let other = "runs/x/checkpoints/step-000000001/manifest.json";
    workdir.trainer(&["export", "--checkpoint", other, "--out", "o"]).ends_with(2).says("that is a file");
}

#[test]
fn impossible_exports_are_rejected() {
    let workdir = Workdir::new(TINY);
    workdir.train("--name x train.max_steps=1").ends_with(0);
    let refused = |command: &str, code: i32| {
        let arguments: Vec<_> = command.split(' ').collect();
        let ended = workdir.trainer(&arguments).ends_with(code);
        ended.stderr.trim_end().to_owned() + "\n"
    };
    let mut said = refused("export --checkpoint runs/y --out o", 2);
    said += &refused("export --checkpoint runs/x --out o --weights ema", 2);
    said += &refused("export --checkpoint runs/x --out no/folder/o", 6);
    let recipe = workdir.run("x").checkpoint(1).join("recipe.toml");
    fs::rename(&recipe, workdir.path().join("recipe")).unwrap();
    said += &refused("export --checkpoint runs/x --out o", 6);
    fs::rename(workdir.path().join("recipe"), &recipe).unwrap();
    fs::write(workdir.run("x").checkpoint(1).join("model.safetensors"), b"torn").unwrap();
    said += &refused("export --checkpoint runs/x/checkpoints/step-000000001 --out o", 6);
    assert!(!workdir.path().join("o").exists());
    expect![[r#"
        error: --checkpoint runs/y: there is no such folder; give a run folder or one of its checkpoints
        error: --weights ema: there is no moving average in runs/x/checkpoints/step-000000001 (neither train.ema_decay nor train.ema_half_life_steps is set): use --weights model
        error: cannot write no/folder/o: No such file or directory (os error 2)
        error: runs/x/checkpoints: no checkpoint is complete:
          runs/x/checkpoints/step-000000001: recipe.toml is missing
        give another run folder or checkpoint
        error: the checkpoint runs/x/checkpoints/step-000000001 is damaged: model.safetensors has 4 bytes where the manifest says 22680
    "#]].assert_eq(&said);
}

/// From ten classes to seven, on two ranks: all weights but the classifier's are loaded.
#[test]
fn a_run_starts_from_weights_of_other_classes() {
    let workdir = Workdir::new(&tiny_with("\"fp32\"", "\"fp64\""));
    workdir.train("--name ten train.max_steps=2").ends_with(0);
    let export = ["export", "--checkpoint", "runs/ten", "--out", "ten.safetensors"];
    workdir.trainer(&export).ends_with(0);
    // The learning rate is too small to change a weight, so the checkpoint shows the initial weights.
    let options = "--name seven data.synthetic_classes=7 model.pretrained=ten.safetensors train.max_steps=1 optim.lr=1e-30";
    let ended = workdir.train(options).ranks(2).ends_with(0);
    let said = |text: &str| assert!(ended.stderr.contains(text), "{text} in\n{}", ended.stderr);
    said("pretrained: 45 tensors from ten.safetensors, with torchvision's names");
    said(
        "pretrained: the classifier keeps its random initialization, since the file has none for these classes: fc.weight, fc.bias not loaded",
    );

    let weights = |name: &str| {
        let run = workdir.run(name);
        let file = run.checkpoint(newest_step(&run)).join("model.safetensors");
        tensors_f64(&file)
    };
    let (ten, seven) = (weights("ten"), weights("seven"));
    for (name, values) in &ten {
        if !name.starts_with("head.fc") && !name.contains("running") {
            assert_eq!(values, &seven[name], "{name}");
        }
    }
    assert_eq!(seven["head.fc.bias"].len(), 7);

    // Once there is a checkpoint, the file is no longer needed.
    fs::remove_file(workdir.path().join("ten.safetensors")).unwrap();
    let options = options.replace("max_steps=1", "max_steps=2");
    workdir.train(&format!("{options} --resume auto")).ranks(2).ends_with(0);
}

#[test]
fn pretrained_weights_that_do_not_fit_are_rejected() {
    let workdir = Workdir::new(TINY);
    workdir.train("--name x train.max_steps=1").ends_with(0);
    for names in ["torchvision", "pycls"] {
        let out = format!("{names}.safetensors");
        let export = ["export", "--checkpoint", "runs/x", "--out", &out, "--names", names];
        workdir.trainer(&export).ends_with(0);
    }
    fs::write(workdir.path().join("torn.safetensors"), b"torn").unwrap();
    let mut spoiled = fs::read(workdir.path().join("torchvision.safetensors")).unwrap();
    let end = spoiled.len();
    spoiled[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(workdir.path().join("nan.safetensors"), spoiled).unwrap();
    fs::write(workdir.path().join("pickle.pyth"), b"PK").unwrap();
    fs::write(workdir.path().join("unnamed"), b"\x80\x02").unwrap();
    let refused = |options: &str, code: i32| {
        let ended = workdir.train(&format!("--name y {options}")).ends_with(code);
        let lines = ended.stderr.lines().skip_while(|line| !line.starts_with("error:"));
        let said: String = lines.map(|line| format!("{line}\n")).collect();
        format!("$ {options}\n{said}")
    };
    let wider = "model.anynet.stages=[{depth=1,width=24,group_width=8},{depth=1,width=16,group_width=8}]";
    let mut said = refused("model.pretrained=missing.safetensors", 2);
    assert!(Command::new("mkfifo").arg(workdir.path().join("pipe")).status().unwrap().success());
    said += &refused("model.pretrained=pipe", 2);
    said += &refused("model.pretrained=torn.safetensors", 3);
    said += &refused("model.pretrained=nan.safetensors", 3);
    said += &refused("model.pretrained=pickle.pyth", 2);
    said += &refused("model.pretrained=unnamed", 2);
    said += &refused(&format!("model.pretrained=torchvision.safetensors {wider}"), 2);
    said += &refused("model.pretrained=pycls.safetensors model.conv_bias=true", 2);
    expect![[r#"
        $ model.pretrained=missing.safetensors
        error: model.pretrained = missing.safetensors: cannot be read: No such file or directory (os error 2); give a safetensors file
        $ model.pretrained=pipe
        error: model.pretrained = pipe: not a regular file; give a safetensors file
        $ model.pretrained=torn.safetensors
        error: model.pretrained = torn.safetensors: damaged: header too small
        $ model.pretrained=nan.safetensors
        error: model.pretrained = nan.safetensors: NaN, or infinite in fp32: trunk_output.block2.block2-0.proj.1.weight (1 of 16 numbers)
        $ model.pretrained=pickle.pyth
        error: model.pretrained = pickle.pyth: that is a pickle, which may hold any code and is not opened here; convert it with
          import torch, safetensors.torch as st; s = torch.load("pickle.pyth", map_location="cpu", weights_only=True)
          s = s.get("model_state", s.get("state_dict", s)); st.save_file({k: v.contiguous() for k, v in s.items()}, "pickle.safetensors")
        and set model.pretrained to "pickle.safetensors"
        $ model.pretrained=unnamed
        error: model.pretrained = unnamed: that is a pickle, which may hold any code and is not opened here; convert it with
          import torch, safetensors.torch as st; s = torch.load("unnamed", map_location="cpu", weights_only=True)
          s = s.get("model_state", s.get("state_dict", s)); st.save_file({k: v.contiguous() for k, v in s.items()}, "unnamed.safetensors")
        and set model.pretrained to "unnamed.safetensors"
        $ model.pretrained=torchvision.safetensors model.anynet.stages=[{depth=1,width=24,group_width=8},{depth=1,width=16,group_width=8}]
        error: model.pretrained = torchvision.safetensors: the weights belong to another network; trunk_output.block1.block1-0.f.a.0.weight is [16, 16, 1, 1] there, [24, 16, 1, 1] here, trunk_output.block1.block1-0.f.a.1.weight is [16] there, [24] here, trunk_output.block1.block1-0.f.a.1.bias is [16] there, [24] here, trunk_output.block1.block1-0.f.b.0.weight is [16, 8, 3, 3] there, [24, 8, 3, 3] here, trunk_output.block1.block1-0.f.b.1.weight is [16] there, [24] here, trunk_output.block1.block1-0.f.b.1.bias is [16] there, [24] here and 16 more
        $ model.pretrained=pycls.safetensors model.conv_bias=true
        error: model.pretrained = pycls.safetensors: the weights belong to another network; not there: stem.conv.bias, s1.b1.f.a.bias, s1.b1.f.b.bias, s1.b1.f.c.bias, s1.b1.proj.bias, s2.b1.f.a.bias and 3 more
    "#]].assert_eq(&said);
}
