//! `launcher plan`: its tables and drawings, and the inputs that it rejects.

use std::fs;
use std::path::Path;

use expect_test::{Expect, expect};

use crate::launcher;

/// Runs `launcher plan` for a recipe of `configs/`; returns the exit code, standard output and standard error.
fn plan(config: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs").join(config);
    let output = launcher(&["plan", "--config", config.to_str().unwrap()]).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

const CLUSTER: [&str; 4] = ["--nodes", "4", "--gpus-per-node", "8"];

fn check_table(config: &str, arguments: &[&str], expected: Expect) {
    let (code, stdout, stderr) = plan(config, arguments);
    assert_eq!((code, &stderr[..]), (Some(0), ""));
    expected.assert_eq(&stdout);
}

#[test]
fn a_cluster_is_planned_from_one_gpu_s_step() {
    check_table(
        "regnetx.toml",
        &[&CLUSTER[..], &["--step-ms", "45"]].concat(),
        expect![[r#"
            cluster       4 nodes of 8 ranks; all-reduce: 150 GB/s in a node, 25 between nodes, 60 us
            network       5157512 parameters, 19.7 MiB summed a step in 8 buckets during backward (NCCL)
            global batch  1024 images, 32 micro-batches of 32
            micro-batch   45.00 ms on one rank: data 0.00, forward 15.00, backward 30.00; update 0.00
                          from --step-ms 45, a third of it forward
            memory        508.0 MiB a rank: weights 19.7, gradients 19.7, optimizer 19.7, ema 0.0, statistics 0.4, activations 448.5
                          and 27.6 MiB of host memory for images loaded ahead
            training      102400 images, 100 epochs; without evaluation and checkpoints

            ranks  micro-batches  step ms  exposed ms  images/s  efficiency       epoch        total
                1             32  1440.00       0.000     711.1       1.000  2 min 24 s   4 h 00 min
                2             16   720.04       0.044    1422.1       1.000  1 min 12 s   2 h 00 min
                4              8   360.08       0.084    2843.8       1.000      36.0 s   1 h 00 min
                8              4   180.12       0.122    5685.0       0.999      18.0 s  30 min 01 s
               16              2    90.23       0.235   11348.2       0.997       9.0 s  15 min 02 s
               32              1    45.27       0.274   22618.0       0.994       4.5 s   7 min 33 s

            scales to 32 ranks: beyond that, there are too few micro-batches: lower train.micro_batch_size or raise train.global_batch_size
        "#]],
    );
}

#[test]
fn ranks_on_cpus_sum_after_backward() {
    let folder = tempfile::tempdir().unwrap();
    let probe = folder.path().join("probe.json");
    fs::write(&probe, PROBE).unwrap();
    let cpu = ["--gpus-per-node", "3", "--set", "train.device=\"cpu\"", "--set", "train.micro_batch_size=32"];
    let measured = ["--step-ms", "200", "--all-reduce", probe.to_str().unwrap()];
    check_table(
        "regnetx32_fashion_mnist.toml",
        &[&cpu[..], &measured].concat(),
        expect![[r#"
            cluster       1 node of 3 ranks; all-reduce: sums measured between 2 ranks
            network       179290 parameters, 0.7 MiB summed a step in 1 bucket after backward (MPI)
            global batch  128 images, 4 micro-batches of 32
            micro-batch   200.00 ms on one rank: data 0.00, forward 66.67, backward 133.33; update 0.00
                          from --step-ms 200, a third of it forward
            memory        169.4 MiB a rank: weights 0.7, gradients 0.7, optimizer 0.7, ema 0.0, statistics 0.0, activations 167.3
                          and 1.7 MiB of host memory for images loaded ahead
            training      60000 images, 10 epochs; without evaluation and checkpoints

            ranks  micro-batches  step ms  exposed ms  images/s  efficiency       epoch        total
                1              4   800.00       0.000     160.0       1.000  6 min 15 s   1 h 02 min
                2              2   400.72       0.717     319.4       0.998  3 min 08 s  31 min 19 s
                3              2   400.98       0.976     319.2       0.665  3 min 08 s  31 min 19 s

            scales to 2 ranks: beyond that, there are too few micro-batches: lower train.micro_batch_size or raise train.global_batch_size
        "#]],
    );
}

/// Seven tenths of the epochs are on smaller images; everything but the total is that of the largest.
#[test]
fn small_images_shorten_the_training() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("recipe.toml");
    let list = "resolution = [{ after_epochs = 0, px = 128 }, { after_epochs = 60, px = 160 }, { after_epochs = 70, px = 224 }]";
    fs::write(&config, recipe_of("regnetx.toml").replace("resolution_px = 224", list)).unwrap();
    let (code, stdout, stderr) = plan(config.to_str().unwrap(), &["--gpus-per-node", "1", "--step-ms", "45"]);
    assert_eq!(code, Some(0), "{stderr}");
    let from = stdout.find("memory").unwrap();
    expect![[r#"
        memory        14107.8 MiB a rank: weights 19.7, gradients 19.7, optimizer 19.7, ema 0.0, statistics 0.4, activations 14048.3
                      and 882.2 MiB of host memory for images loaded ahead
        training      102400 images, 100 epochs; without evaluation and checkpoints
                      128x128 in 60 epochs: 0.327 of the multiply-adds
                      160x160 in 10 epochs: 0.511 of the multiply-adds
                      224x224 in 30 epochs: 1.000 of the multiply-adds
                      the total covers all epochs, all other values are for the largest images

        ranks  micro-batches  step ms  exposed ms  images/s  efficiency  epoch       total
            1              1    45.00       0.000   22755.6       1.000  4.5 s  4 min 06 s

        scales to 1 rank: beyond that, there are too few micro-batches: lower train.micro_batch_size or raise train.global_batch_size
    "#]].assert_eq(&stdout[from..]);
}

const PROBE: &str = r#"{"version": "0.1.0", "world_size": 2, "backend": "Open MPI", "device": "cpu", "all_reduce": [
    {"bytes": 4096, "correct": true, "microseconds": 10.0, "bus_gb_per_second": 0.4},
    {"bytes": 1048576, "correct": true, "microseconds": 1000.0, "bus_gb_per_second": 1.0}]}"#;

/// Writes the run folder of 2 ranks whose steps take 0.2 s forward and 0.4 s backward.
fn write_run(folder: &Path, recipe: &str) {
    fs::create_dir(folder.join("attempts")).unwrap();
    let attempt = r#"{"number": 1, "started_at": "2026-11-24T00:00:00Z", "user": "u", "host": "h", "process_id": 1,
        "world_size": 2, "command_line": [], "end": null}"#;
    fs::write(folder.join("attempts/000001"), attempt).unwrap();
    fs::write(folder.join("config.toml"), recipe).unwrap();
    let step = r#"{"kind":"step","epoch":1,"step":2,"images":128,"seconds_data":0.0,"seconds_copy":0.02,"seconds_forward":0.2,"seconds_backward":0.4,"seconds_optimizer":0.01}"#;
    fs::write(folder.join("metrics.jsonl"), format!("{step}\n{step}\n")).unwrap();
}

fn recipe_of(config: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs").join(config)).unwrap()
}

#[test]
fn an_earlier_run_gives_the_phases_of_a_micro_batch() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), &recipe_of("regnetx32_fashion_mnist.toml"));
    let run = ["--from-run", folder.path().to_str().unwrap(), "--json"];
    let (code, stdout, stderr) =
        plan("regnetx32_fashion_mnist.toml", &[&["--gpus-per-node", "2"], &run[..]].concat());
    assert_eq!(code, Some(0), "{stderr}");
    let plan: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    // 64 images per rank, in one micro-batch of 64.
    let expected = serde_json::json!({"data": 0.02, "forward": 0.2, "backward": 0.4, "optimizer": 0.01});
    assert_eq!(plan["micro_batch_seconds"], expected);
    assert_eq!((&plan["rows"][0]["gpus"], &plan["rows"][1]["gpus"]), (&1.into(), &2.into()));
}

#[test]
fn the_drawing_is_an_svg() {
    let folder = tempfile::tempdir().unwrap();
    let svg = folder.path().join("plan.svg");
    let arguments = [&CLUSTER[..], &["--step-ms", "45", "--svg", svg.to_str().unwrap()]].concat();
    assert_eq!(plan("regnetx.toml", &arguments).0, Some(0));
    let svg = fs::read_to_string(&svg).unwrap();
    for word in ["<svg", "</svg>", "Images a second", "Efficiency", "ranks"] {
        assert!(svg.contains(word), "{word}");
    }
    // One GPU computes 711 images per second, 32 without any loss 22,756: the axis shows the decades.
    let labels = svg.split("<text").filter_map(|text| text.split('>').nth(1)?.split('<').next());
    let labels: Vec<_> = labels.map(str::trim).collect();
    for decade in ["100", "1000", "10000", "100000"] {
        assert!(labels.contains(&decade), "{decade} in {labels:?}");
    }
}

/// A user's file is replaced only with `--force`, a device never.
#[test]
fn an_existing_file_is_replaced_only_with_force() {
    let folder = tempfile::tempdir().unwrap();
    let svg = folder.path().join("plan.svg");
    fs::write(&svg, "mine").unwrap();
    let draw = |path: &str, more: &[&str]| {
        let arguments = [&CLUSTER[..], &["--step-ms", "45", "--svg", path], more].concat();
        plan("regnetx.toml", &arguments)
    };
    let path = svg.to_str().unwrap();
    let (code, stdout, stderr) = draw(path, &[]);
    assert_eq!((code, &stdout[..]), (Some(2), ""), "{stderr}");
    assert_eq!(
        stderr,
        format!("error: {path} exists already: give another name, or --force to replace it\n")
    );
    assert_eq!(fs::read(&svg).unwrap(), b"mine");
    assert_eq!(draw(path, &["--force"]).0, Some(0));
    assert!(fs::read_to_string(&svg).unwrap().contains("</svg>"));
    let (code, _, stderr) = draw("/dev/full", &["--force"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.starts_with("error: /dev/full is a device, which is not replaced"), "{stderr}");
}

#[test]
fn invalid_plans_are_rejected_with_the_accepted_values() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let no_probe = file("no_probe.json", "{\"loss\": 1.0}");
    let absent = folder.path().join("absent").to_str().unwrap().to_owned();
    let empty = folder.path().to_str().unwrap();
    let other = tempfile::tempdir().unwrap();
    write_run(other.path(), &recipe_of("regnetx32_fashion_mnist_quick.toml"));
    let other = other.path().to_str().unwrap();
    let step = ["--gpus-per-node", "2", "--step-ms", "45"];
    for (arguments, expected) in [
        (&["--nodes", "0", "--gpus-per-node", "8", "--step-ms", "45"][..], "expected an integer from 1"),
        (&["--gpus-per-node", "8"], "--step-ms <MS>"),
        (&["--gpus-per-node", "8", "--step-ms", "0"], "expected a number above 0"),
        (&[&step[..], &["--all-reduce", &no_probe]].concat(), "not what `trainer probe --json` prints"),
        (&[&step[..], &["--all-reduce", &absent]].concat(), "--all-reduce"),
        (
            &[&step[..], &["--all-reduce", "/dev/null"]].concat(),
            "--all-reduce /dev/null: is not a regular file",
        ),
        (&[&step[..], &["--latency-us", "1", "--all-reduce", &no_probe]].concat(), "cannot be used with"),
        (&["--gpus-per-node", "3", "--step-ms", "45"], "train.micro_batch_size from 1 to 63 fits"),
        (&["--gpus-per-node", "2", "--from-run", &absent], "/absent: no run was started there"),
        (&["--gpus-per-node", "2", "--from-run", empty], "no run was started there"),
        (&["--gpus-per-node", "2", "--from-run", other], "data.resolution_px differs from that in --config"),
        (
            &[&step[..], &["--set", "comm.backend=\"mpi\"", "--set", "comm.gradient_compression=\"bf16\""]]
                .concat(),
            "comm.gradient_compression is for ranks that sum over NCCL",
        ),
        (
            &[&step[..], &["--set", "data.dataset=\"mnist\"", "--set", "data.folder=\"x\""]].concat(),
            "give the number of training images as --train-images",
        ),
        (
            &[&step[..], &["--set", "train.drop_last=true", "--train-images", "99"]].concat(),
            "leaves no step of 99 images",
        ),
    ] {
        let (code, stdout, stderr) = plan("regnetx32_fashion_mnist.toml", arguments);
        assert_eq!((code, &stdout[..]), (Some(2), ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
}
