//! The recipes under `configs/imagenet`, generated from the tables in this file: `UPDATE_EXPECT=1` writes them anew, and a
//! plain run of the test finds every difference.

use std::path::{Path, PathBuf};

use expect_test::expect_file;
use regatta_anynet::Rounding;
use regatta_anynet::zoo::{self, Published};
use regatta_settings::{Recipe, load};

use crate::support::recipes_in;

/// Top-1 accuracy on ImageNet of torchvision's second set of weights (`IMAGENET1K_V2`), in percent, by torchvision's name.
const TORCHVISION_V2: [(&str, f64); 14] = [
    ("regnet_x_400mf", 74.86),
    ("regnet_x_800mf", 77.52),
    ("regnet_x_1_6gf", 79.67),
    ("regnet_x_3_2gf", 81.20),
    ("regnet_x_8gf", 81.68),
    ("regnet_x_16gf", 82.72),
    ("regnet_x_32gf", 83.01),
    ("regnet_y_400mf", 75.80),
    ("regnet_y_800mf", 78.83),
    ("regnet_y_1_6gf", 80.88),
    ("regnet_y_3_2gf", 81.98),
    ("regnet_y_8gf", 82.83),
    ("regnet_y_16gf", 82.89),
    ("regnet_y_32gf", 83.37),
];

/// The networks of torchvision's set that were trained on images of 176x176 pixels.
const TRAINED_AT_176: [&str; 3] = ["regnet_x_400mf", "regnet_x_800mf", "regnet_x_1_6gf"];

/// Epochs, the epochs in which the resolution rises from 160 to 192 pixels, and the top-1 accuracy in percent and minutes of
/// training on 8 A100 that FFCV states for its ResNet-50 recipe of that length, which rises in the same epochs.
const FAST: [(u64, [u64; 2], [f64; 2]); 3] =
    [(16, [11, 13], [73.8, 14.9]), (32, [23, 27], [76.6, 28.7]), (88, [65, 76], [78.4, 77.2])];
const FAST_NETWORKS: [&str; 2] = ["regnetx_400mf", "regnety_1_6gf"];

/// The sections that all recipes begin with: the network, and the data set. More keys of the data follow.
fn head(name: &str) -> String {
    format!(
        "\
[model]
arch = \"{name}\"
classes = 1000

[data]
dataset = \"image_folder\"
folder = \"datasets/imagenet\"
"
    )
}

/// The paper's training (Radosavovic et al. 2020, section 4 and pycls's `configs/dds_baselines`).
fn paper(published: &Published) -> String {
    let (name, title, batch) = (published.name(), published.title(), published.global_batch_size);
    let error = published.top1_error.expect("a network of the paper");
    let head = head(&name);
    format!(
        "\
# {title} on ImageNet as in the RegNet paper: 100 epochs at 224x224.
#
# command:  mpirun -n 8 trainer --config configs/imagenet/paper/{name}.toml --set data.folder=FOLDER
#           FOLDER has train/ and val/ with a folder for each class
# hardware: 8 GPUs; not run yet
# source:   Designing Network Design Spaces (2020), pycls: configs/dds_baselines
# expected: top-1 error of {error:.1} % published there, that is {accuracy:.1} % accuracy; not measured with this project

{head}resolution_px = 224
val_resize_px = 256
antialias = false

[augment]
random_resized_crop_scale = [0.08, 1.0]
random_resized_crop_ratio = [0.75, 1.3333333333333333]
horizontal_flip_probability = 0.5
pca_lighting_std = 0.1

[train]
epochs = 100
global_batch_size = {batch}
micro_batch_size = {micro}

[optim]
name = \"sgd\"
lr = {lr}
momentum = 0.9
nesterov = true
weight_decay = 5e-5
weight_decay_norm = 5e-5
weight_decay_bias = 5e-5

[schedule]
name = \"cosine\"
by_epoch = true
warmup_epochs = 5.0
warmup_start_fraction = 0.1
warmup_multiplies = true

[eval]
precise_bn_images = 8192
",
        accuracy = 100.0 - error,
        micro = batch / 8,
        lr = batch as f64 / 128.0 / 10.0,
    )
}

/// torchvision's second recipe (`references/classification`, "new recipe").
fn torchvision(name: &str, top1: f64) -> String {
    let head = head(name);
    let (published, _) = zoo::find(name).unwrap();
    let (side, anchor) = match TRAINED_AT_176.contains(&name) {
        true => (176, "new-recipe-with-fixres"),
        false => (224, "new-recipe"),
    };
    format!(
        "\
# {title} on ImageNet with torchvision's second recipe: 600 epochs at {side}x{side}.
#
# command:  mpirun -n 8 trainer --config configs/imagenet/torchvision/{name}.toml --set data.folder=FOLDER
#           FOLDER has train/ and val/ with a folder for each class
# hardware: 8 GPUs; not run yet
# source:   torchvision, {name}, IMAGENET1K_V2: https://github.com/pytorch/vision/issues/3995#{anchor}
# expected: top-1 accuracy of {top1:.2} % published there, of the moving average; not measured with this project

{head}resolution_px = {side}
val_resolution_px = 224
val_resize_px = 232

[augment]
auto_augment = \"trivial_augment_wide\"
random_erasing_probability = 0.1
mixup_alpha = 0.2
cutmix_alpha = 1.0

[train]
epochs = 600
global_batch_size = 1024
micro_batch_size = 128
label_smoothing = 0.1
ema_decay = 0.99998
ema_interval_steps = 32
ema_scale_by_batch = true
ema_warmup = \"copy\"

[optim]
name = \"sgd\"
lr = 0.5
momentum = 0.9
weight_decay = 2e-5
weight_decay_norm = 0.0
weight_decay_bias = 2e-5

[schedule]
name = \"cosine\"
by_epoch = true
warmup_epochs = 5.0
warmup_start_fraction = 0.01
",
        title = published.title(),
    )
}

/// This project's short training, after FFCV's of ResNet-50.
fn fast(name: &str, epochs: u64, [start, end]: [u64; 2], [top1, minutes]: [f64; 2]) -> String {
    let head = head(name);
    let (published, _) = zoo::find(name).unwrap();
    format!(
        "\
# {title} on ImageNet in {epochs} epochs, at 160 to 192 pixels: a short training.
#
# command:  mpirun -n 8 trainer --config configs/imagenet/fast/{name}_{epochs}.toml --set data.folder=FOLDER
#           FOLDER has train/ and val/ with a folder for each class. With the mirrored image, as FFCV evaluates:
#           trainer evaluate --checkpoint runs/{name}_{epochs} --flip
# hardware: 8 GPUs; not run yet
# source:   this project's, after https://github.com/libffcv/ffcv-imagenet, with the RegNet paper's learning rate and weight decay
# expected: unmeasured on ImageNet. Marks to beat, for ResNet-50 on 8 A100: {top1} % in {minutes} min ({epochs} epochs, FFCV),
#           75.9 % in 23.8 min (Composer)

{head}resolution = [{{ after_epochs = 0, px = 160 }}, {{ after_epochs = {start}, px = 160 }}, {{ after_epochs = {end}, px = 192 }}]
resolution_course = \"linear\"
resolution_multiple_px = 32
val_resolution_px = 256

[augment]
random_resized_crop_scale = [0.08, 1.0]
horizontal_flip_probability = 0.5

[train]
epochs = {epochs}
global_batch_size = 1024
micro_batch_size = 128
label_smoothing = 0.1

[optim]
name = \"sgd\"
lr = 0.8
momentum = 0.9
weight_decay = 5e-5
weight_decay_norm = 0.0
weight_decay_bias = 5e-5

[schedule]
name = \"linear\"
warmup_epochs = 2.0
warmup_start_fraction = 1e-4
",
        title = published.title(),
    )
}

/// Every file and its content.
fn recipes() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/imagenet");
    let of_paper = zoo::published().iter().filter(|it| it.top1_error.is_some());
    let of_paper = of_paper.map(|it| (format!("paper/{}", it.name()), paper(it)));
    let of_torchvision =
        TORCHVISION_V2.iter().map(|&(name, top1)| (format!("torchvision/{name}"), torchvision(name, top1)));
    let of_us = FAST_NETWORKS.iter().flat_map(|&name| {
        FAST.map(|(epochs, rise, mark)| (format!("fast/{name}_{epochs}"), fast(name, epochs, rise, mark)))
    });
    let all = of_paper.chain(of_torchvision).chain(of_us);
    all.map(|(name, text)| (folder.join(format!("{name}.toml")), text)).collect()
}

#[test]
fn the_files_are_those_of_the_tables() {
    let recipes = recipes();
    for (path, text) in &recipes {
        expect_file![path].assert_eq(text);
    }
    let mut expected: Vec<_> = recipes.into_iter().map(|(path, _)| path).collect();
    expected.sort();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/imagenet");
    assert_eq!(recipes_in(&folder), expected, "a file that no table has");
}

fn resolved(path: &Path) -> Recipe {
    load(path, std::iter::empty(), &[]).unwrap().resolve(8, None).unwrap()
}

#[test]
fn every_recipe_describes_the_published_network_and_training() {
    let (mut of_paper, mut of_torchvision) = (0, 0);
    for (path, text) in recipes() {
        let recipe = resolved(&path);
        let name = path.file_stem().unwrap().to_str().unwrap();
        let network = |rounding| zoo::find(name).unwrap().0.network(rounding, 1000).unwrap();
        match path.parent().unwrap().file_name().unwrap().to_str().unwrap() {
            "paper" => {
                assert_eq!(recipe.network(), network(Rounding::Pycls), "{name}");
                // The paper's learning rate is 0.1 for 128 images.
                let lr_per_image = recipe.optim.lr / recipe.train.global_batch_size as f64;
                assert!((lr_per_image * 1280.0 - 1.0).abs() < 1e-12, "{name}");
                of_paper += 1;
            }
            "torchvision" => {
                assert_eq!(recipe.network(), network(Rounding::Torchvision), "{name}");
                of_torchvision += 1;
            }
            _ => assert!(text.contains("expected: unmeasured on ImageNet"), "{name}"),
        }
        assert_eq!(recipe.train.global_batch_size % recipe.train.micro_batch_size, 0, "{name}");
    }
    assert_eq!((of_paper, of_torchvision), (24, 14));
}

/// Sizes of the fast recipes by epoch: FFCV's `get_resolution`, which rounds to multiples of 32.
#[test]
fn the_fast_recipes_grow_as_ffcvs() {
    for (epochs, [start, end], _) in FAST {
        let path = format!("../../configs/imagenet/fast/regnetx_400mf_{epochs}.toml");
        let recipe = resolved(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
        for epoch in 0..epochs {
            let position = (epoch.clamp(start, end) - start) as f64 / (end - start) as f64;
            let expected = ((160.0 + 32.0 * position) / 32.0).round_ties_even() as u32 * 32;
            assert_eq!(recipe.data.resolution_px_in(epoch), expected, "epoch {epoch} of {epochs}");
        }
        assert_eq!((recipe.data.resolution_px, recipe.data.val_resolution_px), (192, 256));
    }
}
