//! Reads the files of a run: tensors, metrics, checkpoints.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use regatta_run_folder::RunFolder;
use regatta_run_folder::checkpoint::newest_valid;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value};

/// The step of the newest checkpoint; no checkpoint may be damaged.
pub fn newest_step(run: &RunFolder) -> u64 {
    let (checkpoint, damaged) = newest_valid(run).unwrap();
    assert_eq!(damaged, []);
    checkpoint.expect("the run has a checkpoint").step()
}

/// The content of every checkpoint file that a resumed run reproduces, by `step-…/file`. Excluded are links, damaged
/// checkpoints, the recipe (it contains the length of the run) and the manifest (it contains the hash of the metrics).
pub fn checkpoint_files(run: &RunFolder) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for step in list(&run.checkpoints()).into_iter().filter(|name| name.starts_with("step-")) {
        let folder = run.checkpoints().join(&step);
        for file in
            list(&folder).into_iter().filter(|file| !["recipe.toml", "manifest.json"].contains(&&**file))
        {
            files.insert(format!("{step}/{file}"), fs::read(folder.join(&file)).unwrap());
        }
    }
    files
}

/// The sorted names in a folder.
pub fn list(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The tensors of a safetensors file by name; all must be float64.
pub fn tensors_f64(file: &Path) -> BTreeMap<String, Vec<f64>> {
    let bytes = fs::read(file).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let values = |data: &[u8]| data.chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect();
    file.iter()
        .map(|(name, tensor)| {
            assert_eq!(tensor.dtype(), Dtype::F64, "{name}");
            (name.to_owned(), values(tensor.data()))
        })
        .collect()
}

/// The lines of `metrics.jsonl`.
pub fn metrics(run: &RunFolder) -> Vec<Map<String, Value>> {
    let text = fs::read_to_string(run.metrics()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The lines of `metrics.jsonl` without times and memory: the fields that a resumed run reproduces.
pub fn repeatable_metrics(run: &RunFolder) -> Vec<Map<String, Value>> {
    let mut lines = metrics(run);
    for line in &mut lines {
        let measured = ["images_per_second", "peak_rss_mib", "slowest_rank"];
        let varies = |name: &str| name.starts_with("seconds") || measured.contains(&name);
        line.retain(|name, _| !varies(name));
    }
    lines
}
