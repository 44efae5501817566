//! Failures during a job: one exit code, one cause, and no rank left waiting for another.

use std::fs;

use regatta_run_folder::{AttemptRecord, Failure};

use test_jobs::{ENDLESS, Ended, Job, TINY, Workdir, checkpoint_files, list, tiny_with};

fn without_left_processes(ended: Ended) -> Ended {
    assert!(ended.left.is_empty(), "{ended}");
    ended
}

/// The binding turns libtorch's errors into panics; a network larger than any address space causes one on every rank.
#[test]
fn an_error_of_libtorch_is_one_line_and_ends_the_job() {
    let stages = "{ depth = 1000, width = 65536, group_width = 8 }";
    let workdir = Workdir::new(&tiny_with(
        "{ depth = 1, width = 16, group_width = 8 }, { depth = 1, width = 16, group_width = 8 }",
        &[stages; 4].join(", "),
    ));
    let ended = workdir.train("--name one").ends_with(70);
    let sentence = "out of memory (DefaultCPUAllocator: can't allocate memory: you tried to allocate 137555115246336 bytes. \
                    Error code 12 (Cannot allocate memory)): lower train.micro_batch_size; memory of one rank of 1: weights \
                    131182780.5 MiB, gradients 131182780.5 MiB, optimizer 131182780.5 MiB; activations of 4 images in \
                    fp32, estimated: forward 132148.0 MiB, backward 128.0 MiB more";
    assert_one_line(&ended, &format!("error: {sentence}"));
    without_left_processes(workdir.train("--name two").ranks(2).ends_with(70));
}

/// Each rank is limited to half the memory of a single activation.
#[test]
fn an_out_of_memory_error_says_what_to_lower() {
    let workdir = Workdir::new(&tiny_with("stem_width = 16", "stem_width = 65536"));
    let options = "train.global_batch_size=2048 train.micro_batch_size=1024 data.synthetic_train_images=4096 \
                   train.memory_format=contiguous";
    let limited = ["bash", "-c", "ulimit -v 8388608; exec \"$@\"", "limited"];
    let sentence = "out of memory (DefaultCPUAllocator: can't allocate memory: you tried to allocate 17179869184 bytes. Error \
                    code 12 (Cannot allocate memory)): lower train.micro_batch_size; memory of one rank of ";
    let estimate = "activations of 1024 images in fp32, estimated: forward ";
    let ended =
        without_left_processes(workdir.train(&format!("--name one {options}")).under(&limited).ends_with(70));
    let message: Vec<_> = ended.stderr.lines().skip_while(|line| !line.starts_with("error: ")).collect();
    assert!(
        message.len() == 1 && message[0].starts_with(&format!("error: {sentence}1: weights ")),
        "{ended}"
    );
    assert!(message[0].contains(estimate), "{ended}");
    let two = workdir.train(&format!("--name two {options}")).ranks_under(2, &limited);
    let ended = without_left_processes(two.ends_with(70)).says(sentence);
    assert!(!ended.stderr.contains("unwrap"), "{ended}");
    let failures = Failure::of_attempt(&workdir.run("two"), 1).unwrap();
    assert!(
        !failures.is_empty() && failures.iter().all(|failure| failure.error.starts_with(sentence)),
        "{failures:?}"
    );
}

/// From the smallest address space in which the trainer can be loaded, in steps of 16 MiB: an allocation of Rust's may be the one that
/// fails, which aborts.
#[test]
fn too_little_memory_for_anything_is_reported() {
    let workdir = Workdir::new(TINY);
    let within = |mib: u64, job: Job<'_>| {
        let script = format!("ulimit -c 0; ulimit -v {}; exec \"$@\"", mib << 10);
        job.under(&["bash", "-c", &script, "limited"]).start().wait()
    };
    let fails = |mib: &u64| within(*mib, workdir.trainer(&["--version"])).code != Some(0);
    let sizes: Vec<u64> = (128..8192).step_by(16).collect();
    let least = sizes[sizes.partition_point(fails)];
    let mut failed = 0;
    for mib in (least..least + 96).step_by(16) {
        let ended = within(mib, workdir.train("--name limited --resume auto train.max_steps=1"));
        if ended.code != Some(0) {
            assert_eq!(ended.code, Some(70), "{mib} MiB: {ended}");
            _ = ended.says("error: ").says("memory");
            failed += 1;
        }
    }
    assert!(failed > 0, "{least} MiB are enough");
}

fn assert_one_line(ended: &Ended, sentence: &str) {
    let errors: Vec<_> = ended.stderr.lines().skip_while(|line| !line.starts_with("error: ")).collect();
    assert_eq!(errors, [sentence], "{ended}");
}

/// The other rank waits in a collective that the failing one never enters.
#[test]
fn a_failure_of_one_rank_ends_all() {
    let workdir = Workdir::new(TINY);
    let with = |rank: usize, value: &str| {
        let job = workdir.train(&format!("--name r{rank}")).ranks(2);
        without_left_processes(job.variable_of_rank(rank, "REGATTA__DATA__DATASET", value).ends_with(2))
    };
    with(0, "photos")
        .says("error: environment variable REGATTA__DATA__DATASET: data.dataset = \"photos\": expected");
    with(1, "photos")
        .says("error: rank 1: environment variable REGATTA__DATA__DATASET: data.dataset = \"photos\"");
    assert_eq!(list(workdir.path()), ["recipe.toml"]);
}

#[test]
fn a_failure_of_all_ranks_is_reported_once() {
    let data = "[data]\ndataset = \"mnist\"\nfolder = \"digits\"\n";
    let (model, rest) = (TINY.split_once("[data]").unwrap().0, TINY.split_once("[train]").unwrap().1);
    let workdir = Workdir::new(&format!("{model}{data}[train]{rest}"));
    fs::create_dir(workdir.path().join("digits")).unwrap();
    // A header for nine images of 28 x 28 pixels, followed by only three bytes.
    let images = [0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 28, 0, 0, 0, 28, 1, 2, 3];
    for (name, bytes) in [("images-idx3", &images[..]), ("labels-idx1", &[0, 0, 8, 1, 0, 0, 0, 0])] {
        fs::write(workdir.path().join(format!("digits/train-{name}-ubyte")), bytes).unwrap();
    }
    for ranks in [1, 2, 3] {
        let ended =
            without_left_processes(workdir.train("train.micro_batch_size=1").ranks(ranks).ends_with(3));
        let errors = ended.stderr.lines().filter(|line| line.starts_with("error: "));
        assert_eq!(errors.count(), 1, "{ended}");
        ended.says("error: digits/train-images-idx3-ubyte");
    }
    assert_eq!(list(workdir.path()), ["digits", "recipe.toml"]);
}

/// The rank that could have continued ends with the one that could not.
#[test]
fn one_rank_without_a_log_ends_all() {
    let workdir = Workdir::new(TINY);
    let log = workdir.run("recipe").log(1);
    fs::create_dir_all(&log).unwrap();
    without_left_processes(workdir.train("--resume auto").ranks(2).ends_with(6))
        .says("error: rank 1: cannot open the log runs/recipe/log/rank-0001.log: Is a directory");
}

/// Only rank 0 writes the run folder, so only rank 0 sees its failures.
#[test]
fn a_storage_failure_on_rank_0_ends_all() {
    let workdir = Workdir::new(TINY);
    fs::create_dir_all(workdir.run("metrics").metrics()).unwrap();
    fs::create_dir_all(workdir.run("config").path()).unwrap();
    fs::write(workdir.run("config").config(), "[model]\n").unwrap();
    let fails = |options: &str| without_left_processes(workdir.train(options).ranks(2).ends_with(6));
    fails("--name metrics --resume auto")
        .says("error: cannot read runs/metrics/metrics.jsonl: Is a directory (os error 21)\n");
    fails("--name config --resume auto").says("error: runs/config/config.toml: not a resolved recipe: ");
}

/// Only rank 0 sees that the run folder has a newer owner.
#[test]
fn a_newer_attempt_ends_all_ranks() {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("recipe");
    let mut running = workdir.train(ENDLESS).ranks(2).start();
    running.wait_for_file(&run.metrics(), |text| text.lines().count() >= 2);
    fs::write(run.attempt(2), "").unwrap();
    let ended = running.wait();
    assert_eq!(ended.code, Some(6), "{ended}");
    without_left_processes(ended).says("attempt 1 at runs/recipe is no longer the newest");
    assert_eq!(list(&run.ranks()).iter().filter(|name| name.ends_with(".error")).count(), 0);
    assert!(checkpoint_files(&run).is_empty());
}

#[test]
fn all_ranks_diverge_together() {
    let workdir = Workdir::new(TINY);
    let ended = without_left_processes(workdir.train("optim.lr=1e30").ranks(2).ends_with(5));
    assert_eq!(ended.stderr.matches("error: ").count(), 1, "{ended}");
    ended.says("error: the loss is NaN in step 2 of epoch 1, at learning rate 1e30: ");
    let end = AttemptRecord::read(&workdir.run("recipe").attempt(1)).unwrap().end.unwrap();
    assert!(end.end.starts_with("the loss is NaN in step 2") && end.exit_code == 5, "{end:?}");
    let failures = Failure::of_attempt(&workdir.run("recipe"), 1).unwrap();
    let [failure] = &failures[..] else { panic!("one rank tells: {failures:?}") };
    assert_eq!((failure.rank, failure.exit_code, &failure.error), (0, 5, &end.end));
}
