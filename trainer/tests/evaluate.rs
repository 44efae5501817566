//! `trainer evaluate`: the numbers of the run, class by class and image by image.

mod models;

use std::fs;
use std::path::Path;

use regatta_data::{Size, encode_png};
use serde_json::{Value, json};
use test_jobs::{Job, TINY, Workdir, metrics, tiny_with};

/// `trainer evaluate OPTIONS`, separated by spaces.
fn evaluate<'a>(workdir: &'a Workdir, options: &str) -> Job<'a> {
    let arguments: Vec<_> = ["evaluate"].into_iter().chain(options.split_whitespace()).collect();
    workdir.trainer(&arguments)
}

/// The JSON object that a successful evaluation prints, and nothing else on standard output.
fn report(job: Job) -> Value {
    serde_json::from_str(&job.ends_with(0).stdout).unwrap()
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// Asserts that the counts of classes and pairs are those of all images.
fn check_sums(report: &Value) {
    let images = count(&report["images"]);
    let share = |right: &str| count(&report[right]) as f64 / images as f64;
    assert_eq!(report["top1"], share("top1_images"));
    assert_eq!(report["top5"], share("top5_images"));
    let (classes, confusion) =
        (report["classes"].as_array().unwrap(), report["confusion"].as_array().unwrap());
    assert_eq!(classes.len(), confusion.len());
    let mut right = 0;
    for (index, (class, row)) in classes.iter().zip(confusion).enumerate() {
        let of_class: Vec<u64> = row.as_array().unwrap().iter().map(count).collect();
        assert_eq!(count(&class["images"]), of_class.iter().sum::<u64>(), "{class}");
        assert_eq!(class["top1"], of_class[index] as f64 / count(&class["images"]) as f64, "{class}");
        right += of_class[index];
    }
    assert_eq!(right, count(&report["top1_images"]), "the diagonal");
    let five =
        classes.iter().map(|class| class["top5"].as_f64().unwrap() * class["images"].as_f64().unwrap());
    assert!((five.sum::<f64>() - count(&report["top5_images"]) as f64).abs() < 1e-6);
}

/// On one rank all numbers have the same bits; on two, the losses are summed in another order.
#[test]
fn the_numbers_are_those_that_the_run_recorded() {
    let workdir = Workdir::new(&tiny_with("synthetic_val_images = 13", "synthetic_val_images = 57"));
    workdir
        .train("--name x train.epochs=4 train.ema_decay=0.7 eval.batch_size=5 eval.precise_bn_images=10")
        .ends_with(0);
    let recorded = metrics(&workdir.run("x")).pop().unwrap();
    let of_average = report(evaluate(&workdir, "--checkpoint runs/x --json"));
    check_sums(&of_average);
    for (name, run) in [("top1", "val_top1"), ("top5", "val_top5"), ("loss", "val_loss")] {
        assert_eq!(of_average[name], recorded[run], "{name}");
    }
    assert_eq!((&of_average["weights"], &of_average["step"]), (&json!("ema"), &json!(12)));
    assert_eq!(of_average["checkpoint"], "runs/x/checkpoints/step-000000012");

    let raw = report(evaluate(
        &workdir,
        "--config recipe.toml --set eval.batch_size=5 --set train.ema_decay=0.7 \
        --checkpoint runs/x/checkpoints/step-000000012 --raw --json",
    ));
    check_sums(&raw);
    assert_eq!((&raw["top1"], &raw["weights"]), (&recorded["val_raw_top1"], &json!("model")));
    assert_ne!(raw["loss"], of_average["loss"]);

    let on_two = report(evaluate(&workdir, "--checkpoint runs/x --ema --json").ranks(2));
    let loss = |report: &Value| report["loss"].as_f64().unwrap();
    assert!((loss(&on_two) - loss(&of_average)).abs() <= 1e-12 * loss(&of_average));
    let without_loss = |report: &Value| {
        let mut report = report.as_object().unwrap().clone();
        report.remove("loss");
        report
    };
    assert_eq!(without_loss(&on_two), without_loss(&of_average));
}

/// A recipe for 16x16 PNG images of two classes, which evaluation neither resizes nor crops.
fn recipe_of_images() -> String {
    let (head, tail) = TINY.split_once("[data]").unwrap();
    let (_, train) = tail.split_once("[train]").unwrap();
    head.replace("stem_width", "classes = 2\nstem_width")
        + "[data]\ndataset = \"image_folder\"\nfolder = \"images\"\nresolution_px = 16\nval_resize_px = 16\n[train]"
        + &train.replace("\"fp32\"", "\"fp64\"")
}

/// Writes images to `images/`, and their mirror images to `mirrored/`.
fn write_images(workdir: &Workdir) {
    let size = Size { width: 16, height: 16 };
    for (split, count) in [("train", 10), ("val", 7)] {
        for (class, name) in ["cat", "dog, brown"].into_iter().enumerate() {
            for number in 0..count {
                let value = |place: usize| (place * (5 + number) * (2 + class) + place * place / 50) as u8;
                let pixels: Vec<[u8; 3]> =
                    (0..256).map(|place| [0, 1, 2].map(|channel| value(3 * place + channel))).collect();
                let mirrored = pixels.chunks(16).flat_map(|row| row.iter().rev().copied());
                for (set, pixels) in
                    [("images", pixels.concat()), ("mirrored", mirrored.collect::<Vec<_>>().concat())]
                {
                    let folder = workdir.path().join(set).join(split).join(name);
                    fs::create_dir_all(&folder).unwrap();
                    fs::write(folder.join(format!("{number}.png")), encode_png(&pixels, size).unwrap())
                        .unwrap();
                }
            }
        }
    }
}

/// The lines of a CSV file of predictions, split at commas outside of quotes.
fn lines(file: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(file).unwrap();
    let fields = |line: &str| -> Vec<String> {
        let quoted = line.split('"').enumerate();
        let parts = quoted
            .map(|(place, part)| if place % 2 == 1 { part.to_owned() } else { part.replace(',', "\n") });
        parts.collect::<String>().split('\n').map(str::to_owned).collect()
    };
    text.lines().map(fields).collect()
}

/// How much larger the first class's logit is, of each image, from the probabilities of both.
fn margins(lines: &[Vec<String>]) -> Vec<f64> {
    let margin = |line: &Vec<String>| {
        let ratio = line[8].parse::<f64>().unwrap() / line[9].parse::<f64>().unwrap();
        if line[3] == "cat" { ratio.ln() } else { -ratio.ln() }
    };
    lines[1..].iter().map(margin).collect()
}

#[test]
fn predictions_are_in_order_and_flip_averages_the_logits_of_mirror_images() {
    let workdir = Workdir::new(&recipe_of_images());
    write_images(&workdir);
    workdir.train("--name x optim.lr=0.5").ends_with(0);
    let predictions = |name: &str, options: &str| {
        let options = format!("--checkpoint runs/x --json --predictions {name}.csv {options}");
        (report(evaluate(&workdir, &options)), lines(&workdir.path().join(format!("{name}.csv"))))
    };
    let (whole, plain) = predictions("plain", "");
    check_sums(&whole);
    let header = "index,file,label,class_1,class_2,class_3,class_4,class_5,probability_1,probability_2,probability_3,probability_4,probability_5";
    assert_eq!(plain[0].join(","), header);
    let expected = (0..14).map(|index| {
        let class = if index < 7 { "cat" } else { "dog, brown" };
        [index.to_string(), format!("images/val/{class}/{}.png", index % 7), class.to_owned()]
    });
    assert!(plain[1..].iter().map(|line| line[..3].to_vec()).eq(expected), "{plain:?}");
    let hits = plain[1..].iter().filter(|line| line[2] == line[3]).count();
    assert_eq!(whole["top1_images"], hits);
    for line in &plain[1..] {
        let probabilities: Vec<f64> = line[8..10].iter().map(|it| it.parse().unwrap()).collect();
        assert!(
            (probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-6 && probabilities[0] >= 0.5,
            "{line:?}"
        );
        assert!([5, 6, 7, 10, 11, 12].iter().all(|&column| line[column].is_empty()), "{line:?}");
    }

    let on_two = "--checkpoint runs/x --predictions two.csv";
    evaluate(&workdir, on_two).ranks(2).ends_with(0);
    let read = |name: &str| fs::read(workdir.path().join(name)).unwrap();
    assert!(read("two.csv") == read("plain.csv"), "any number of ranks");
    evaluate(&workdir, on_two).ends_with(2).says("error: two.csv exists already");
    evaluate(&workdir, &format!("{on_two} --force")).ends_with(0);
    evaluate(&workdir, "--checkpoint runs/x --set data.folder=nowhere").ends_with(3).says("nowhere");

    let (_, mirrored) = predictions("mirrored", "--set data.folder=mirrored");
    let (flipped_report, flipped) = predictions("flipped", "--flip");
    assert_eq!((&whole["flip"], &flipped_report["flip"]), (&json!(false), &json!(true)));
    let [plain, mirrored, flipped] = [plain, mirrored, flipped].map(|lines| margins(&lines));
    assert_eq!([plain.len(), mirrored.len(), flipped.len()], [14; 3]);
    for ((plain, mirrored), flipped) in plain.iter().zip(mirrored).zip(flipped) {
        assert!(
            (plain - mirrored).abs() > 1e-3,
            "an image differs from its mirror image: {plain}, {mirrored}"
        );
        let mean = (plain + mirrored) / 2.0;
        assert!((flipped - mean).abs() < 1e-5, "{flipped}, but {plain} and {mirrored} of both");
    }
}

#[test]
fn another_resolution_scales_resize_and_crop() {
    let recipe = recipe_of_images().replace("val_resize_px = 16", "val_resize_px = 18");
    let workdir = Workdir::new(&recipe);
    write_images(&workdir);
    workdir.train("--name x train.max_steps=2").ends_with(0);
    let report = |options: &str| report(evaluate(&workdir, &format!("--checkpoint runs/x --json {options}")));
    let larger = report("--resolution 24");
    assert_eq!(larger["resolution_px"], 24);
    assert_eq!(larger, report("--set data.val_resolution_px=24 --set data.val_resize_px=27"));
    assert_ne!(larger["loss"], report("")["loss"]);
    // What only training needs is not asked for.
    assert_eq!(report("--resolution 16 --set eval.precise_bn_images=8192"), report(""));
}

/// Training images are evaluated with the transforms of evaluation.
#[test]
fn the_training_split_can_be_evaluated() {
    let workdir = Workdir::new(TINY);
    workdir.train("--name x train.max_steps=2").ends_with(0);
    let of_training = report(evaluate(&workdir, "--checkpoint runs/x --split train --json"));
    check_sums(&of_training);
    assert_eq!((&of_training["images"], &of_training["split"]), (&json!(26), &json!("train")));
    let text = evaluate(&workdir, "--checkpoint runs/x").ends_with(0).stdout;
    for part in [
        "weights  runs/x/checkpoints/step-000000002\nimages   13 of val, at 16x16 pixels\ntop-1    0.",
        "\nclass  images   top-1   top-5\n0 ",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(text.is_ascii() && text.lines().count() == 17, "{text}");
}

#[test]
fn impossible_evaluations_are_rejected() {
    let workdir = Workdir::new(TINY);
    workdir.train("--name x train.max_steps=1").ends_with(0);
    let file = "runs/x/checkpoints/step-000000001/model.safetensors";
    fs::write(workdir.path().join("there.csv"), "notes").unwrap();
    fs::write(workdir.path().join("pickle.pth"), b"PK").unwrap();
    let refused = |options: &str, code: i32| {
        let ended = evaluate(&workdir, options).ends_with(code);
        assert_eq!(ended.stdout, "", "{ended}");
        let lines = ended.stderr.lines().skip_while(|line| !line.starts_with("error:"));
        let said: String =
            lines.take_while(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect();
        format!("$ {options}\n{said}")
    };
    let said = [
        refused("", 2),
        refused("--checkpoint runs/y", 2),
        refused("--checkpoint runs/x --ema", 2),
        refused("--checkpoint runs/x --set model.stem_width=8", 2),
        refused("--checkpoint runs/x --set data.synthetic_classes=7 --set model.classes=7", 2),
        refused("--checkpoint runs/x --set model.classes=7", 2),
        refused("--checkpoint runs/x --predictions there.csv", 2),
        refused("--checkpoint runs/x --predictions no/folder/o", 6),
        refused(&format!("--weights {file} --config recipe.toml --set data.synthetic_classes=7"), 2),
        refused(&format!("--weights {file} --config recipe.toml --set model.conv_bias=true"), 2),
        refused("--weights pickle.pth --config recipe.toml", 2),
        refused("--weights there.csv --config recipe.toml", 3),
        refused(&format!("--weights {file} --config nowhere.toml"), 2),
    ];
    assert_eq!(fs::read_to_string(workdir.path().join("there.csv")).unwrap(), "notes");
    expect_test::expect![[r#"
        $ 
        error: the following required arguments were not provided:
          <--checkpoint <PATH>|--weights <FILE>>
        $ --checkpoint runs/y
        error: --checkpoint runs/y: there is no such folder; give a run folder or one of its checkpoints
        $ --checkpoint runs/x --ema
        error: --ema: there is no moving average in runs/x/checkpoints/step-000000001: leave --ema out
        $ --checkpoint runs/x --set model.stem_width=8
        error: the recipe describes another network than that of runs/x/checkpoints/step-000000001; leave --config out, or undo:
          model.stem_width: 16 -> 8
        $ --checkpoint runs/x --set data.synthetic_classes=7 --set model.classes=7
        error: the recipe describes another network than that of runs/x/checkpoints/step-000000001; leave --config out, or undo:
          model.classes: 10 -> 7
        $ --checkpoint runs/x --set model.classes=7
        error: --set model.classes=7: model.classes = 7, but the data set has 10: leave it out or set 10
        $ --checkpoint runs/x --predictions there.csv
        error: there.csv exists already: give another name, or --force to replace it
        $ --checkpoint runs/x --predictions no/folder/o
        error: cannot write no/folder/o: No such file or directory (os error 2)
        $ --weights runs/x/checkpoints/step-000000001/model.safetensors --config recipe.toml --set data.synthetic_classes=7
        error: --weights runs/x/checkpoints/step-000000001/model.safetensors: it has no classifier of 7 classes (model.classes): head.fc.weight, head.fc.bias missing, or of another shape
        $ --weights runs/x/checkpoints/step-000000001/model.safetensors --config recipe.toml --set model.conv_bias=true
        error: --weights runs/x/checkpoints/step-000000001/model.safetensors: the weights belong to another network; not there: stem.conv.bias, s1.b1.f.a.bias, s1.b1.f.b.bias, s1.b1.f.c.bias, s1.b1.proj.bias, s2.b1.f.a.bias and 3 more
        $ --weights pickle.pth --config recipe.toml
        error: --weights pickle.pth: that is a pickle, which may hold any code and is not opened here; convert it with
          import torch, safetensors.torch as st; s = torch.load("pickle.pth", map_location="cpu", weights_only=True)
          s = s.get("model_state", s.get("state_dict", s)); st.save_file({k: v.contiguous() for k, v in s.items()}, "pickle.safetensors")
        and give --weights "pickle.safetensors"
        $ --weights there.csv --config recipe.toml
        error: --weights there.csv: damaged: header too small
        $ --weights runs/x/checkpoints/step-000000001/model.safetensors --config nowhere.toml
        error: cannot read the recipe nowhere.toml: No such file or directory (os error 2)
    "#]].assert_eq(&said.concat());
    fs::write(workdir.path().join(file), b"torn").unwrap();
    evaluate(&workdir, "--checkpoint runs/x").ends_with(6).says("model.safetensors has 4 bytes");
}
