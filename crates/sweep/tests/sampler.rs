//! Values of recipe keys: each distribution against its law, independence of keys, grids, refusals.

use regatta_sweep::KeySampler;
use toml::Value;

mod laws;

mod grids;

mod refusals;

fn sampler(table: &str) -> KeySampler {
    toml::from_str(table).expect("a table of distributions")
}

/// Draws the only key of `table` for the first `count` samples.
fn draws(table: &str, count: u64) -> Vec<Value> {
    let sampler = sampler(table);
    let value = |index| match sampler.draw(1, index).as_slice() {
        [(_, value)] => value.clone(),
        other => panic!("one key was expected, not {other:?}"),
    };
    (0..count).map(value).collect()
}
