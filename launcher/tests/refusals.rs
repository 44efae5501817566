//! Jobs that cannot start are rejected with exit code 2 and the accepted values, and write nothing to disk.

use test_jobs::{TINY, Workdir, list};

fn check(arguments: &str, expected: &str) {
    let workdir = Workdir::new(TINY);
    let ended = workdir.launcher(arguments).ends_with(2);
    assert!(ended.stderr.starts_with(expected), "{arguments}: {ended}");
    assert_eq!(list(workdir.path()), ["recipe.toml"], "{ended}");
}

#[test]
fn ranks_that_do_not_fit_are_rejected() {
    check("run --config recipe.toml -n 0", "error: -n 0: at least one rank is needed");
    check("run --config recipe.toml -n 4096", "error: 4096 ranks, but ");
    check("run --config recipe.toml --hosts a:2,b:2 -n 5", "error: -n 5, but the hosts take 4 ranks");
    check("run --config recipe.toml --hosts a:2,a:1", "error: --hosts: names a twice");
    check(
        "run --config recipe.toml --hostfile none",
        "error: --hostfile none: cannot be read: No such file or directory",
    );
    check(
        "run --config recipe.toml --hostfile /dev/null",
        "error: --hostfile /dev/null: is not a regular file\n",
    );
    check(
        "run --config recipe.toml -n 2 --min-ranks 3",
        "error: --min-ranks 3: expected a number from 1 to the 2 ranks",
    );
    let on_any_device = "run --config recipe.toml --set train.device=auto --gpus 0,99";
    check(on_any_device, "error: --gpus: there is no GPU 0: the driver lists 0");
    check(
        "run --config recipe.toml --gpus 0",
        "error: --gpus names GPUs, but the recipe's train.device is \"cpu\"",
    );
}

#[test]
fn missing_programs_are_reported() {
    check(
        "run --config recipe.toml --mpirun /nowhere",
        "error: cannot start /nowhere: No such file or directory",
    );
    check("run --config recipe.toml --mpirun /bin/true", "error: /bin/true --version says \"");
    check("run --config recipe.toml --trainer none", "error: there is no trainer at none");
    check("run --config recipe.toml --via srun", "error: --via srun needs a Slurm allocation");
}

#[test]
fn invalid_recipes_and_options_are_rejected() {
    check(
        "run --config nothing.toml",
        "error: cannot read the recipe nothing.toml: No such file or directory (os error 2)\n",
    );
    check(
        "run --config /dev/zero",
        "error: cannot read the recipe /dev/zero: it is a pipe, a socket or a device; ",
    );
    check(
        "slurm --config /dev/full --nodes 1 --gpus-per-node 1 --time 1:00:00",
        "error: cannot read the recipe /dev/full: it is a pipe",
    );
    check(
        "run --config recipe.toml optim.lr=0.1",
        "error: unexpected argument 'optim.lr=0.1' found\n\n  tip: a key of the recipe is set with '--set optim.lr=0.1'\n",
    );
    check("run --config recipe.toml --set optim.lr=fast", "error: --set optim.lr=fast: optim.lr = ");
    check("run --config recipe.toml --gpus some", "error: invalid value 'some' for '--gpus <all|none|LIST>'");
    check("run --config recipe.toml --grace -1", "error: ");
    check(
        "run --config recipe.toml -n abc",
        "error: invalid value 'abc' for '--ranks <N>': expected a number of ranks, such as 8\n",
    );
    check(
        "doctor -n 1.5",
        "error: invalid value '1.5' for '--ranks <N>': expected a number of ranks, such as 8\n",
    );
    check(
        "run --config recipe.toml --stall-timeout 0",
        "error: invalid value '0' for '--stall-timeout <SECONDS>': expected a number of seconds above 0\n",
    );
    check(
        "slurm --config recipe.toml --time 01:00:00 --nodes 0 --gpus-per-node 1",
        "error: invalid value '0' for '--nodes <N>': expected a number, at least 1\n",
    );
}
