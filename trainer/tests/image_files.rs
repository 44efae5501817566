//! Training on image files: folders and archives, workers, ranks, resume, damaged files, and `trainer data`.

use std::fs;
use std::path::Path;

use regatta_data::{Size, encode_png};
use serde_json::Value;
use test_jobs::{TINY, Workdir, checkpoint_files, metrics, repeatable_metrics};

use crate::resume::check_equal;

/// Images of each class, in training and validation.
const IMAGES: [(&str, usize); 2] = [("train", 13), ("val", 4)];

/// A recipe for the images of [`workdir`], with every random operation on.
fn recipe() -> String {
    let (head, tail) = TINY.split_once("[data]").unwrap();
    let (_, train) = tail.split_once("[train]").unwrap();
    head.replace("stem_width", "classes = 2\nstem_width")
        + r#"[data]
dataset = "image_folder"
folder = "images"
resolution_px = 16
workers = 2
[augment]
auto_augment = "rand_augment"
color_jitter = [0.4, 0.4, 0.4, 0.1]
pca_lighting_std = 0.1
random_erasing_probability = 0.5
random_erasing_value = "noise"
[train]"#
        + train
}

/// The recipe with larger images in the second epoch, and with everything on that changes a batch, the weights' average, the
/// statistics or the learning rate.
pub(crate) fn everything() -> String {
    let list = "resolution = [{ after_epochs = 0, px = 16 }, { after_epochs = 1, px = 24 }]";
    let augment = "[augment]\nmixup_alpha = 0.4\ncutmix_alpha = 1.0\nmix_probability = 0.8\n";
    let train = "[train]\nema_decay = 0.99\nema_interval_steps = 2\nema_warmup = \"copy\"\nema_scale_by_batch = true\n\
                 label_smoothing = 0.1\nclip_grad_norm = 1.0\n";
    let more = "[schedule]\nname = \"cosine\"\nby_epoch = true\nwarmup_epochs = 0.5\nwarmup_start_fraction = 0.1\n\
                warmup_multiplies = true\n[eval]\nprecise_bn_images = 10\n";
    let recipe = recipe().replace("resolution_px = 16", list);
    recipe.replace("[augment]\n", augment).replace("[train]\n", train) + more
}

/// A working folder with the recipe and 26 + 8 PNG images of two classes and of many sizes.
pub(crate) fn workdir() -> Workdir {
    workdir_of(&recipe())
}

pub(crate) fn workdir_of(recipe: &str) -> Workdir {
    let workdir = Workdir::new(recipe);
    for (split, count) in IMAGES {
        for (class, name) in ["cat", "dog"].into_iter().enumerate() {
            let folder = workdir.path().join("images").join(split).join(name);
            fs::create_dir_all(&folder).unwrap();
            for number in 0..count {
                let size = Size { width: 17 + 3 * number as u32, height: 40 - 2 * number as u32 };
                let value = |place: u32| (place as usize * (7 + number) + 90 * class) as u8;
                let rgb: Vec<u8> = (0..3 * size.width * size.height).map(value).collect();
                fs::write(folder.join(format!("{number:02}.png")), encode_png(&rgb, size).unwrap()).unwrap();
            }
        }
    }
    workdir
}

/// Runs `trainer data COMMAND --config recipe.toml OPTIONS`, separated by spaces, and returns its standard output.
fn data(workdir: &Workdir, line: &str, code: i32) -> String {
    let (command, options) = line.split_once(' ').unwrap_or((line, ""));
    let mut arguments = vec!["data", command, "--config", "recipe.toml"];
    arguments.extend(options.split_whitespace());
    workdir.trainer(&arguments).ends_with(code).stdout
}

/// Packs both splits into `folder` and returns the recipe's options for the archives.
fn pack(workdir: &Workdir, folder: &str, options: &str) -> String {
    for split in ["train", "val"] {
        data(workdir, &format!("pack --split {split} --out {folder} {options}"), 0);
    }
    format!(
        "data.dataset=tar_shards data.folder={folder} data.train_shards=train-000000.tar data.val_shards=val-000000.tar"
    )
}

/// Metrics without times, and the files of all checkpoints but the recipes and what names them.
type Results = (Vec<serde_json::Map<String, Value>>, Vec<(String, Vec<u8>)>);

fn results(workdir: &Workdir, name: &str) -> Results {
    let run = workdir.run(name);
    let is_tensors = |name: &str| name.ends_with(".safetensors");
    let files = checkpoint_files(&run).into_iter().filter(|(name, _)| is_tensors(name)).collect();
    (repeatable_metrics(&run), files)
}

#[test]
fn folders_and_archives_and_any_number_of_workers_give_the_same_run() {
    let workdir = workdir();
    workdir.train("--name folder data.workers=1 data.prefetch_batches=1").ends_with(0);
    let expected = results(&workdir, "folder");
    assert_eq!(expected.0.len(), 8, "three steps and an evaluation in each of two epochs");
    workdir.train("--name seven data.workers=7").ends_with(0);
    assert!(results(&workdir, "seven") == expected, "seven workers");
    let shards = pack(&workdir, "shards", "");
    workdir.train(&format!("--name shards {shards}")).ends_with(0);
    assert!(results(&workdir, "shards") == expected, "archives");
    workdir.train(&format!("--name staged {shards} data.stage_folder=local")).ends_with(0);
    assert!(results(&workdir, "staged") == expected, "local copies of archives");
    assert!(workdir.path().join("local/train/train-000000.tar").exists());
}

/// The fourth step is the first on larger images.
#[test]
fn any_number_of_ranks_trains_on_the_same_images() {
    let workdir = workdir_of(&everything());
    let losses = [1, 2, 3].map(|ranks| {
        let options = format!("--name ranks{ranks} train.precision=fp64 train.max_steps=4");
        workdir.train(&options).ranks(ranks).ends_with(0);
        let records = metrics(&workdir.run(&format!("ranks{ranks}")));
        let steps = records.iter().filter(|record| record["kind"] == "step");
        steps.map(|step| step["loss"].as_f64().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(losses[0].len(), 4);
    // Rounding grows from step to step.
    let tolerances = [1e-12, 1e-10, 1e-10, 1e-10];
    for of_ranks in &losses {
        for ((loss, alone), tolerance) in of_ranks.iter().zip(&losses[0]).zip(tolerances) {
            assert!((loss - alone).abs() <= tolerance * alone, "{losses:?}");
        }
    }
}

/// The run stops in both epochs and between them, where the size of the images changes.
#[test]
fn a_run_on_image_files_resumes_exactly() {
    let workdir = workdir_of(&everything());
    let shards = pack(&workdir, "shards", "") + " data.shuffle=shards data.shuffle_window_shards=1";
    for (source, options) in [("folder", String::new()), ("shards", shards)] {
        let options =
            format!("checkpoint.interval_steps=1 checkpoint.keep=100 log.interval_steps=2 {options}");
        let [whole, parts] = ["whole", "parts"].map(|name| format!("{source}-{name}"));
        let ended = workdir.train(&format!("--name {whole} {options}")).ranks(2).ends_with(0);
        ended.says("epoch 1/2: images of 16x16").says("epoch 2/2: images of 24x24");
        for stop in [2, 3, 4] {
            let line = format!("--name {parts} --resume auto {options} train.max_steps={stop}");
            workdir.train(&line).ranks(2).ends_with(0);
        }
        workdir.train(&format!("--name {parts} --resume auto {options}")).ranks(2).ends_with(0);
        check_equal(&workdir, &whole, &parts);
    }
}

#[test]
fn a_run_is_not_continued_on_other_image_files() {
    let workdir = workdir();
    workdir.train("--name x train.max_steps=2").ends_with(0);
    let cats = workdir.path().join("images/train/cat");
    fs::rename(cats.join("03.png"), cats.join("99.png")).unwrap();
    workdir
        .train("--name x --resume auto")
        .ends_with(2)
        .says("the checkpoint was trained on other image files");
}

#[test]
fn a_damaged_image_ends_the_run_or_is_replaced() {
    let workdir = workdir();
    let damaged = workdir.path().join("images/train/dog/05.png");
    let bytes = fs::read(&damaged).unwrap();
    fs::write(&damaged, &bytes[..bytes.len() / 2]).unwrap();

    let ended = workdir.train("--name error").ranks(2).ends_with(3);
    _ = ended.says("cannot read training image 18, images/train/dog/05.png");

    let skip = "data.on_bad_image=skip data.max_bad_fraction=0.1";
    let ended = workdir.train(&format!("--name skip {skip}")).ranks(2).ends_with(0);
    let said = ended.stderr.matches("05.png").count();
    let logs = ["0000", "0001"].map(|rank| {
        let log = workdir.run("skip").path().join(format!("log/rank-{rank}.log"));
        fs::read_to_string(log).unwrap().matches("another image takes its place").count()
    });
    assert!(
        said <= 1 && (1..=2).contains(&logs.iter().sum::<usize>()),
        "once on each rank: {logs:?}\n{ended}"
    );
    let epochs: Vec<_> =
        metrics(&workdir.run("skip")).into_iter().filter(|it| it["kind"] == "epoch").collect();
    assert!(epochs.iter().all(|epoch| epoch["bad_images"] == 1), "{epochs:?}");
    workdir.train(&format!("--name again {skip} data.workers=5")).ends_with(0);
    workdir.train(&format!("--name alone {skip}")).ends_with(0);
    assert!(results(&workdir, "again") == results(&workdir, "alone"), "the replacement is always the same");

    let few = "data.on_bad_image=skip data.max_bad_fraction=0.03";
    workdir
        .train(&format!("--name few {few}"))
        .ends_with(3)
        .says("more than data.max_bad_fraction = 0.03 allows");
}

#[test]
fn check_reads_everything_and_names_every_bad_file() {
    let workdir = workdir();
    let report: Value = serde_json::from_str(&data(&workdir, "check --json", 0)).unwrap();
    assert_eq!((&report[0]["split"], &report[0]["images"]), (&"train".into(), &26.into()));
    assert_eq!(report[0]["classes"][1], serde_json::json!({ "name": "dog", "images": 13 }));
    assert_eq!(report[1]["largest_px"], serde_json::json!([26, 40]));
    let means = report[0]["mean"].as_array().unwrap();
    assert!(means.len() == 3 && means.iter().all(|mean| (0.4..0.6).contains(&mean.as_f64().unwrap())));

    let dogs = workdir.path().join("images/train/dog");
    fs::write(dogs.join("01.png"), "this is no image").unwrap();
    fs::write(dogs.join("02.png"), "").unwrap();
    let text = data(&workdir, "check --split train", 3);
    let bad: Vec<_> = text.lines().filter(|line| line.contains("dog/0")).map(str::trim).collect();
    expect_test::expect![[r#"
        images/train/dog/01.png: expected JPEG, PNG or WebP, found text that begins with "this is no image"
        images/train/dog/02.png: the file is empty"#]]
    .assert_eq(&bad.join("\n"));
}

#[test]
fn pack_continues_and_refuses_other_settings() {
    let workdir = workdir();
    let shards = |folder: &str| {
        let names = test_jobs::list(&workdir.path().join(folder));
        names.into_iter().filter(|name| name.ends_with(".tar")).collect::<Vec<_>>()
    };
    let read = |name: &str| fs::read(workdir.path().join(name)).unwrap();
    pack(&workdir, "shards", "");
    let first = read("shards/train-000000.tar");
    pack(&workdir, "shards", "");
    assert_eq!(shards("shards"), ["train-000000.tar", "val-000000.tar"]);
    assert_eq!(read("shards/train-000000.tar"), first);
    let other = [
        "data",
        "pack",
        "--config",
        "recipe.toml",
        "--split",
        "train",
        "--out",
        "shards",
        "--short-side-px",
        "8",
    ];
    workdir.trainer(&other).ends_with(3).says("shards holds train shards of other images or settings");
    data(&workdir, "pack --split train --out small --short-side-px 8 --quality 80", 0);
    let (name, renamed) =
        ["03", "99"].map(|it| workdir.path().join(format!("images/train/dog/{it}.png"))).into();
    fs::rename(&name, &renamed).unwrap();
    let other = ["data", "pack", "--config", "recipe.toml", "--split", "train", "--out", "shards"];
    workdir.trainer(&other).ends_with(3).says("shards holds train shards of other images or settings");
    fs::rename(&renamed, &name).unwrap();
    let members = |bytes: &[u8], extension: &str| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        (0..26).filter(|number| text.contains(&format!("{number:09}.{extension}"))).count()
    };
    let small = read("small/train-000000.tar");
    assert_eq!([members(&first, "png"), members(&small, "png"), members(&small, "jpg")], [26, 0, 26]);
}

#[test]
fn show_writes_what_the_network_is_given() {
    let workdir = workdir();
    let width_and_height = |file: &Path| {
        let bytes = fs::read(file).unwrap();
        [16, 20].map(|place| u32::from_be_bytes(bytes[place..place + 4].try_into().unwrap()))
    };
    let said = data(&workdir, "show --indices 3 --out one.png", 0);
    assert_eq!(said, "0 images/train/cat/03.png\n");
    assert_eq!(width_and_height(&workdir.path().join("one.png")), [16, 16]);
    data(&workdir, "show --split val --count 5 --out sheet.png", 0);
    assert_eq!(width_and_height(&workdir.path().join("sheet.png")), [5 * 18 - 2, 16]);
    let other_epoch = "show --indices 3 --epoch 2 --out two.png";
    data(&workdir, other_epoch, 0);
    data(&workdir, other_epoch, 2);
    let read = |name: &str| fs::read(workdir.path().join(name)).unwrap();
    assert_ne!(read("one.png"), read("two.png"));
    let beyond = ["data", "show", "--config", "recipe.toml", "--indices", "26", "--out", "x.png"];
    workdir.trainer(&beyond).ends_with(2).says("--indices 26: the split has the images 0 to 25");
    let large = "data show --config recipe.toml --set data.resolution_px=4096 --count 17 --out x.png";
    let large: Vec<_> = large.split(' ').collect();
    workdir
        .trainer(&large)
        .ends_with(2)
        .says("17 images of 4096x4096 pixels make too large a sheet: show at most 16");
}

/// The network of configs/imagenette.toml, at 64 px, over two epochs.
#[test]
fn imagenette_gives_the_same_losses_from_its_folder_and_from_archives() {
    let Some(folder) = std::env::var_os("REGATTA_TEST_IMAGENETTE") else {
        println!("skipped: REGATTA_TEST_IMAGENETTE is not set");
        return;
    };
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/imagenette.toml");
    let text = fs::read_to_string(shipped).unwrap();
    let workdir = Workdir::new(&text.replace("datasets/imagenette", folder.to_str().unwrap()));
    let options = "data.resolution_px=64 train.epochs=2 schedule.warmup_epochs=1.0 train.precision=fp32 train.threads_per_rank=1 log.interval_steps=1";
    workdir.train(&format!("--name folder {options}")).ranks(2).ends_with(0);
    let shards = pack(&workdir, "shards", "");
    workdir.train(&format!("--name shards {options} {shards}")).ranks(2).ends_with(0);
    let [folder, shards] = ["folder", "shards"].map(|name| repeatable_metrics(&workdir.run(name)));
    assert_eq!(folder.len(), 2 * 16 + 2, "steps and epochs");
    assert_eq!(folder, shards);
}

/// A small network of each family of recipes for ImageNet, ten steps at 64 pixels, with a change of size where the recipe has one.
#[test]
fn the_recipes_of_imagenet_train() {
    let common = "model.classes=2 train.global_batch_size=8 train.micro_batch_size=4 train.epochs=4 train.max_steps=10 \
                  train.precision=fp32 train.threads_per_rank=1 optim.lr=0.01 schedule.warmup_epochs=1 log.interval_steps=1";
    let fixed = "data.resolution_px=64 data.val_resolution_px=64 data.val_resize_px=72";
    let growing = "data.resolution=[{after_epochs=0,px=64},{after_epochs=2,px=96}] data.val_resolution_px=96";
    let families = [
        ("paper/regnetx_200mf", format!("{fixed} eval.precise_bn_images=8"), false),
        ("torchvision/regnet_y_400mf", fixed.to_owned(), false),
        ("fast/regnetx_400mf_16", growing.to_owned(), true),
    ];
    let workdir = workdir();
    for (recipe, options, grows) in families {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../configs/imagenet/{recipe}.toml"));
        let text = fs::read_to_string(file).unwrap().replace("datasets/imagenet", "images");
        fs::write(workdir.path().join("recipe.toml"), text).unwrap();
        let name = recipe.replace('/', "-");
        let ended = workdir.train(&format!("--name {name} {common} {options}")).ranks(2).ends_with(0);
        assert!(!grows || ended.stderr.contains("epoch 3/4: images of 96x96"), "{recipe}\n{ended}");
        let records = metrics(&workdir.run(&name));
        let steps = records.iter().filter(|record| record["kind"] == "step");
        assert!(steps.clone().all(|step| step["loss"].as_f64().unwrap().is_finite()), "{recipe}");
        assert_eq!(steps.count(), 10, "{recipe}");
    }
}
