//! Resizing equals torchvision's and Pillow's.

use std::collections::BTreeMap;

use regatta_image::{Filter, Resizer, Size};
use serde_json::Value;

use crate::reference::{cases, difference};

fn size(value: &Value) -> Size {
    let number = |index: usize| u32::try_from(value[index].as_u64().unwrap()).unwrap();
    Size { width: number(0), height: number(1) }
}

/// Torchvision's `v2.functional.resize` of bytes, and Pillow's `resize`.
#[test]
fn bytes_are_torchvisions() {
    let folder = tempfile::tempdir().unwrap();
    let Some(cases) = cases("resize.py", folder.path()) else { return };
    let mut resizer = Resizer::new();
    // Bytes, bytes that differ, and the largest difference.
    let mut report: BTreeMap<String, (usize, usize, u8)> = BTreeMap::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let source = std::fs::read(folder.path().join(case["source"].as_str().unwrap())).unwrap();
        let filter = if case["filter"] == "bilinear" { Filter::Bilinear } else { Filter::Bicubic };
        let antialias = case["antialias"].as_bool().unwrap();
        let torchvisions = std::fs::read(folder.path().join(format!("{name}.torchvision"))).unwrap();
        let mut ours = vec![0; torchvisions.len()];
        resizer.resize(&source, size(&case["from"]), filter, antialias, &mut ours, size(&case["to"]));
        let mut compare = |peer: &str, theirs: &[u8], allowed: u8| {
            let (count, largest) = difference(&ours, theirs);
            let entry = report.entry(format!("{filter:?}, antialias {antialias}, {peer}")).or_default();
            *entry = (entry.0 + ours.len(), entry.1 + count, entry.2.max(largest));
            assert!(largest <= allowed, "{name}: {count} bytes differ from {peer}'s, by up to {largest}");
        };
        compare("torchvision", &torchvisions, u8::from(case["exact"] == false));
        // Without antialiasing Pillow has no such filter. It changes the order of the passes where that is less work, and then
        // torchvision differs from it as much as we do.
        if let Ok(pillows) = std::fs::read(folder.path().join(format!("{name}.pillow"))) {
            compare("Pillow", &pillows, 2.max(difference(&torchvisions, &pillows).1));
        }
    }
    println!("{report:#?}");
}

/// The same size is a copy, in both numbers of channels.
#[test]
fn the_same_size_is_a_copy() {
    let size = Size { width: 5, height: 3 };
    for channels in [1, 3] {
        let source: Vec<u8> = (0..15 * channels).map(|at| at * 5).collect();
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            let mut target = vec![0; source.len()];
            Resizer::new().resize(&source, size, filter, true, &mut target, size);
            assert_eq!(target, source);
        }
    }
}
