//! Invalid options and recipes: exit code 2, a message with the accepted values, and nothing written to disk.

use expect_test::{Expect, expect};

use test_jobs::{Job, TINY, Workdir, list, tiny_with};

/// The command, followed by what it writes to standard error when it is rejected.
fn refusal(shown: &str, workdir: &Workdir, job: Job<'_>) -> String {
    let ended = job.ends_with(2);
    assert_eq!(ended.stdout, "", "{ended}");
    assert_eq!(list(workdir.path()), ["recipe.toml"], "{ended}");
    let stderr = ended.stderr.replace(&workdir.path().display().to_string(), "DIR");
    format!("$ {}\n{}", shown.trim_end(), without_lists(&stderr))
}

/// Cuts off lists of a section's keys, which would change with every new key.
fn without_lists(said: &str) -> String {
    let without_list = |line: &str| {
        let end = ["] has ", "with the keys "].iter().find_map(|start| Some(line.find(start)? + start.len()));
        end.map_or_else(|| format!("{line}\n"), |end| format!("{}...\n", &line[..end]))
    };
    said.lines().map(without_list).collect()
}

/// Compares the errors of command lines, whose arguments are separated by spaces.
fn check_commands(commands: &[&str], expected: Expect) {
    let workdir = Workdir::new(TINY);
    let refuse = |command: &&str| {
        let arguments: Vec<_> = command.split(' ').filter(|argument| !argument.is_empty()).collect();
        refusal(&format!("trainer {command}"), &workdir, workdir.trainer(&arguments))
    };
    expected.assert_eq(&commands.iter().map(refuse).collect::<String>());
}

/// Compares the errors of the tiny recipe with changed keys.
fn check_changes(changes: &[&str], expected: Expect) {
    let workdir = Workdir::new(TINY);
    let refuse = |change: &&str| refusal(change, &workdir, workdir.train(change));
    expected.assert_eq(&changes.iter().map(refuse).collect::<String>());
}

/// Compares the errors of the tiny recipe with a line replaced.
fn check_lines(lines: &[(&str, &str)], expected: Expect) {
    let refuse = |(line, wrong): &(&str, &str)| {
        let workdir = Workdir::new(&tiny_with(line, wrong));
        refusal(&format!("{line} -> {wrong}"), &workdir, workdir.train(""))
    };
    expected.assert_eq(&lines.iter().map(refuse).collect::<String>());
}

#[test]
fn invalid_options_are_rejected() {
    check_commands(
        &[
            "",
            "--debug",
            "--config",
            "--config recipe.toml --frobnicate",
            "--config recipe.toml optim.lr=0.1",
            "--config recipe.toml +optim.lr=0.1",
            "--config recipe.toml optim.lr 0.1",
            "--config recipe.toml --optim.lr 0.1",
            "summary --config recipe.toml optim.lr=0.1",
            "--config recipe.toml --config recipe.toml",
            "--config recipe.toml --name a/b",
            "--config recipe.toml --name .hidden",
            "--config recipe.toml --set",
            "--config recipe.toml --resume",
            "--config recipe.toml --resume nowhere",
            "--config recipe.toml --resume recipe.toml",
            "--config recipe.toml summary",
            "evaluate --config recipe.toml",
            "recipe",
            "recipe --schema --config recipe.toml",
            "summary --json",
            "summary --config recipe.toml --debug",
        ],
        expect![[r#"
            $ trainer
            error: the following required arguments were not provided:
              --config <FILE>

            Usage: trainer --config <FILE>

            For more information, try '--help'.
            $ trainer --debug
            error: the following required arguments were not provided:
              --config <FILE>

            Usage: trainer --config <FILE> --debug

            For more information, try '--help'.
            $ trainer --config
            error: a value is required for '--config <FILE>' but none was supplied

            For more information, try '--help'.
            $ trainer --config recipe.toml --frobnicate
            error: unexpected argument '--frobnicate' found

            Usage: trainer --config <FILE>

            For more information, try '--help'.
            $ trainer --config recipe.toml optim.lr=0.1
            error: the subcommand 'optim.lr=0.1' cannot be used with '--config <FILE>'

              tip: a key of the recipe is set with '--set optim.lr=0.1'

            Usage: trainer [OPTIONS] --config <FILE>
                   trainer <COMMAND>

            For more information, try '--help'.
            $ trainer --config recipe.toml +optim.lr=0.1
            error: the subcommand '+optim.lr=0.1' cannot be used with '--config <FILE>'

              tip: a key of the recipe is set with '--set optim.lr=0.1'

            Usage: trainer [OPTIONS] --config <FILE>
                   trainer <COMMAND>

            For more information, try '--help'.
            $ trainer --config recipe.toml optim.lr 0.1
            error: the subcommand 'optim.lr' cannot be used with '--config <FILE>'

              tip: a key of the recipe is set with '--set optim.lr=VALUE'

            Usage: trainer [OPTIONS] --config <FILE>
                   trainer <COMMAND>

            For more information, try '--help'.
            $ trainer --config recipe.toml --optim.lr 0.1
            error: unexpected argument '--optim.lr' found

              tip: a key of the recipe is set with '--set optim.lr=VALUE'

            Usage: trainer --config <FILE>

            For more information, try '--help'.
            $ trainer summary --config recipe.toml optim.lr=0.1
            error: unexpected argument 'optim.lr=0.1' found

              tip: a key of the recipe is set with '--set optim.lr=0.1'

            Usage: trainer summary [OPTIONS] --config <FILE>

            For more information, try '--help'.
            $ trainer --config recipe.toml --config recipe.toml
            error: the argument '--config <FILE>' cannot be used multiple times

            Usage: trainer [OPTIONS] --config <FILE>
                   trainer <COMMAND>

            For more information, try '--help'.
            $ trainer --config recipe.toml --name a/b
            error: invalid value 'a/b' for '--name <NAME>': a run's name is one folder name: not empty, without slashes, control characters or a leading dot, of at most 200 bytes

            For more information, try '--help'.
            $ trainer --config recipe.toml --name .hidden
            error: invalid value '.hidden' for '--name <NAME>': a run's name is one folder name: not empty, without slashes, control characters or a leading dot, of at most 200 bytes

            For more information, try '--help'.
            $ trainer --config recipe.toml --set
            error: a value is required for '--set <SECTION.KEY=VALUE>' but none was supplied

            For more information, try '--help'.
            $ trainer --config recipe.toml --resume
            error: a value is required for '--resume <auto|never|PATH>' but none was supplied

            For more information, try '--help'.
            $ trainer --config recipe.toml --resume nowhere
            error: --resume nowhere: there is no such folder; give a run folder or one of its checkpoints
            $ trainer --config recipe.toml --resume recipe.toml
            error: --resume recipe.toml: that is a file; give a run folder or one of its checkpoints
            $ trainer --config recipe.toml summary
            error: the subcommand 'summary' cannot be used with '--config <FILE>'

            Usage: trainer [OPTIONS] --config <FILE>
                   trainer <COMMAND>

            For more information, try '--help'.
            $ trainer evaluate --config recipe.toml
            error: the following required arguments were not provided:
              <--checkpoint <PATH>|--weights <FILE>>

            Usage: trainer evaluate --config <FILE> <--checkpoint <PATH>|--weights <FILE>>

            For more information, try '--help'.
            $ trainer recipe
            error: the following required arguments were not provided:
              --config <FILE>

            Usage: trainer recipe --config <FILE>

            For more information, try '--help'.
            $ trainer recipe --schema --config recipe.toml
            error: the argument '--schema' cannot be used with one or more of the other specified arguments

            Usage: trainer recipe [OPTIONS] --config <FILE>

            For more information, try '--help'.
            $ trainer summary --json
            error: the following required arguments were not provided:
              --config <FILE>

            Usage: trainer summary --config <FILE> --json

            For more information, try '--help'.
            $ trainer summary --config recipe.toml --debug
            error: unexpected argument '--debug' found

            Usage: trainer summary --config <FILE>

            For more information, try '--help'.
        "#]],
    );
}

#[test]
fn text_that_is_not_a_recipe_is_rejected() {
    check_lines(
        &[
            ("[optim]", "[optim"),
            ("lr = 0.05", "lr = 0.05\nlr = 0.1"),
            ("[optim]", "[optimizer]"),
            ("lr = 0.05", "leanring_rate = 0.05"),
            ("epochs = 2", "epochs = 2\nlr = 0.05"),
            ("lr = 0.05", "lr = \"0.05\""),
            ("epochs = 2", "epochs = 2.5"),
            ("\"sgd\"", "\"sdg\""),
            ("lr = 0.05", ""),
            ("depth = 1", "deepth = 1"),
        ],
        expect![[r#"
            $ [optim] -> [optim
            error: recipe.toml:20: not valid TOML: unclosed table, expected `]`, in `[optim`
            $ lr = 0.05 -> lr = 0.05
            lr = 0.1
            error: recipe.toml:23: not valid TOML: duplicate key, in `lr = 0.1`
            $ [optim] -> [optimizer]
            error: recipe.toml:20: unknown key optimizer; did you mean optim? the sections are model, data, augment, train, optim, schedule, eval, checkpoint, comm, log, run
            $ lr = 0.05 -> leanring_rate = 0.05
            error: recipe.toml:22: unknown key optim.leanring_rate; [optim] has ...
            $ epochs = 2 -> epochs = 2
            lr = 0.05
            error: recipe.toml:15: unknown key train.lr; did you mean optim.lr? [train] has ...
            $ lr = 0.05 -> lr = "0.05"
            error: recipe.toml:22: optim.lr = "0.05": expected a number
            $ epochs = 2 -> epochs = 2.5
            error: recipe.toml:14: train.epochs = 2.5: expected an integer from 1 to 1000000
            $ "sgd" -> "sdg"
            error: recipe.toml:21: optim.name = "sdg": expected "sgd" or "adamw"; did you mean "sgd"?
            $ lr = 0.05 ->
            error: recipe.toml: optim.lr is not set: expected a number above 0
            $ depth = 1 -> deepth = 1
            error: recipe.toml:5: unknown key model.anynet.stages[0].deepth; did you mean model.anynet.stages[0].depth? [model.anynet.stages[0]] has ...
        "#]],
    );
}

#[test]
fn invalid_overrides_are_rejected() {
    check_changes(
        &[
            "optim=3",
            "lr=0.1",
            "optim.learning_rate=0.1",
            "optim.lr=fast",
            "comm.backend=gloo",
            "train.device=gpu",
        ],
        expect![[r#"
            $ optim=3
            error: --set optim=3: unknown key optim; it is a section, [optim], with the keys ...
            $ lr=0.1
            error: --set lr=0.1: unknown key lr; did you mean optim.lr? the sections are model, data, augment, train, optim, schedule, eval, checkpoint, comm, log, run
            $ optim.learning_rate=0.1
            error: --set optim.learning_rate=0.1: unknown key optim.learning_rate; [optim] has ...
            $ optim.lr=fast
            error: --set optim.lr=fast: optim.lr = "fast": expected a number
            $ comm.backend=gloo
            error: --set comm.backend=gloo: comm.backend = "gloo": expected "auto", "single", "mpi" or "nccl"
            $ train.device=gpu
            error: --set train.device=gpu: train.device = "gpu": expected "auto", "cpu" or "cuda"
        "#]],
    );
    let workdir = Workdir::new(TINY);
    let environment = workdir.train("").variable("REGATTA__OPTIM__LEARN", "1");
    expect![[r#"
        $ REGATTA__OPTIM__LEARN=1
        error: environment variable REGATTA__OPTIM__LEARN: unknown key optim.learn; [optim] has ...
    "#]]
    .assert_eq(&refusal("REGATTA__OPTIM__LEARN=1", &workdir, environment));
    let both = workdir.train("optim.lr=0").variable("REGATTA__OPTIM__LR", "-1");
    expect![[r#"
        $ REGATTA__OPTIM__LR=-1 optim.lr=0
        error: --set optim.lr=0: optim.lr = 0.0: expected a number above 0
    "#]]
    .assert_eq(&refusal("REGATTA__OPTIM__LR=-1 optim.lr=0", &workdir, both));
}

#[test]
fn invalid_values_are_rejected() {
    check_changes(
        &[
            "optim.lr=0",
            "optim.momentum=1",
            "optim.beta1=0.9",
            "model.regnet.w0=24",
            "model.classes=7",
            "model.stem_width=0",
            "data.resolution_px=0",
            "data.std=[0.0]",
            "data.folder=here",
            "train.epochs=0",
            "train.micro_batch_size=11",
            "train.label_smoothing=1",
            "schedule.warmup_epochs=2",
            "schedule.name=step",
            "checkpoint.keep=0",
            "log.interval_steps=0",
            "run.folder=",
        ],
        expect![[r#"
            $ optim.lr=0
            error: --set optim.lr=0: optim.lr = 0.0: expected a number above 0
            $ optim.momentum=1
            error: --set optim.momentum=1: optim.momentum = 1.0: expected a number, at least 0 and below 1
            $ optim.beta1=0.9
            error: --set optim.beta1=0.9: optim.beta1 is set, but optim.name is not "adamw": leave it out, or set optim.name to "adamw"
            $ model.regnet.w0=24
            error: --set model.regnet.w0=24: model.regnet and model.anynet are set, but each of them specifies a complete network: keep only one
            $ model.classes=7
            error: --set model.classes=7: model.classes = 7, but the data set has 10: leave it out or set 10
            $ model.stem_width=0
            error: --set model.stem_width=0: model.stem_width = 0: expected an integer from 1 to 65536
            $ data.resolution_px=0
            error: --set data.resolution_px=0: data.resolution_px = 0: expected an integer from 1 to 4096
            $ data.std=[0.0]
            error: --set data.std=[0.0]: data.std = [0.0]: expected numbers above 0, since images are divided by them
            $ data.folder=here
            error: --set data.folder=here: data.folder is set, but data.dataset is not "image_folder", "tar_shards", "fashion_mnist", "mnist", "cifar10" or "cifar100": leave it out, or set data.dataset to "image_folder", "tar_shards", "fashion_mnist", "mnist", "cifar10" or "cifar100"
            $ train.epochs=0
            error: --set train.epochs=0: train.epochs = 0: expected an integer from 1 to 1000000
            $ train.micro_batch_size=11
            error: --set train.micro_batch_size=11: train.micro_batch_size = 11: expected an integer from 1 to 10, the global_batch_size
            $ train.label_smoothing=1
            error: --set train.label_smoothing=1: train.label_smoothing = 1.0: expected a number, at least 0 and below 1
            $ schedule.warmup_epochs=2
            error: --set schedule.warmup_epochs=2: schedule.warmup_epochs = 2.0: expected a number, at least 0 and below train.epochs = 2
            $ schedule.name=step
            error: recipe.toml: schedule.milestones_epochs is not set: expected a list of epochs such as [30, 60, 90]
            $ checkpoint.keep=0
            error: --set checkpoint.keep=0: checkpoint.keep = 0: expected an integer from 1 to 1000000
            $ log.interval_steps=0
            error: --set log.interval_steps=0: log.interval_steps = 0: expected an integer from 1 to 1000000000
            $ run.folder=
            error: --set run.folder=: run.folder = "": expected the path of a folder, such as "runs"
        "#]],
    );
}

#[test]
fn invalid_combinations_are_rejected() {
    check_changes(
        &[
            "optim.momentum=0 optim.nesterov=true",
            "train.global_batch_size=27 train.drop_last=true",
            "data.resolution_px=8 train.micro_batch_size=1",
            "data.resolution_px=8 train.global_batch_size=5",
            "schedule.name=step schedule.milestones_epochs=[1,3]",
        ],
        expect![[r#"
            $ optim.momentum=0 optim.nesterov=true
            error: --set optim.nesterov=true: optim.nesterov = true needs a momentum: set optim.momentum, for example to 0.9
            $ train.global_batch_size=27 train.drop_last=true
            error: --set train.drop_last=true: train.drop_last = true leaves no step: there are 26 training images and train.global_batch_size is 27; set train.drop_last to false or a batch of at most 26
            $ data.resolution_px=8 train.micro_batch_size=1
            error: --set train.micro_batch_size=1: train.micro_batch_size = 1, and with data.resolution_px = 8 the last feature map is 1x1: BatchNorm would normalise one value per channel; set train.micro_batch_size to 2 or more or raise data.resolution_px
            $ data.resolution_px=8 train.global_batch_size=5
            error: recipe.toml:16: train.global_batch_size = 5 in micro-batches of 4 leaves one image in the last, and with data.resolution_px = 8 the last feature map is 1x1: BatchNorm would normalise one value per channel; choose another train.micro_batch_size or raise data.resolution_px
            $ schedule.name=step schedule.milestones_epochs=[1,3]
            error: --set schedule.milestones_epochs=[1,3]: schedule.milestones_epochs = [1.0, 3.0]: expected ascending numbers above 0 and below train.epochs = 2
        "#]],
    );
    check_lines(
        &[("width = 16, group_width = 8", "width = 16, group_width = 5")],
        expect![[r#"
            $ width = 16, group_width = 8 -> width = 16, group_width = 5
            error: recipe.toml:5: model.anynet.stages[0].group_width is 5, which does not divide the 16 channels of the 3x3 convolution (width 16 x bottleneck_ratio 1.0); the nearest smaller divisor is 4
        "#]],
    );
}
