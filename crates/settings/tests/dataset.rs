//! Recipes that do not fit their data set.

use regatta_settings::DatasetFacts;

use crate::support::{FOLDER, SMALL, message, resolved};

const FASHION_MNIST: DatasetFacts =
    DatasetFacts { train_images: 60_000, val_images: 10_000, channels: 1, classes: 10 };

/// At 8 pixels the stem and two stages leave a 1x1 map.
const TINY_MAP: &str = "data.resolution_px=8";

#[test]
fn a_matching_data_set_is_accepted() {
    let accepted: [(&[&str], usize); 6] = [
        (&[], 60_000),
        (&["train.drop_last=true"], 128),
        (&[TINY_MAP, "train.micro_batch_size=64"], 60_000),
        (&[TINY_MAP, "train.drop_last=true"], 129),
        (&["train.micro_batch_size=1"], 129),
        (&["data.limit_train_images=60000", "data.limit_val_images=1"], 60_000),
    ];
    for (sets, train_images) in accepted {
        let facts = DatasetFacts { train_images, ..FASHION_MNIST };
        resolved(SMALL, sets).check_dataset(&facts).unwrap();
    }
}

#[test]
fn a_data_set_that_does_not_fit_is_refused() {
    let check = |sets: &[&str], facts: DatasetFacts| {
        message(&resolved(SMALL, sets).check_dataset(&facts).unwrap_err())
    };
    let images = |train_images| DatasetFacts { train_images, ..FASHION_MNIST };
    let messages = [
        check(&[], images(0)),
        check(&[], DatasetFacts { val_images: 0, ..FASHION_MNIST }),
        check(&["model.classes=12"], FASHION_MNIST),
        check(&[], DatasetFacts { classes: 47, ..FASHION_MNIST }),
        check(&["model.in_channels=3"], FASHION_MNIST),
        // Image files say the number of classes only when they are opened, so that the key is required.
        message(
            &resolved(FOLDER, &[])
                .check_dataset(&DatasetFacts { classes: 9, channels: 3, ..FASHION_MNIST })
                .unwrap_err(),
        ),
        check(&["train.drop_last=true"], images(127)),
        check(&["data.limit_train_images=60001"], FASHION_MNIST),
        check(&["data.limit_val_images=10001"], FASHION_MNIST),
        check(&[TINY_MAP, "data.limit_train_images=129"], FASHION_MNIST),
        check(&[TINY_MAP], images(129)),
        check(&[TINY_MAP, "train.micro_batch_size=127"], images(128)),
        check(&[TINY_MAP, "train.micro_batch_size=9"], images(10)),
    ];
    expect_test::expect![[r#"
        recipe.toml:4: the data set has no training images: choose another data.dataset or data.folder
        recipe.toml:4: the data set has no validation images: choose another data.dataset or data.folder
        --set model.classes=12: model.classes = 12, but the data set has 10: leave it out or set 10
        recipe.toml: model.classes = 10, but the data set has 47: leave it out or set 47
        --set model.in_channels=3: model.in_channels = 3, but the data set has 1: leave it out or set 1
        recipe.toml:3: model.classes = 10, but the data set has 9: set 9
        --set train.drop_last=true: train.drop_last = true leaves no step: there are 127 training images and train.global_batch_size is 128; set train.drop_last to false or a batch of at most 127
        --set data.limit_train_images=60001: data.limit_train_images = 60001, but the data set has 60000 training images: leave it out or set at most 60000
        --set data.limit_val_images=10001: data.limit_val_images = 10001, but the data set has 10000 validation images: leave it out or set at most 10000
        recipe.toml:7: 129 training images in batches of train.global_batch_size = 128 and micro-batches of 128 leave one image in an epoch's last, and with data.resolution_px = 8 the last feature map is 1x1: BatchNorm would normalise one value per channel; set train.drop_last to true, choose another batch size or raise data.resolution_px
        recipe.toml:7: 129 training images in batches of train.global_batch_size = 128 and micro-batches of 128 leave one image in an epoch's last, and with data.resolution_px = 8 the last feature map is 1x1: BatchNorm would normalise one value per channel; set train.drop_last to true, choose another batch size or raise data.resolution_px
        --set train.micro_batch_size=127: train.global_batch_size = 128 in micro-batches of 127 leaves one image in the last, and with data.resolution_px = 8 the last feature map is 1x1: BatchNorm would normalise one value per channel; choose another train.micro_batch_size or raise data.resolution_px
        recipe.toml:7: 10 training images in batches of train.global_batch_size = 128 and micro-batches of 9 leave one image in an epoch's last, and with data.resolution_px = 8 the last feature map is 1x1: BatchNorm would normalise one value per channel; set train.drop_last to true, choose another batch size or raise data.resolution_px"#]].assert_eq(&messages.join("\n"));
}

#[test]
fn steps_of_an_epoch() {
    for (sets, train_images, steps) in [
        (&["train.seed=0"], 60_000, 469),
        (&["train.drop_last=true"], 60_000, 468),
        (&["train.seed=0"], 1, 1),
    ] {
        assert_eq!(resolved(SMALL, sets).steps_per_epoch(train_images), steps);
    }
}
