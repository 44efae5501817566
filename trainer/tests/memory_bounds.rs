//! Training stays within the memory that libtorch allocates, also in cases where libtorch's own convolution would not.

use heap_guard::HeapGuard;
use test_jobs::{Workdir, tiny_with};

#[test]
fn odd_micro_batches_of_few_channels_stay_within_their_memory() {
    let workdir = Workdir::new(&tiny_with("stem_width = 16", "stem_width = 8"));
    let guard = HeapGuard::build();
    let few = "train.micro_batch_size=5 train.threads_per_rank=2 train.memory_format=channels_last";
    let preloaded = |options: &str| {
        workdir.train(&format!("{few} {options}")).variable("LD_PRELOAD", guard.path().to_str().unwrap())
    };
    _ = preloaded("--name odd").ends_with(0).says("heap_guard: 0 overruns");
    let large = "--name large data.resolution_px=224 train.micro_batch_size=4 train.max_steps=1";
    _ = preloaded(large).ends_with(0).says("heap_guard: 0 overruns");
}
