//! Error messages for invalid recipes: text, keys, types, overrides.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use expect_test::{Expect, expect};
use regatta_settings::{load, schema};

use crate::support::{REGNET, SMALL, load_text, message};

/// Returns the error message for `text` with `sets`.
fn refusal(text: &str, sets: &[&str]) -> String {
    let refused = load_text(text, &[], sets).and_then(|raw| raw.resolve(1, None));
    message(&refused.expect_err("the recipe is wrong"))
}

/// Compares the error message for each of `cases`, a change to `text` that makes it invalid.
pub(crate) fn check_each(text: &str, cases: &[&[&str]], expected: Expect) {
    let messages: Vec<String> = cases.iter().map(|sets| refusal(text, sets)).collect();
    expected.assert_eq(&messages.join("\n"));
}

/// Compares the refusals of the recipe with a line replaced: `("lr = 0.1", "lr = fast")`.
pub(crate) fn check_files(text: &str, cases: &[(&str, &str)], expected: Expect) {
    let messages: Vec<String> = cases
        .iter()
        .map(|(line, wrong)| {
            assert!(text.contains(line), "{line} is in the recipe");
            refusal(&text.replacen(line, wrong, 1), &[])
        })
        .collect();
    expected.assert_eq(&messages.join("\n"));
}

#[test]
fn text_that_is_not_a_recipe() {
    check_files(
        SMALL,
        &[
            ("lr = 0.1", "lr = fast"),
            ("lr = 0.1", "lr = 0.1\nlr = 0.2"),
            ("[optim]", "[optim"),
            ("lr = 0.1", "lr = µ"),
            ("[optim]", "[optimizer]"),
            ("lr = 0.1", "leanring_rate = 0.1"),
            ("lr = 0.1", "lr = 0.1\nmomentun = 0.9"),
            ("epochs = 10", "epochs = 10\nlr = 0.1"),
            ("depth = 1", "deepth = 1"),
            ("[model.anynet]", "epochs = 3\n[model.anynet]"),
        ],
        expect![[r#"
            recipe.toml:10: not valid TOML: invalid boolean, expected `false`, in `lr = fast`
            recipe.toml:11: not valid TOML: duplicate key, in `lr = 0.2`
            recipe.toml:8: not valid TOML: unclosed table, expected `]`, in `[optim`
            recipe.toml:10: not valid TOML: string values must be quoted, expected literal string, in `lr = µ`
            recipe.toml:8: unknown key optimizer; did you mean optim? the sections are model, data, augment, train, optim, schedule, eval, checkpoint, comm, log, run
            recipe.toml:10: unknown key optim.leanring_rate; [optim] has ...
            recipe.toml:11: unknown key optim.momentun; did you mean optim.momentum? [optim] has ...
            recipe.toml:7: unknown key train.lr; did you mean optim.lr? [train] has ...
            recipe.toml:2: unknown key model.anynet.stages[0].deepth; did you mean model.anynet.stages[0].depth? [model.anynet.stages[0]] has ...
            recipe.toml:1: unknown key epochs; did you mean train.epochs? the sections are model, data, augment, train, optim, schedule, eval, checkpoint, comm, log, run"#]],
    );
}

#[test]
fn values_of_the_wrong_type() {
    check_files(
        SMALL,
        &[
            ("lr = 0.1", "lr = \"0.1\""),
            ("lr = 0.1", "lr = nan"),
            ("lr = 0.1", "lr = 1e999"),
            ("lr = 0.1", "lr = 0.1\nnesterov = 1"),
            ("epochs = 10", "epochs = 10.5"),
            ("epochs = 10", "epochs = -1"),
            ("\"sgd\"", "\"sdg\""),
            ("depth = 1", "depth = \"one\""),
            ("depth = 1, ", ""),
            ("[data]", "[data]\nmean = [0.5, \"0.5\"]"),
            ("[data]", "[data]\nstd = [inf]"),
            ("[data]", "[log]\nformat = 3\n[data]"),
            ("[model.anynet]", "log = 3\n[model.anynet]"),
            ("[model.anynet]", "[[log]]\ninterval_steps = 3\n[model.anynet]"),
        ],
        expect![[r#"
            recipe.toml:10: optim.lr = "0.1": expected a number
            recipe.toml:10: optim.lr = nan: expected a finite number
            recipe.toml:10: optim.lr = 1e999: expected a finite number
            recipe.toml:11: optim.nesterov = 1: expected true or false
            recipe.toml:6: train.epochs = 10.5: expected an integer from 1 to 1000000
            recipe.toml:6: train.epochs = -1: expected an integer from 1 to 1000000
            recipe.toml:9: optim.name = "sdg": expected "sgd" or "adamw"; did you mean "sgd"?
            recipe.toml:2: model.anynet.stages[0].depth = "one": expected an integer from 1 to 1000
            recipe.toml:2: model.anynet.stages[0].depth is not set: expected a number of blocks, at least 1
            recipe.toml:4: data.mean = [0.5, "0.5"]: expected a list of numbers
            recipe.toml:4: data.std = [inf]: expected a list of finite numbers
            recipe.toml:4: log.format = 3: expected "text" or "json"
            recipe.toml:1: log = 3: expected a table of keys
            recipe.toml:1: log = [[log]]: expected a table of keys"#]],
    );
}

#[test]
fn required_keys_that_are_unset() {
    check_files(
        SMALL,
        &[
            ("[model.anynet]\nstages", "[model]\n#"),
            ("dataset = \"fashion_mnist\"", ""),
            ("epochs = 10", ""),
            ("global_batch_size = 128", ""),
        ],
        expect![[r#"
            recipe.toml: model.arch is not set: expected a published network such as arch = "regnetx_400mf", or [model.regnet] with the generator's parameters, or [model.anynet] with stages
            recipe.toml: data.dataset is not set: expected "image_folder", "tar_shards", "synthetic", "fashion_mnist", "mnist", "cifar10" or "cifar100"
            recipe.toml: train.epochs is not set: expected a number of epochs, at least 1
            recipe.toml: train.global_batch_size is not set: expected a number of images, at least 1"#]],
    );
    check_files(
        SMALL,
        &[("name = \"sgd\"", ""), ("lr = 0.1", ""), ("stages", "block = \"vanilla\"\n#")],
        expect![[r#"
        recipe.toml: optim.name is not set: expected "sgd" or "adamw"
        recipe.toml: optim.lr is not set: expected a number above 0
        recipe.toml: model.anynet.stages is not set: expected a list of tables such as [{ depth = 4, width = 32, group_width = 16 }]"#]],
    );
    check_files(
        REGNET,
        &[("w0 = 24", ""), ("synthetic_val_images = 100", "")],
        expect![[r#"
            recipe.toml: model.regnet.w0 is not set: expected a multiple of 8 channels, such as 24
            recipe.toml: data.synthetic_val_images is not set: expected a number of images, at least 1"#]],
    );
    check_each(
        SMALL,
        &[&["data.dataset=mnist"], &["schedule.name=step"]],
        expect![[r#"
            recipe.toml: data.folder is not set: expected the folder of MNIST's files
            recipe.toml: schedule.milestones_epochs is not set: expected a list of epochs such as [30, 60, 90]"#]],
    );
}

/// All at once, each with the line of the table that lacks it, where there is one.
#[test]
fn several_required_keys_that_are_unset() {
    check_files(
        "",
        &[(
            "",
            "[model.anynet]\nstages = [\n  { depth = 1, width = 8, group_width = 8 },\n  { width = 8 },\n]\n",
        )],
        expect![[r#"
            7 required keys are not set:
              recipe.toml: data.dataset is not set: expected "image_folder", "tar_shards", "synthetic", "fashion_mnist", "mnist", "cifar10" or "cifar100"
              recipe.toml:4: model.anynet.stages[1].depth is not set: expected a number of blocks, at least 1
              recipe.toml:4: model.anynet.stages[1].group_width is not set: expected a divisor of the bottleneck width
              recipe.toml: train.epochs is not set: expected a number of epochs, at least 1
              recipe.toml: train.global_batch_size is not set: expected a number of images, at least 1
              recipe.toml: optim.name is not set: expected "sgd" or "adamw"
              recipe.toml: optim.lr is not set: expected a number above 0"#]],
    );
    let stages = "[[model.anynet.stages]]\ndepth = 1\nwidth = 8\ngroup_width = 8\n[[model.anynet.stages]]\nwidth = 8\ndepth = 2";
    let line = SMALL.lines().nth(1).unwrap();
    check_files(
        &SMALL.replacen("[model.anynet]\n", "", 1),
        &[(line, stages)],
        expect![
            "recipe.toml:5: model.anynet.stages[1].group_width is not set: expected a divisor of the bottleneck width"
        ],
    );
}

#[test]
fn overrides_that_are_wrong() {
    check_each(
        SMALL,
        &[
            &["optim.lr"],
            &["=0.1"],
            &[" = 0.1"],
            &["lr=0.1"],
            &["optim.lr.x=1"],
            &["optim=3"],
            &["optimm.lr=3"],
            &["model.anynet.stages[0].width=3"],
            &["optim.lr=fast"],
            &["optim.learning_rate=0.1"],
        ],
        expect![[r#"
            --set optim.lr: expected section.key=value, for example --set optim.lr=0.1
            --set =0.1: expected section.key=value, for example --set optim.lr=0.1
            --set  = 0.1: expected section.key=value, for example --set optim.lr=0.1
            --set lr=0.1: unknown key lr; did you mean optim.lr? the sections are model, data, augment, train, optim, schedule, eval, checkpoint, comm, log, run
            --set optim.lr.x=1: unknown key optim.lr.x; optim.lr is a number, set as a whole
            --set optim=3: unknown key optim; it is a section, [optim], with the keys ...
            --set optimm.lr=3: unknown key optimm.lr; did you mean optim.lr? the sections are model, data, augment, train, optim, schedule, eval, checkpoint, comm, log, run
            --set model.anynet.stages[0].width=3: unknown key model.anynet.stages[0].width; model.anynet.stages is a list of tables, set as a whole
            --set optim.lr=fast: optim.lr = "fast": expected a number
            --set optim.learning_rate=0.1: unknown key optim.learning_rate; [optim] has ..."#]],
    );
    let env = [("REGATTA__OPTIM__LR", "-1"), ("REGATTA__OPTIM__LEARN", "1"), ("REGATTA__LR", "1")];
    let messages = env.map(|variable| {
        let refused = load_text(SMALL, &[variable], &[]).and_then(|raw| raw.resolve(1, None));
        message(&refused.unwrap_err())
    });
    expect![[r#"
        environment variable REGATTA__OPTIM__LR: optim.lr = -1.0: expected a number above 0
        environment variable REGATTA__OPTIM__LEARN: unknown key optim.learn; [optim] has ...
        environment variable REGATTA__LR: unknown key lr; did you mean optim.lr? the sections are model, data, augment, train, optim, schedule, eval, checkpoint, comm, log, run"#]].assert_eq(&messages.join("\n"));
}

/// Other messages are compared without them.
#[test]
fn an_unknown_key_is_refused_with_all_keys_of_its_section() {
    for section in ["train", "optim", "model.regnet"] {
        let refused = load_text(SMALL, &[], &[&format!("{section}.unheard_of=1")]).unwrap_err().to_string();
        let prefix = format!("{section}.");
        let names: Vec<_> = schema().iter().filter_map(|key| key.key.strip_prefix(&prefix)).collect();
        assert!(refused.ends_with(&format!("; [{section}] has {}", names.join(", "))), "{refused}");
    }
}

/// An environment variable with the recipe's prefix is not ignored if it is not valid UTF-8.
#[test]
fn variables_that_are_not_utf8() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    std::fs::write(&path, SMALL).unwrap();
    let load_with = |name: &[u8], value: &[u8]| {
        let [name, value] = [name, value].map(|bytes| OsStr::from_bytes(bytes).to_owned());
        load(&path, [(name, value)].into_iter(), &[])
    };
    let refused = |name: &[u8], value: &[u8]| load_with(name, value).unwrap_err().to_string();
    expect!["environment variable REGATTA__RUN__FOLDER: not valid UTF-8"]
        .assert_eq(&refused(b"REGATTA__RUN__FOLDER", b"runs-\xe9"));
    expect!["environment variable REGATTA__OPTIM__L�: not valid UTF-8"]
        .assert_eq(&refused(b"REGATTA__OPTIM__L\xff", b"1"));
    assert!(load_with(b"OTHER", b"\xff").is_ok(), "what others set does not matter");
}

#[test]
fn text_that_is_not_utf8() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    let text = [SMALL.as_bytes(), b"momentum = 0.9 # caf\xe9\n"].concat();
    std::fs::write(&path, text).unwrap();
    let error = load(&path, std::iter::empty(), &[]).unwrap_err();
    expect!["recipe.toml:11: not valid TOML: the byte 0xe9 is not UTF-8, in `momentum = 0.9 # caf�`"]
        .assert_eq(&message(&error));
}

/// A device may have no end, and a pipe waits for a writer: neither is opened.
#[test]
fn paths_that_are_not_recipe_files() {
    let folder = tempfile::tempdir().unwrap();
    let [fifo, large, link] = ["fifo", "large.toml", "link.toml"].map(|name| folder.path().join(name));
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    std::fs::write(&large, "#".repeat((1 << 20) + 1)).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
    let refused = |path: &Path| {
        let said = load(path, std::iter::empty(), &[]).unwrap_err().to_string();
        said.replace(&folder.path().display().to_string(), "DIR")
    };
    let paths = [Path::new("/dev/zero"), Path::new("/dev/full"), &link, &fifo, &large, folder.path()];
    let said: Vec<String> = paths.into_iter().map(refused).collect();
    expect![[r#"
        cannot read the recipe /dev/zero: it is a pipe, a socket or a device; a recipe is a text file
        cannot read the recipe /dev/full: it is a pipe, a socket or a device; a recipe is a text file
        cannot read the recipe DIR/link.toml: it is a pipe, a socket or a device; a recipe is a text file
        cannot read the recipe DIR/fifo: it is a pipe, a socket or a device; a recipe is a text file
        cannot read the recipe DIR/large.toml: it is larger than 1024 KiB; a recipe is a text file
        cannot read the recipe DIR: it is a folder; a recipe is a text file"#]]
    .assert_eq(&said.join("\n"));
    // As large as may be.
    std::fs::write(&large, format!("{SMALL}{}", "#".repeat((1 << 20) - SMALL.len()))).unwrap();
    load(&large, std::iter::empty(), &[]).unwrap();
}

#[test]
fn a_file_that_is_not_there() {
    let missing = Path::new("nowhere/recipe.toml");
    let error = load(missing, std::iter::empty(), &[]).unwrap_err();
    expect!["cannot read the recipe nowhere/recipe.toml"].assert_eq(&error.to_string());
    let cause = std::error::Error::source(&error).unwrap();
    expect!["No such file or directory (os error 2)"].assert_eq(&cause.to_string());
}
