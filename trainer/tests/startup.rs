//! How a run starts, errors at the start, debug runs, and what ends a run early.

use std::fs;
use std::path::Path;
use std::process::Command;

use regatta_run_folder::AttemptRecord;

use test_jobs::{ENDLESS, TINY, Workdir, checkpoint_files, list, metrics, newest_step, tiny_with};

#[test]
fn without_a_launcher_a_process_is_one_rank() {
    let workdir = Workdir::new(TINY);
    let ended = workdir.train("").ends_with(0).says("1 rank over single");
    assert!(ended.stdout.starts_with("done: best top-1 "), "{ended}");
    let attempt = AttemptRecord::read(&workdir.run("recipe").attempt(1)).unwrap();
    assert_eq!(attempt.start.world_size, 1);
    assert_eq!(attempt.end.map(|end| (end.end, end.exit_code)), Some(("done".to_owned(), 0)));
}

#[test]
fn mpi_supports_a_single_rank() {
    let workdir = Workdir::new(TINY);
    let ended = workdir.train("comm.backend=mpi train.max_steps=1").ends_with(0);
    assert!(!ended.says("1 rank over").stderr.contains("over single"));
}

/// Launchers that started several processes which do not form one MPI world.
#[test]
fn ranks_that_form_no_common_world_are_rejected() {
    let cases = [
        ("SLURM_STEP_NUM_TASKS", "2", 2, "--mpi=pmix"),
        ("PMI_SIZE", "4", 4, "PMI_SIZE says 4 ranks, but this MPI world has 1"),
        ("OMPI_COMM_WORLD_SIZE", "4", 4, "OMPI_COMM_WORLD_SIZE says 4 ranks, but this MPI world has 1"),
    ];
    let workdir = Workdir::new(TINY);
    for (variable, value, code, message) in cases {
        let ended = workdir.train("").variable(variable, value).ends_with(code).says(message);
        if code == 4 {
            let (_, library) = ended.stderr.split_once("the trainer is linked with ").unwrap();
            let known = ["Open MPI v", "MPICH ", "Intel(R) MPI"];
            assert!(known.iter().any(|name| library.starts_with(name)), "{ended}");
        }
        assert_eq!(list(workdir.path()), ["recipe.toml"], "{ended}");
    }
}

/// The variables of torchrun do not make processes an MPI world.
#[test]
fn ranks_of_torchrun_are_rejected_with_the_right_command() {
    let workdir = Workdir::new(TINY);
    let under_torchrun =
        |options: &str| workdir.train(options).variable("RANK", "0").variable("WORLD_SIZE", "4");
    for backend in ["auto", "mpi"] {
        let ended = under_torchrun(&format!("comm.backend={backend}")).ends_with(2);
        let ended =
            ended.says("error: RANK and WORLD_SIZE say that 4 ranks were started, as torchrun does, ");
        let ended = ended.says("`mpirun -n 4 trainer ...`");
        assert_eq!(list(workdir.path()), ["recipe.toml"], "{ended}");
    }
    under_torchrun("--debug").ends_with(0);
    under_torchrun("--name single comm.backend=single train.max_steps=1").ends_with(0);
    under_torchrun("--name mpirun train.max_steps=1").ranks(2).ends_with(0).says("2 ranks over");
}

#[test]
fn the_single_backend_is_rejected_on_several_ranks() {
    let workdir = Workdir::new(TINY);
    let ended = workdir.train("comm.backend=single").ranks(2).ends_with(2);
    let ended = ended.says("comm.backend = \"single\": OMPI_COMM_WORLD_SIZE says that 2 ranks were started");
    assert_eq!(list(workdir.path()), ["recipe.toml"], "{ended}");
}

#[test]
fn more_ranks_than_micro_batches_are_rejected() {
    let workdir = Workdir::new(TINY);
    let ended = workdir.train("").ranks(4).ends_with(2);
    let ended = ended.says("makes only 3: train.micro_batch_size from 1 to 3 fits");
    assert_eq!(list(workdir.path()), ["recipe.toml"], "{ended}");
}

#[test]
fn ranks_with_different_recipes_are_named() {
    let workdir = Workdir::new(TINY);
    let job = workdir.train("").ranks(2);
    let job = job.variable_of_rank(0, "REGATTA__OPTIM__LR", "0.1");
    let ended = job.variable_of_rank(1, "REGATTA__OPTIM__LR", "0.2").ends_with(4);
    let ended = ended.says("ranks [1] resolved a different recipe than rank 0");
    assert_eq!(list(workdir.path()), ["recipe.toml"], "{ended}");
}

#[test]
fn a_missing_data_set_says_how_to_get_it() {
    let (kept, _) = TINY.split_once("[data]").unwrap();
    let (_, rest) = TINY.split_once("[train]").unwrap();
    let workdir = Workdir::new(&format!("{kept}[data]\nfolder = \"nowhere\"\n[train]{rest}"));
    let ended = workdir.train("data.dataset=fashion_mnist").ends_with(3);
    let ended = ended.says("there is no folder nowhere").says("datasets/fashion-mnist of the checkout");
    let ended = ended.says("under /usr/share/datasets/fashion-mnist").says("REGATTA__DATA__FOLDER");
    assert_eq!(list(workdir.path()), ["recipe.toml"], "{ended}");
    fs::create_dir(workdir.path().join("nowhere")).unwrap();
    let ended = workdir.train("data.dataset=mnist").ends_with(3).says("set data.folder to the folder");
    assert_eq!(list(workdir.path()), ["nowhere", "recipe.toml"], "{ended}");
}

/// Writes an idx file of `images` items with these sizes: images of 28x28 pixels, or labels.
fn write_idx(path: &Path, images: u32, sizes: &[u32]) {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8 + 1];
    bytes.extend([&[images], sizes].concat().into_iter().flat_map(u32::to_be_bytes));
    bytes.resize(bytes.len() + (images * sizes.iter().product::<u32>()) as usize, 3);
    fs::write(path, bytes).unwrap();
}

/// `make` without root puts the data set into the checkout; a continued run keeps using the folder that it found.
#[test]
fn the_data_set_that_make_fetched_is_found() {
    let (kept, _) = TINY.split_once("[data]").unwrap();
    let (_, rest) = TINY.split_once("[train]").unwrap();
    let data = "[data]\ndataset = \"fashion_mnist\"\nresolution_px = 16\n";
    let workdir = Workdir::new(&format!("{kept}{data}[train]{rest}"));
    let fetched = workdir.path().join("datasets/fashion-mnist");
    fs::create_dir_all(&fetched).unwrap();
    for (split, images) in [("train", 26), ("t10k", 13)] {
        write_idx(&fetched.join(format!("{split}-images-idx3-ubyte")), images, &[28, 28]);
        write_idx(&fetched.join(format!("{split}-labels-idx1-ubyte")), images, &[]);
    }
    workdir.train("--name x train.max_steps=1").ends_with(0);
    let config = fs::read_to_string(workdir.run("x").config()).unwrap();
    assert!(config.contains(&format!("folder = \"{}\"", fetched.display())), "{config}");
    workdir.train("--name x --resume auto train.max_steps=2").ends_with(0);
}

#[test]
fn a_missing_gpu_is_reported() {
    if Path::new("/dev/nvidiactl").exists() {
        eprintln!("skipped: this machine has a GPU");
        return;
    }
    let workdir = Workdir::new(&tiny_with("device = \"cpu\"", "device = \"cuda\""));
    let ended = workdir.train("").ends_with(2);
    let ended = ended.says("train.device = \"cuda\"").says("/dev/nvidiactl does not exist");
    assert_eq!(list(workdir.path()), ["recipe.toml"], "{ended}");
    workdir.train("train.device=auto train.max_steps=1").ends_with(0).says(", cpu, ");
}

#[test]
fn files_in_the_way_are_storage_errors() {
    let workdir = Workdir::new(TINY);
    let runs = workdir.path().join("runs");
    fs::write(&runs, "").unwrap();
    workdir.train("").ends_with(6).says("runs/recipe");
    fs::remove_file(&runs).unwrap();
    fs::create_dir_all(runs.join("recipe")).unwrap();
    fs::write(runs.join("recipe/checkpoints"), "").unwrap();
    workdir.train("--resume auto").ends_with(6).says("runs/recipe/checkpoints");
    assert_eq!(list(&runs.join("recipe")), ["checkpoints"]);
}

/// `..toml` would name `runs/` itself, `...toml` its parent folder.
#[test]
fn a_recipe_file_name_cannot_lead_outside_the_runs_folder() {
    let workdir = Workdir::new(TINY);
    for config in ["..toml", "...toml", ".hidden.toml"] {
        fs::write(workdir.path().join(config), TINY).unwrap();
        for debug in [&[][..], &["--debug"]] {
            let ended = workdir.trainer(&[&["--config", config], debug].concat()).ends_with(2);
            let said = format!(
                "error: {config}: the run is named after the recipe file, but a run's name is one folder name"
            );
            let ended = ended.says(&said).says("; choose a name with --name");
            assert!(!workdir.path().join("runs").exists(), "{ended}");
        }
    }
    workdir.trainer(&["--config", "...toml", "--name", "x", "--set", "train.max_steps=1"]).ends_with(0);
    assert_eq!(list(&workdir.path().join("runs")), ["x"]);
}

#[test]
fn recipe_files_that_cannot_be_read_are_reported() {
    let workdir = Workdir::new(TINY);
    for config in ["nowhere.toml", "."] {
        let ended = workdir.trainer(&["--config", config]).ends_with(2);
        let ended = ended.says(&format!("error: cannot read the recipe {config}: "));
        assert_eq!(list(workdir.path()), ["recipe.toml"], "{ended}");
    }
}

#[test]
fn help_lists_commands_and_options() {
    let workdir = Workdir::new(TINY);
    let help = workdir.trainer(&["--help"]).ends_with(0).stdout;
    for part in ["recipe ", "summary ", "--config <FILE>", "--set <SECTION.KEY=VALUE>", "--resume", "--debug"]
    {
        assert!(help.contains(part), "{part} in\n{help}");
    }
}

/// A debug run has a folder of its own, which the next debug run replaces.
#[test]
fn debug_runs_five_steps_in_one_process() {
    let workdir = Workdir::new(TINY);
    for _ in 0..2 {
        workdir.train("--debug log.interval_steps=100").ends_with(0).says("1 rank over single");
        assert_eq!(list(&workdir.path().join("runs")), ["recipe-debug"]);
        let run = workdir.run("recipe-debug");
        assert_eq!(list(&run.attempts()), ["000001"]);
        let lines = metrics(&run);
        let steps = lines.iter().filter(|line| line["kind"] == "step");
        assert_eq!(steps.map(|line| line["step"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!(newest_step(&run), 5);
    }
}

/// Anything else with the name of a debug run's folder is left as it is, and so is the last debug run if the recipe is invalid.
#[test]
fn debug_clears_only_folders_of_debug_runs() {
    let workdir = Workdir::new(TINY);
    workdir.train("--name x-debug train.max_steps=1").ends_with(0);
    let run = workdir.run("x-debug");
    let before = checkpoint_files(&run);
    let refused = "error: --debug clears the folder runs/x-debug, but no debug run made that folder: give another \
                   --name, or remove runs/x-debug yourself\n";
    for resume in ["", "--resume auto"] {
        let ended = workdir.train(&format!("--name x --debug {resume}")).ends_with(2);
        assert_eq!(ended.stderr, refused);
        assert_eq!(checkpoint_files(&run), before);
    }
    fs::remove_dir_all(run.path()).unwrap();
    fs::write(run.path(), "notes").unwrap();
    let a_file = workdir.train("--name x --debug").ends_with(6);
    assert!(a_file.stderr.starts_with("error: runs/x-debug: that is a file"), "{}", a_file.stderr);
    assert_eq!(fs::read_to_string(run.path()).unwrap(), "notes");

    fs::remove_file(run.path()).unwrap();
    workdir.train("--name x --debug").ends_with(0);
    let debugged = checkpoint_files(&run);
    workdir.train("--name x --debug model.classes=7").ends_with(2);
    assert_eq!(checkpoint_files(&run), debugged);
    workdir.train("--name x-debug --resume auto train.max_steps=6 train.deterministic=true").ends_with(0);
    assert_eq!(workdir.train("--name x --debug").ends_with(2).stderr, refused, "it is a run of its own now");
    assert_eq!(newest_step(&run), 6);
}

#[test]
fn debug_is_rejected_on_several_ranks() {
    let workdir = Workdir::new(TINY);
    let ended = workdir.train("--debug").ranks(2).ends_with(2);
    let ended = ended.says(
        "error: --debug is one process, but OMPI_COMM_WORLD_SIZE says that 2 ranks were started: start the trainer by itself",
    );
    assert!(!ended.stderr.contains("comm.backend"), "{ended}");
    assert_eq!(list(workdir.path()), ["recipe.toml"], "{ended}");
}

#[test]
fn debug_names_the_first_layer_that_is_not_finite() {
    let workdir = Workdir::new(TINY);
    let ended = workdir.train("--debug optim.lr=1e30").ends_with(5);
    let layer = ended.stderr.contains(" is the first layer whose output is not finite");
    let gradient = ended.stderr.contains(" is the first in backward that is not finite");
    let names = ["stem.", "s1.b1.", "s2.b1.", "head."];
    let cause = ended.stderr.lines().last().unwrap();
    assert!((layer || gradient) && names.iter().any(|name| cause.contains(name)), "{ended}");
}

/// The step before was saved, and a run can continue from it.
#[test]
fn divergence_leaves_the_last_checkpoint_intact() {
    let workdir = Workdir::new(TINY);
    let ended = workdir.train("optim.lr=1e30 checkpoint.interval_steps=1").ends_with(5);
    let ended = ended.says("error: the loss is NaN in step 2 of epoch 1").says("lower optim.lr");
    let run = workdir.run("recipe");
    assert_eq!(newest_step(&run), 1, "{ended}");
    assert_eq!(metrics(&run).last().unwrap()["step"], 1, "{ended}");
}

/// A write that was under way when the newer attempt appeared may finish; none begins after it.
#[test]
fn a_newer_attempt_ends_the_older() {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("recipe");
    let lines = || fs::read_to_string(run.metrics()).unwrap().lines().count();
    let mut running = workdir.train(ENDLESS).start();
    running.wait_for_file(&run.metrics(), |text| text.lines().count() >= 2);
    fs::write(run.attempt(2), "").unwrap();
    let at_most = lines() + 1;
    let ended = running.wait();
    assert_eq!(ended.code, Some(6), "{ended}");
    let ended = ended.says("attempt 1 at runs/recipe is no longer the newest");
    assert!(lines() <= at_most, "{} lines, not {at_most}: {ended}", lines());
    assert_eq!(checkpoint_files(&run).len(), 0, "{ended}");
    assert_eq!(AttemptRecord::read(&run.attempt(1)).unwrap().end, None, "{ended}");
    assert_eq!(fs::read(run.attempt(2)).unwrap(), b"", "{ended}");
}

#[test]
fn evaluation_may_be_turned_off() {
    let workdir = Workdir::new(TINY);
    let whole = ("whole", "", "after 2 epochs and 6 steps");
    for (name, options, reached) in [whole, ("cut", "train.max_steps=2", "after 2 steps, within epoch 1")] {
        let ended = workdir.train(&format!("--name {name} eval.interval_epochs=0 {options}")).ends_with(0);
        assert_eq!(ended.stdout, format!("done: {reached}\n"), "{ended}");
        assert!(metrics(&workdir.run(name)).iter().all(|line| line.get("val_top1").is_none()), "{ended}");
    }
}

#[test]
fn max_steps_ends_a_run_within_an_epoch() {
    let workdir = Workdir::new(TINY);
    let ended = workdir.train("train.max_steps=2").ends_with(0);
    let run = workdir.run("recipe");
    assert_eq!(newest_step(&run), 2, "{ended}");
    let lines = metrics(&run);
    let lines: Vec<_> = lines.iter().map(|line| (line["kind"].as_str(), line["step"].as_u64())).collect();
    assert_eq!(lines, [(Some("step"), Some(1)), (Some("step"), Some(2))]);
    assert!(fs::read_to_string(run.curves()).unwrap().starts_with("<svg"), "{ended}");
}

/// A machine where the driver of a GPU has left its device file: the same file system with another /dev.
const WITH_A_GPU: &str = "mount -t tmpfs dev \"$0\" && mkdir \"$0/shm\" \
    && for f in null zero urandom random; do : > \"$0/$f\" && mount --bind /dev/$f \"$0/$f\"; done \
    && : > \"$0/nvidiactl\" && mount --move \"$0\" /dev && exec \"$@\"";

#[test]
fn a_gpu_that_cannot_be_used_is_an_error() {
    let may = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "dev", "/mnt"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        println!("skipped: this user may not mount in a namespace of its own");
        return;
    }
    let workdir = Workdir::new(TINY);
    let dev = tempfile::tempdir().unwrap();
    let wrapper = ["unshare", "-rm", "sh", "-c", WITH_A_GPU, dev.path().to_str().unwrap()];
    for (device, found) in
        [("auto", "train.device = \"auto\" found a GPU: "), ("cuda", "train.device = \"cuda\": ")]
    {
        let job = workdir.train(&format!("train.device={device}")).under(&wrapper);
        let ended = job.ends_with(2).says(&format!("error: {found}libtorch"));
        assert!(!workdir.run("recipe").path().exists(), "{ended}");
    }
    _ = workdir.train("train.device=cpu train.max_steps=1").under(&wrapper).ends_with(0);
}

/// A reader that closes the pipe early, as `head` does, is not a failure; a full disk is, except for a finished run.
#[test]
fn a_closed_standard_output_is_ignored_and_a_full_one_is_reported() {
    let workdir = Workdir::new(TINY);
    let gone = ["bash", "-c", r#"exec > >(exec true); wait $!; exec "$0" "$@""#];
    let full = ["bash", "-c", r#"exec "$0" "$@" >/dev/full"#];
    for command in [&["recipe", "--schema"][..], &["summary", "--config", "recipe.toml"]] {
        assert_eq!(workdir.trainer(command).under(&gone).ends_with(0).stderr, "");
        let ended = workdir.trainer(command).under(&full).ends_with(6);
        assert_eq!(
            ended.stderr,
            "error: cannot write to standard output: No space left on device (os error 28)\n"
        );
    }
    workdir.train("--name gone train.max_steps=1").under(&gone).ends_with(0);
    workdir.train("--name full train.max_steps=1").under(&full).ends_with(0);
}
