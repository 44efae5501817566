//! What may and may not differ when a run is resumed.

use crate::support::{REGNET, SMALL, resolved};

#[test]
fn differences_are_named_key_by_key() {
    let kept = resolved(SMALL, &[]);
    let sets = [
        "optim.lr=0.05",
        "schedule.name=cosine",
        "model.anynet.stages=[{depth=1,width=32,group_width=16},{depth=2,width=80,group_width=16}]",
        "data.mean=[0.5]",
        "train.micro_batch_size=64",
    ];
    let lines = kept.differences(&resolved(SMALL, &sets)).join("\n");
    expect_test::expect![[r#"
        data.mean: [0.286] -> [0.5]
        model.anynet.stages[1].width: 64 -> 80
        optim.lr: 0.1 -> 0.05
        schedule.final_lr_fraction: unset -> 0.0
        schedule.name: "constant" -> "cosine"
        train.micro_batch_size: 128 -> 64"#]]
    .assert_eq(&lines);
}

#[test]
fn how_long_fast_and_visibly_may_differ() {
    let kept = resolved(REGNET, &[]);
    let sets = [
        "train.max_steps=3",
        "train.threads_per_rank=2",
        "eval.batch_size=7",
        "checkpoint.keep=9",
        "comm.backend=mpi",
        "log.format=json",
        "run.folder=elsewhere",
    ];
    let other = resolved(REGNET, &sets);
    assert_ne!(kept, other);
    assert_eq!(kept.differences(&other), Vec::<String>::new());
}
