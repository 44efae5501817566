//! Invalid inputs; `wrong_inputs.txt` lists the exit code and the first line of the error of each. Inputs that need a process
//! of their own are in the tests of the binary.

use std::ffi::OsString;
use std::fmt::Write;

use clap::Parser;
use expect_test::expect_file;
use regatta_settings::{RecipeError, hint_at_set, load};
use tempfile::TempDir;
use test_jobs::TINY;

use crate::Cli;
use crate::failure::{describe, exit_code};

/// The exit code and the message of an error.
type Outcome = Result<(), (i32, String)>;

/// Arguments after `trainer --config recipe.toml`.
const COMMAND_LINES: &[&str] = &[
    "--frobnicate",
    "optim.lr=0.1",
    "+optim.lr=0.1",
    "optim.lr 0.1",
    "--optim.lr 0.1",
    "--optim.lr=0.1",
    "--lr 0.1",
    "-n 4",
    "evaluate",
    "summary",
    "--set",
    "--name",
    "--name .",
    "--name ..",
    "--name .hidden",
    "--name a/b",
    "--name a\\b",
    "--name=",
    "--name a\tb",
    "--name x\u{1b}[31m",
    "--name x --name y",
    "--config other.toml",
    "--resume",
    "--debug --debug",
    "--debug=yes",
    "--set optim.lr",
    "--set =0.1",
    "--set =",
    "--set lr=0.1",
    "--set optim=3",
    "--set optim.=3",
    "--set .lr=3",
    "--set optim..lr=3",
    "--set optim.lr.x=3",
    "--set optimm.lr=3",
    "--set OPTIM.LR=3",
    "--set train.train=3",
    "--set optim.learning_rate=3",
    "--set train.batch_size=3",
    "--set train.epoch=3",
    "--set trian.epochs=3",
    "--set train.lr=3",
    "--set optim.momentmu=0.9",
    "--set data.resolution=32",
    "--set model.anynet.stages[0].width=3",
    "--set model.anynet.stages.width=3",
    "--set model=regnetx_400mf",
    "--set µ=3",
];

/// Arguments with values of the wrong type.
const TYPES: &[&str] = &[
    "--set optim.lr=fast",
    "--set optim.lr=",
    "--set optim.lr=true",
    "--set optim.lr=[0.1]",
    "--set optim.lr={x=1}",
    "--set optim.lr=0,1",
    "--set optim.lr=1e999",
    "--set optim.lr=nan",
    "--set optim.lr=-inf",
    "--set optim.lr=1979-05-27",
    "--set optim.nesterov=1",
    "--set optim.nesterov=yes",
    "--set train.epochs=ten",
    "--set train.epochs=2.5",
    "--set train.epochs=1e3",
    "--set train.epochs=\"2\"",
    "--set train.drop_last=False",
    "--set data.mean=0.5",
    "--set data.mean=[a]",
    "--set data.std=[0.1,nan]",
    "--set data.std=[[0.1]]",
    "--set run.folder=3",
    "--set model.anynet.stages=3",
    "--set model.anynet.stages=[3]",
    "--set model.anynet.stages=[{depth=1,widht=8}]",
    "--set model.anynet.stages=[{depth=one}]",
    "--set optim.name=sdg",
    "--set optim.name=Adam",
    "--set optim.name=rmsprop",
    "--set comm.backend=gloo",
    "--set comm.backend=ncll",
    "--set train.device=gpu",
    "--set train.device=cuda:0",
    "--set train.precision=float32",
    "--set train.precision=bf61",
    "--set train.memory_format=channel_last",
    "--set schedule.name=cosinus",
    "--set model.init=xavier",
    "--set model.stem=simpel",
    "--set data.dataset=imagenet",
    "--set data.dataset=fashion-mnist",
    "--set log.format=yaml",
    "--set run.preemption_signal=SIGUSR1",
    "--set model.rounding=up",
];

/// Arguments with numbers that are too small or too large.
const BOUNDS: &[&str] = &[
    "--set train.epochs=-1",
    "--set train.epochs=0",
    "--set train.epochs=1000001",
    "--set train.epochs=99999999999999999999",
    "--set train.epochs=0xffffffffffffffffff",
    "--set train.seed=-1",
    "--set train.seed=9223372036854775808",
    "--set train.max_steps=0",
    "--set train.max_steps=1000000001",
    "--set train.global_batch_size=0",
    "--set train.global_batch_size=1000001",
    "--set train.micro_batch_size=0",
    "--set train.micro_batch_size=11",
    "--set train.micro_batch_size=-4",
    "--set train.threads_per_rank=-1",
    "--set train.threads_per_rank=4097",
    "--set train.label_smoothing=1",
    "--set train.label_smoothing=-0.1",
    "--set train.ema_decay=1",
    "--set train.clip_grad_norm=-1",
    "--set optim.lr=0",
    "--set optim.lr=-0.1",
    "--set optim.momentum=1",
    "--set optim.momentum=-0.9",
    "--set optim.weight_decay=-1e-4",
    "--set optim.weight_decay_norm=-1",
    "--set data.resolution_px=0",
    "--set data.resolution_px=4097",
    "--set data.resolution_px=65536",
    "--set data.resolution_px=4294967296",
    "--set augment.random_crop_padding_px=-1",
    "--set augment.random_crop_padding_px=4097",
    "--set augment.horizontal_flip_probability=1.5",
    "--set data.synthetic_train_images=0",
    "--set data.synthetic_train_images=100000001",
    "--set data.synthetic_train_images=1000000000000",
    "--set data.synthetic_train_images=9000000000000000000",
    "--set data.synthetic_val_images=0",
    "--set data.synthetic_val_images=1000000000000",
    "--set data.synthetic_channels=0",
    "--set data.synthetic_channels=65536",
    "--set data.synthetic_classes=0",
    "--set data.synthetic_classes=1",
    "--set data.synthetic_classes=4000000000",
    "--set model.classes=0",
    "--set model.classes=1",
    "--set model.classes=10000001",
    "--set model.in_channels=0",
    "--set model.stem_width=0",
    "--set model.stem_width=65537",
    "--set model.dropout=1",
    "--set eval.interval_epochs=-1",
    "--set eval.batch_size=1000001",
    "--set checkpoint.interval_epochs=0",
    "--set checkpoint.interval_steps=-1",
    "--set checkpoint.keep=0",
    "--set checkpoint.keep=1000001",
    "--set log.interval_steps=0",
    "--set comm.timeout_s=0",
    "--set comm.timeout_s=1e300",
    "--set comm.first_bucket_mib=0",
    "--set comm.bucket_cap_mib=-25",
    "--set schedule.warmup_epochs=-1",
    "--set schedule.warmup_start_fraction=1.1",
    "--set model.anynet.stages=[{depth=0,width=8,group_width=8}]",
    "--set model.anynet.stages=[{depth=1001,width=8,group_width=8}]",
    "--set model.anynet.stages=[{depth=1,width=65537,group_width=8}]",
    "--set model.anynet.stages=[{depth=1,width=8,group_width=0}]",
    "--set model.anynet.stages=[{depth=1,width=8,group_width=8,stride=65}]",
    "--set model.anynet.stages=[{depth=1,width=8,group_width=8,bottleneck_ratio=0}]",
];

/// Arguments with values that contradict each other.
const COMBINATIONS: &[&str] = &[
    "--set run.folder=",
    "--set optim.momentum=0 --set optim.nesterov=true",
    "--set optim.beta1=0.9",
    "--set optim.name=adamw",
    "--set optim.name=adamw --set optim.momentum=0 --set optim.beta2=1",
    "--set optim.name=adamw --set optim.momentum=0 --set optim.eps=0",
    "--set data.folder=here",
    "--set data.dataset=mnist",
    "--set data.mean=[0.5,0.5,0.5]",
    "--set data.std=[]",
    "--set data.std=[0.0]",
    "--set model.classes=7",
    "--set model.in_channels=3",
    "--set model.arch=regnetx_400mf",
    "--set model.regnet.w0=24",
    "--set model.rounding=pycls",
    "--set model.stem=flatten",
    "--set model.anynet.block=mlp",
    "--set model.anynet.block=vanilla",
    "--set model.anynet.stages=[]",
    "--set model.anynet.stages=[{depth=1,width=16,group_width=5}]",
    "--set model.anynet.stages=[{depth=1,width=16,group_width=8},{depth=1,width=16}]",
    "--set schedule.gamma=0.5",
    "--set schedule.final_lr_fraction=0.5",
    "--set schedule.warmup_epochs=2",
    "--set schedule.name=step",
    "--set schedule.name=step --set schedule.milestones_epochs=[]",
    "--set schedule.name=step --set schedule.milestones_epochs=[1,0.5]",
    "--set schedule.name=step --set schedule.milestones_epochs=[2]",
    "--set train.drop_last=true --set train.global_batch_size=27",
    "--set data.resolution_px=8 --set train.micro_batch_size=1",
    "--set data.resolution_px=8 --set train.global_batch_size=5",
];

/// Environment variables.
const ENVIRONMENT: &[&str] = &[
    "REGATTA__OPTIM__LR=fast",
    "REGATTA__OPTIM__LR=",
    "REGATTA__OPTIM__LR=0",
    "REGATTA__OPTIM__LEARNING_RATE=0.1",
    "REGATTA__OPTIM=3",
    "REGATTA__LR=0.1",
    "REGATTA__=1",
    "REGATTA__MODEL__ANYNET__STAGES=[",
    "REGATTA__DATA__SYNTHETIC_TRAIN_IMAGES=1000000000000",
];

/// Lines of the recipe and their replacements; `⏎` ends a line.
const FILES: &[&str] = &[
    "[optim] => [optim",
    "[optim] => [[optim]]",
    "[optim] => [optimizer]",
    "[optim] => [train]",
    "[optim] => ",
    "lr = 0.05 => lr = ",
    "lr = 0.05 => lr 0.05",
    "lr = 0.05 => lr = 0.05⏎lr = 0.1",
    "lr = 0.05 => lr = .05",
    "lr = 0.05 => lr = \"0.05\"",
    "lr = 0.05 => learning_rate = 0.05",
    "lr = 0.05 => lr = 0.05⏎momentun = 0.9",
    "lr = 0.05 => ",
    "lr = 0.05 => lr = \u{0}",
    "epochs = 2 => epochs = 2⏎lr = 0.05",
    "epochs = 2 => epochs = 02",
    "epochs = 2 => epochs = 2_000_000",
    "[model] => epochs = 3⏎[model]",
    "[model] => [model]⏎layers = 50",
    "name = \"sgd\" => name = sgd",
    "name = \"sgd\" => name = \"sgd",
    "depth = 1,  => ",
    "depth = 1 => deepth = 1",
    "width = 16, group_width = 8 => width = 16",
    "dataset = \"synthetic\" => ",
    "synthetic_train_images = 26 => ",
    "[train] => [train]⏎train = 3",
    "[data] => [data.extra]",
];

/// Specifications of the network, in place of the recipe's stages.
const NETWORKS: &[&str] = &[
    "",
    "arch = \"\"",
    "arch = \"resnet50\"",
    "arch = \"regnetx_401mf\"",
    "arch = \"RegNetX-400MF\"",
    "arch = \"regnetx_3.2gf\"",
    "arch = 400",
    "arch = [\"regnetx_400mf\"]",
    "arch = \"regnet_x_400mf\"⏎rounding = \"pycls\"",
    "regnet.depth = 13",
    "regnet = { depth = 13, w0 = 24, wa = 36.44, group_width = 8 }",
    "regnet = { depth = 13, w0 = 25, wa = 36.44, wm = 2.49, group_width = 8 }",
    "regnet = { depth = 13, w0 = 24, wa = -1, wm = 2.49, group_width = 8 }",
    "regnet = { depth = 13, w0 = 24, wa = 36.44, wm = 1, group_width = 8 }",
    "regnet = { depth = 13, w0 = 24, wa = 1e300, wm = 2.49, group_width = 8 }",
    "regnet = { depth = 0, w0 = 24, wa = 36.44, wm = 2.49, group_width = 8 }",
    "regnet = { depth = 13, w0 = 24, wa = 36.44, wm = 2.49, group_width = 8, se_ratio = 65 }",
    "regnet = { depth = 13, w0 = 24, wa = 36.44, wm = 2.49, group_width = 8, bottleneck_ratio = 0.9 }",
    "anynet.block = \"resnext\"",
    "anynet.blocks = \"resnext\"",
];

#[test]
fn every_invalid_input_is_rejected_with_the_accepted_values() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = String::new();
    let mut cases = 0;
    let mut note = |heading: &str, inputs: &[&str], outcome: &dyn Fn(&str) -> Outcome| {
        writeln!(table, "# {heading}\n").unwrap();
        for input in inputs {
            let (code, message) = outcome(input).expect_err(input);
            let message = message.replace(&format!("{}/", folder.path().display()), "");
            let (input, first) = (input.trim_end(), message.lines().next().unwrap_or_default());
            let case = format!("{input}\n    {code} {}\n", without_lists(first));
            table += &case.replace('\u{1b}', "ESC").replace('\0', "NUL").replace('\t', "TAB");
            cases += 1;
        }
        table.push('\n');
    };
    let with_options = |input: &str| command_line(&folder, TINY, input);
    note("trainer --config recipe.toml ...", COMMAND_LINES, &with_options);
    note("types", TYPES, &with_options);
    note("bounds", BOUNDS, &with_options);
    note("values that do not go together", COMBINATIONS, &with_options);
    note("variables", ENVIRONMENT, &|input| {
        let (name, value) = input.split_once('=').unwrap();
        recipe(&folder, TINY, &[], &[(name, value)])
    });
    note("lines of the recipe", FILES, &|input| {
        let (line, other) = input.split_once(" => ").unwrap();
        assert!(TINY.contains(line), "{line}");
        recipe(&folder, &TINY.replacen(line, &other.replace('⏎', "\n"), 1), &[], &[])
    });
    note("networks", NETWORKS, &|input| {
        let rest = &TINY[TINY.find("[data]").unwrap()..];
        recipe(&folder, &format!("[model]\n{}\n{rest}", input.replace('⏎', "\n")), &[], &[])
    });
    assert!(cases >= 200, "{cases} cases");
    expect_file!["wrong_inputs.txt"].assert_eq(&table);
    let left: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["recipe.toml"]);
}

/// Deep nesting is rejected before the stack overflows.
#[test]
fn deeply_nested_recipes_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let deep =
        |open: &str, close: &str| format!("data.mean={}{}", open.repeat(100_000), close.repeat(100_000));
    for value in
        [deep("[", "]"), deep("[", ""), deep("{a=", "}"), format!("optim.lr={}", "9".repeat(1_000_000))]
    {
        assert_eq!(recipe(&folder, TINY, &[value], &[]).unwrap_err().0, 2);
    }
    let keys = format!("{}{} = 1\n", TINY, vec!["a"; 100_000].join("."));
    assert_eq!(recipe(&folder, &keys, &[], &[]).unwrap_err().0, 2);
}

/// Cuts off lists of a section's keys, which would change with every new key.
fn without_lists(message: &str) -> String {
    let starts = ["] has ", "with the keys ", "the sections are ", "there are regnetx_200mf"];
    let end = starts.iter().find_map(|start| Some(message.find(start)? + start.len()));
    end.map_or_else(|| message.to_owned(), |end| format!("{}...", &message[..end]))
}

/// Checks `trainer --config recipe.toml INPUT` up to the start of the run.
fn command_line(folder: &TempDir, text: &str, input: &str) -> Outcome {
    let words = ["trainer", "--config", "recipe.toml"].into_iter().chain(input.split(' '));
    let cli = Cli::try_parse_from(words).map_err(|error| {
        let error = hint_at_set(error);
        (error.exit_code(), error.to_string().trim_start_matches("error: ").to_owned())
    })?;
    recipe(folder, text, &cli.recipe.unwrap().set, &[])
}

/// Resolves the recipe `text` with options and variables for one rank.
fn recipe(folder: &TempDir, text: &str, sets: &[String], variables: &[(&str, &str)]) -> Outcome {
    let path = folder.path().join("recipe.toml");
    std::fs::write(&path, text).unwrap();
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let resolved = load(&path, variables, sets).and_then(|raw| raw.resolve(1, None));
    let refused = |error: RecipeError| {
        let error = error.into();
        (exit_code(&error).code(), describe(&error))
    };
    resolved.map(drop).map_err(refused)
}
