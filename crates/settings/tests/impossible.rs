//! Recipes whose values have the right types but are out of range or contradict each other.

use expect_test::expect;

use crate::refusals::{check_each, check_files};
use crate::support::{FOLDER, REGNET, SHARDS, SMALL, load_text, message};

#[test]
fn networks_that_cannot_be_built() {
    check_files(
        SMALL,
        &[
            ("width = 64, group_width = 16", "width = 64, group_width = 24"),
            ("depth = 2", "depth = 0"),
            ("depth = 2", "stride = 0, depth = 2"),
            ("[model.anynet]", "[model]\nstem_width = 0\n[model.anynet]"),
            ("[model.anynet]", "[model.regnet]\nw0 = 24\n[model.anynet]"),
        ],
        expect![[r#"
            recipe.toml:2: model.anynet.stages[1].group_width is 24, which does not divide the 64 channels of the 3x3 convolution (width 64 x bottleneck_ratio 1.0); the nearest smaller divisor is 16
            recipe.toml:2: model.anynet.stages[1].depth = 0: expected an integer from 1 to 1000
            recipe.toml:2: model.anynet.stages[1].stride = 0: expected an integer from 1 to 64
            recipe.toml:2: model.stem_width = 0: expected an integer from 1 to 65536
            recipe.toml:2: model.regnet and model.anynet are set, but each of them specifies a complete network: keep only one"#]],
    );
    let sets: &[&[&str]] = &[
        &["model.regnet.w0=25"],
        &["model.regnet.wm=1.0"],
        &["model.anynet.stages=[]"],
        &["model.classes=0"],
    ];
    let sets = [
        sets,
        &[
            &["model.arch=regnetx_400mf"],
            &["model.dropout=1"],
            &["model.stem=flatten"],
            &["model.regnet.se_ratio=-1"],
            &["model.regnet.se_ratio=0.01"],
            &["model.regnet.bottleneck_ratio=0.9"],
        ],
    ]
    .concat();
    check_each(
        REGNET,
        &sets,
        expect![[r#"
            --set model.regnet.w0=25: model.regnet.w0 is 25, must be a multiple of 8 such as 24
            --set model.regnet.wm=1.0: model.regnet.wm is 1.0, must be a finite number above 1
            recipe.toml:2: model.regnet and model.anynet are set, but each of them specifies a complete network: keep only one
            --set model.classes=0: model.classes = 0: expected an integer from 2 to 10000000
            --set model.arch=regnetx_400mf: model.arch and model.regnet are set, but each of them specifies a complete network: keep only one
            --set model.dropout=1: model.dropout is 1.0, must be at least 0 and below 1
            --set model.stem=flatten: model.stem is flatten, must be another stem: only mlp blocks take an image without height and width
            --set model.regnet.se_ratio=-1: model.regnet.se_ratio is -1.0, must be 0, or above 0 and at most 64
            recipe.toml:2: model.regnet: stages[0].se_ratio is 0.01, which squeezes 32 channels to none: widen what enters, raise it, or set it to 0
            --set model.regnet.bottleneck_ratio=0.9: model.regnet.bottleneck_ratio is 0.9, which fits no width of stage 1 (26 channels leave 23 in its 3x3 convolution, not a multiple of group width 8); 0.25, 0.5 and whole numbers fit"#]],
    );
}

/// The network by name, with these keys.
fn named(name: &str) -> String {
    REGNET.replace(GENERATOR, &format!("[model]\narch = \"{name}\"\n"))
}

/// The lines of REGNET that say its network.
const GENERATOR: &str = "[model.regnet]\ndepth = 13\nw0 = 24\nwa = 36.44\nwm = 2.49\ngroup_width = 8\n";

#[test]
fn unknown_network_names() {
    let text = named("RegNetX-400MF");
    let error = load_text(&text, &[], &[]).unwrap().resolve(1, None).unwrap_err();
    let said = message(&error);
    let expected = "recipe.toml:2: model.arch: no published network is called \"RegNetX-400MF\"; did you mean regnetx_400mf?";
    assert!(said.starts_with(expected), "{said}");
    for (name, meant) in [
        ("regnetx_40mf", Some("regnetx_400mf")),
        ("regnety_1.6f", Some("regnety_1_6gf")),
        ("rengetx_32gf", Some("regnetx_32gf")),
        ("regnet-y-8GF", Some("regnety_8gf")),
        ("resnet50", None),
    ] {
        let said = load_text(&named(name), &[], &[]).unwrap().resolve(1, None).unwrap_err().to_string();
        match meant {
            Some(meant) => assert!(said.contains(&format!("did you mean {meant}?")), "{said}"),
            None => assert!(!said.contains("did you mean"), "{said}"),
        }
    }
}

#[test]
fn roundings_that_a_network_does_not_have() {
    check_each(
        &named("regnety_400mf"),
        &[&["model.stem_width=1"]],
        expect![
            "recipe.toml:2: model.arch: stages[0].se_ratio is 0.25, which squeezes 1 channels to none: widen what enters, raise it, or set it to 0"
        ],
    );
    check_each(
        &named("regnet_x_400mf"),
        &[&["model.rounding=pycls"]],
        expect![[
            r#"--set model.rounding=pycls: model.rounding differs from the rounding that the name "regnet_x_400mf" implies: leave it out, or use this project's name for the network"#
        ]],
    );
    check_each(
        SMALL,
        &[&["model.rounding=pycls"]],
        expect![
            "--set model.rounding=pycls: model.rounding is set, but the stages of [model.anynet] are never rounded: leave it out"
        ],
    );
}

#[test]
fn invalid_blocks() {
    let block = |kind: &str, stage: &str| {
        let text = SMALL.replace("[model.anynet]", &format!("[model.anynet]\nblock = \"{kind}\""));
        let end = text.find("[data]").unwrap();
        let begin = text.find("stages").unwrap();
        format!("{}stages = [{{ {stage} }}]\n{}", &text[..begin], &text[end..])
    };
    check_each(
        &block("vanilla", "depth = 1, width = 32, group_width = 16"),
        &[&[]],
        expect![
            "recipe.toml:3: model.anynet.stages[0].group_width is 16, but vanilla blocks have no groups: leave it out"
        ],
    );
    check_each(
        &block("mlp", "depth = 1, width = 32, stride = 2"),
        &[&[]],
        expect![
            "recipe.toml:3: model.anynet.stages[0].stride is 2, must be 1, since mlp blocks see no pixels"
        ],
    );
    let mlp = block("mlp", "depth = 1, width = 32");
    check_each(
        &mlp,
        &[
            &["model.stem=simple"],
            &["model.stem_width=32"],
            &["train.micro_batch_size=1"],
            &["data.val_resolution_px=112"],
        ],
        expect![[r#"
            --set model.stem=simple: model.stem is simple, must be flatten, since mlp blocks are fully connected
            --set model.stem_width=32: model.stem_width is set, but the width of a flattening stem is given by the image: leave it out
            --set train.micro_batch_size=1: train.micro_batch_size = 1, and fully connected layers have one value per image: BatchNorm would normalise one value per channel; set train.micro_batch_size to 2 or more
            --set data.val_resolution_px=112: data.val_resolution_px = 112 differs from data.resolution_px = 96, but a flattening stem takes images of one size: leave it out"#]],
    );
}

#[test]
fn invalid_data_settings() {
    check_each(
        SMALL,
        &[
            &["data.resolution_px=0"],
            &["augment.horizontal_flip_probability=1.5"],
            &["data.mean=[0.5,0.5,0.5]"],
            &["data.std=[]"],
            &["data.std=[0.0]"],
            &["data.synthetic_classes=3"],
        ],
        expect![[r#"
            --set data.resolution_px=0: data.resolution_px = 0: expected an integer from 1 to 4096
            --set augment.horizontal_flip_probability=1.5: augment.horizontal_flip_probability = 1.5: expected a number from 0 to 1
            --set data.mean=[0.5,0.5,0.5]: data.mean = [0.5, 0.5, 0.5]: expected a list of numbers, one for each channel (model.in_channels = 1)
            --set data.std=[]: data.std = []: expected a list of numbers, one for each channel (model.in_channels = 1)
            --set data.std=[0.0]: data.std = [0.0]: expected numbers above 0, since images are divided by them
            --set data.synthetic_classes=3: data.synthetic_classes is set, but data.dataset is not "synthetic": leave it out, or set data.dataset to "synthetic""#]],
    );
    check_each(
        REGNET,
        &[
            &["data.folder=here"],
            &["data.synthetic_train_images=0"],
            &["data.synthetic_channels=0"],
            &["data.synthetic_classes=1"],
            &["data.synthetic_train_images=1000000000000"],
            &["data.synthetic_train_images=9000000000000000000"],
            &["data.resolution_px=65536"],
            &["model.classes=10"],
            &["train.drop_last=true", "train.global_batch_size=1001"],
            &["data.resolution_px=32", "train.global_batch_size=999"],
            &["data.resolution_px=32", "train.micro_batch_size=1"],
        ],
        expect![[r#"
            --set data.folder=here: data.folder is set, but data.dataset is not "image_folder", "tar_shards", "fashion_mnist", "mnist", "cifar10" or "cifar100": leave it out, or set data.dataset to "image_folder", "tar_shards", "fashion_mnist", "mnist", "cifar10" or "cifar100"
            --set data.synthetic_train_images=0: data.synthetic_train_images = 0: expected an integer from 1 to 100000000
            --set data.synthetic_channels=0: data.synthetic_channels = 0: expected an integer from 1 to 256
            --set data.synthetic_classes=1: data.synthetic_classes = 1: expected an integer from 2 to 100000
            --set data.synthetic_train_images=1000000000000: data.synthetic_train_images = 1000000000000: expected an integer from 1 to 100000000
            --set data.synthetic_train_images=9000000000000000000: data.synthetic_train_images = 9000000000000000000: expected an integer from 1 to 100000000
            --set data.resolution_px=65536: data.resolution_px = 65536: expected an integer from 1 to 4096
            --set model.classes=10: model.classes = 10, but the data set has 1000: leave it out or set 1000
            --set train.drop_last=true: train.drop_last = true leaves no step: there are 1000 training images and train.global_batch_size is 1001; set train.drop_last to false or a batch of at most 1000
            --set train.global_batch_size=999: 1000 training images in batches of train.global_batch_size = 999 and micro-batches of 999 leave one image in an epoch's last, and with data.resolution_px = 32 the last feature map is 1x1: BatchNorm would normalise one value per channel; set train.drop_last to true, choose another batch size or raise data.resolution_px
            --set train.micro_batch_size=1: train.micro_batch_size = 1, and with data.resolution_px = 32 the last feature map is 1x1: BatchNorm would normalise one value per channel; set train.micro_batch_size to 2 or more or raise data.resolution_px"#]],
    );
}

#[test]
fn invalid_settings_of_image_files() {
    check_each(
        FOLDER,
        &[
            &["model.classes=1"],
            &["data.train_shards=a.tar"],
            &["data.val_resize_px=200"],
            &["data.channel_order=bgr", "model.in_channels=1", "data.mean=[0.5]", "data.std=[0.5]"],
            &["data.max_bad_fraction=2"],
            &["augment.random_crop_padding_px=4"],
            &["augment.random_resized_crop_scale=[0.5]"],
            &["augment.random_resized_crop_scale=[0.5, 2.0]"],
            &["augment.random_resized_crop_ratio=[2.0, 0.5]"],
            &["augment.color_jitter=[0.4]"],
            &["augment.color_jitter=[0.4, 0.4, 0.4, 0.6]"],
            &["augment.random_erasing_probability=-0.1"],
            &["augment.pca_lighting_std=-1"],
            &["augment.auto_augment=randaugment"],
        ],
        expect![[r#"
            --set model.classes=1: model.classes = 1: expected an integer from 2 to 10000000
            --set data.train_shards=a.tar: data.train_shards is set, but data.dataset is not "tar_shards": leave it out, or set data.dataset to "tar_shards"
            --set data.val_resize_px=200: data.val_resize_px = 200: expected an integer from 224 (data.val_resolution_px) to 8192
            --set data.channel_order=bgr: data.channel_order = "bgr" needs three channels, but there are 1
            --set data.max_bad_fraction=2: data.max_bad_fraction = 2.0: expected a number from 0 to 1
            --set augment.random_crop_padding_px=4: augment.random_crop_padding_px is for data sets whose images have one size: leave it out, image files are cropped as augment.random_resized_crop_scale says
            --set augment.random_resized_crop_scale=[0.5]: augment.random_resized_crop_scale = [0.5]: expected two numbers above 0, the smaller one first
            --set augment.random_resized_crop_scale=[0.5, 2.0]: augment.random_resized_crop_scale = [0.5, 2.0]: expected fractions of the image's area, at most 1
            --set augment.random_resized_crop_ratio=[2.0, 0.5]: augment.random_resized_crop_ratio = [2.0, 0.5]: expected two numbers above 0, the smaller one first
            --set augment.color_jitter=[0.4]: augment.color_jitter = [0.4]: expected four numbers: brightness, contrast, saturation and hue
            --set augment.color_jitter=[0.4, 0.4, 0.4, 0.6]: augment.color_jitter = [0.4, 0.4, 0.4, 0.6]: expected numbers of at least 0, the last of at most 0.5
            --set augment.random_erasing_probability=-0.1: augment.random_erasing_probability = -0.1: expected a number from 0 to 1
            --set augment.pca_lighting_std=-1: augment.pca_lighting_std = -1.0: expected a number, at least 0
            --set augment.auto_augment=randaugment: augment.auto_augment = "randaugment": expected "none", "rand_augment" or "trivial_augment_wide"; did you mean "rand_augment"?"#]],
    );
    check_each(
        SHARDS,
        &[
            &["data.val_labels=a"],
            &["data.shuffle=local"],
            &["data.shuffle_window_shards=0"],
            &["data.train_shards=train-{9..1}.tar"],
            &["data.val_shards=val-{0..1.tar"],
            &["data.shuffle=shards", "data.limit_train_images=100"],
        ],
        expect![[r#"
            --set data.val_labels=a: data.val_labels is set, but data.dataset is not "image_folder": leave it out, or set data.dataset to "image_folder"
            --set data.shuffle=local: data.shuffle = "local": expected "global" or "shards"
            --set data.shuffle_window_shards=0: data.shuffle_window_shards = 0: expected an integer from 1 to 10000
            --set data.train_shards=train-{9..1}.tar: data.train_shards = "train-{9..1}.tar": expected the names of archives, such as "train-{000000..000146}.tar" (a range must not go down)
            --set data.val_shards=val-{0..1.tar: data.val_shards = "val-{0..1.tar": expected the names of archives, such as "train-{000000..000146}.tar" (a { without })
            --set data.limit_train_images=100: data.limit_train_images = 100, but data.shuffle = "shards" reads whole archives: name fewer archives in data.train_shards, or set data.shuffle to "global""#]],
    );
    check_each(
        SMALL,
        &[
            &["data.dataset=image_folder"],
            &["data.val_resize_px=64"],
            &["augment.auto_augment=rand_augment"],
            &["augment.color_jitter=[0.4, 0.4, 0.4, 0.0]"],
            &["augment.random_resized_crop_ratio=[0.5, 2.0]"],
        ],
        expect![[r#"
            2 required keys are not set:
              recipe.toml: data.folder is not set: expected the folder that contains train/ and val/
              recipe.toml: model.classes is not set: expected the number of classes, at least 2
            --set data.val_resize_px=64: data.val_resize_px is set, but data.dataset is not "image_folder" or "tar_shards": leave it out, or set data.dataset to "image_folder" or "tar_shards"
            --set augment.auto_augment=rand_augment: augment.auto_augment is for colour images, but there are 1 channels: leave it out
            --set augment.color_jitter=[0.4, 0.4, 0.4, 0.0]: augment.color_jitter is for colour images, but there are 1 channels: leave it out
            --set augment.random_resized_crop_ratio=[0.5, 2.0]: augment.random_resized_crop_ratio is set without augment.random_resized_crop_scale: set both, or none"#]],
    );
}

#[test]
fn invalid_mixing() {
    check_each(
        SMALL,
        &[
            &["augment.mixup_alpha=-0.1"],
            &["augment.mixup_alpha=0.0001"],
            &["augment.cutmix_alpha=2000"],
            &["augment.mix_probability=1.5"],
            &["augment.mix_switch_probability=-0.5"],
            &["train.micro_batch_size=1", "augment.mixup_alpha=0.2"],
            &["train.micro_batch_size=1", "augment.cutmix_alpha=1"],
            &["train.global_batch_size=129", "train.micro_batch_size=64", "augment.mixup_alpha=0.2"],
        ],
        expect![[r#"
            --set augment.mixup_alpha=-0.1: augment.mixup_alpha = -0.1: expected 0, or a number from 0.001 to 1000
            --set augment.mixup_alpha=0.0001: augment.mixup_alpha = 0.0001: expected 0, or a number from 0.001 to 1000
            --set augment.cutmix_alpha=2000: augment.cutmix_alpha = 2000.0: expected 0, or a number from 0.001 to 1000
            --set augment.mix_probability=1.5: augment.mix_probability = 1.5: expected a number from 0 to 1
            --set augment.mix_switch_probability=-0.5: augment.mix_switch_probability = -0.5: expected a number from 0 to 1
            --set train.micro_batch_size=1: augment.mixup_alpha mixes the images of a micro-batch, but train.micro_batch_size = 1: choose a train.micro_batch_size that leaves no image alone, or set augment.mixup_alpha to 0
            --set train.micro_batch_size=1: augment.cutmix_alpha mixes the images of a micro-batch, but train.micro_batch_size = 1: choose a train.micro_batch_size that leaves no image alone, or set augment.cutmix_alpha to 0
            --set train.micro_batch_size=64: augment.mixup_alpha mixes the images of a micro-batch, but train.global_batch_size = 129 in micro-batches of 64 leaves one image in the last: choose a train.micro_batch_size that leaves no image alone, or set augment.mixup_alpha to 0"#]],
    );
}

#[test]
fn invalid_training_settings() {
    check_each(
        SMALL,
        &[
            &["train.epochs=0"],
            &["train.max_steps=0"],
            &["train.global_batch_size=0"],
            &["train.micro_batch_size=0"],
            &["train.micro_batch_size=256"],
            &["train.label_smoothing=1.0"],
            &["train.loss=mse"],
            &["train.bce_sum_classes=true"],
            &["train.bce_target_threshold=0.2"],
            &["train.loss=bce", "train.bce_target_threshold=1"],
            &["train.loss=bce", "train.bce_target_threshold=0", "train.label_smoothing=0.1"],
            &["train.loss=bce", "train.bce_target_threshold=0.95", "train.label_smoothing=0.1"],
            &["train.ema_decay=1"],
            &["train.clip_grad_norm=-1"],
            &["optim.lr=0"],
            &["optim.momentum=1.0"],
            &["optim.nesterov=true"],
            &["optim.weight_decay=-5e-4"],
            &["optim.weight_decay_norm=-5e-4"],
            &["optim.weight_decay_bias=-5e-4"],
            &["optim.head_lr=0.0"],
            &["optim.beta1=0.9"],
        ],
        expect![[r#"
            --set train.epochs=0: train.epochs = 0: expected an integer from 1 to 1000000
            --set train.max_steps=0: train.max_steps = 0: expected an integer from 1 to 1000000000
            --set train.global_batch_size=0: train.global_batch_size = 0: expected an integer from 1 to 1000000
            --set train.micro_batch_size=0: train.micro_batch_size = 0: expected an integer from 1 to 1000000
            --set train.micro_batch_size=256: train.micro_batch_size = 256: expected an integer from 1 to 128, the global_batch_size
            --set train.label_smoothing=1.0: train.label_smoothing = 1.0: expected a number, at least 0 and below 1
            --set train.loss=mse: train.loss = "mse": expected "cross_entropy" or "bce"
            --set train.bce_sum_classes=true: train.bce_sum_classes is set, but train.loss is not "bce": leave it out, or set train.loss to "bce"
            --set train.bce_target_threshold=0.2: train.bce_target_threshold is set, but train.loss is not "bce": leave it out, or set train.loss to "bce"
            --set train.bce_target_threshold=1: train.bce_target_threshold = 1.0: expected a number, at least 0 and below 1
            --set train.bce_target_threshold=0: train.bce_target_threshold = 0 makes all targets equal, since those of train.label_smoothing = 0.1 and 10 classes are 0.0100 and 0.9100: set a threshold between them
            --set train.bce_target_threshold=0.95: train.bce_target_threshold = 0.95 makes all targets equal, since those of train.label_smoothing = 0.1 and 10 classes are 0.0100 and 0.9100: set a threshold between them
            --set train.ema_decay=1: train.ema_decay = 1.0: expected a number, at least 0 and below 1
            --set train.clip_grad_norm=-1: train.clip_grad_norm = -1.0: expected a number, at least 0
            --set optim.lr=0: optim.lr = 0.0: expected a number above 0
            --set optim.momentum=1.0: optim.momentum = 1.0: expected a number, at least 0 and below 1
            --set optim.nesterov=true: optim.nesterov = true needs a momentum: set optim.momentum, for example to 0.9
            --set optim.weight_decay=-5e-4: optim.weight_decay = -0.0005: expected a number, at least 0
            --set optim.weight_decay_norm=-5e-4: optim.weight_decay_norm = -0.0005: expected a number, at least 0
            --set optim.weight_decay_bias=-5e-4: optim.weight_decay_bias = -0.0005: expected a number, at least 0
            --set optim.head_lr=0.0: optim.head_lr = 0.0: expected a number above 0
            --set optim.beta1=0.9: optim.beta1 is set, but optim.name is not "adamw": leave it out, or set optim.name to "adamw""#]],
    );
    check_each(
        REGNET,
        &[
            &["optim.momentum=0.9"],
            &["optim.nesterov=true"],
            &["optim.beta1=1"],
            &["optim.beta2=-0.1"],
            &["optim.eps=0"],
        ],
        expect![[r#"
            --set optim.momentum=0.9: optim.momentum is set, but optim.name is not "sgd": leave it out, or set optim.name to "sgd"
            --set optim.nesterov=true: optim.nesterov is set, but optim.name is not "sgd": leave it out, or set optim.name to "sgd"
            --set optim.beta1=1: optim.beta1 = 1.0: expected a number, at least 0 and below 1
            --set optim.beta2=-0.1: optim.beta2 = -0.1: expected a number, at least 0 and below 1
            --set optim.eps=0: optim.eps = 0.0: expected a number above 0"#]],
    );
}

#[test]
fn moving_averages_that_contradict_themselves() {
    check_each(
        SMALL,
        &[
            &["optim.weight_decay_norm_bias=0.1"],
            &["train.ema_interval_steps=0"],
            &["train.ema_interval_steps=32"],
            &["train.ema_scale_by_batch=true"],
            &["train.ema_warmup=ramp"],
            &["train.ema_warmup=copy", "schedule.warmup_epochs=5"],
            &["train.ema_half_life_steps=0"],
            &["train.ema_half_life_steps=100", "train.ema_decay=0.9"],
            &["train.ema_half_life_steps=100", "train.ema_scale_by_batch=true"],
            &["train.ema_decay=0.9", "train.ema_warmup=copy"],
            &["train.ema_decay=0.9", "train.ema_warmup=cubic"],
        ],
        expect![[r#"
            --set optim.weight_decay_norm_bias=0.1: unknown key optim.weight_decay_norm_bias; set optim.weight_decay_norm (of BatchNorm) and optim.weight_decay_bias instead
            --set train.ema_interval_steps=0: train.ema_interval_steps = 0: expected an integer from 1 to 1000000
            --set train.ema_interval_steps=32: train.ema_interval_steps is set, but the run keeps no moving average: set train.ema_decay or train.ema_half_life_steps, or leave it out
            --set train.ema_scale_by_batch=true: train.ema_scale_by_batch is set, but the run keeps no moving average: set train.ema_decay or train.ema_half_life_steps, or leave it out
            --set train.ema_warmup=ramp: train.ema_warmup is set, but the run keeps no moving average: set train.ema_decay or train.ema_half_life_steps, or leave it out
            --set train.ema_warmup=copy: train.ema_warmup is set, but the run keeps no moving average: set train.ema_decay or train.ema_half_life_steps, or leave it out
            --set train.ema_half_life_steps=0: train.ema_half_life_steps = 0: expected an integer from 1 to 1000000000
            --set train.ema_half_life_steps=100: train.ema_half_life_steps = 100 and train.ema_decay = 0.9 both say how fast the moving average forgets: keep only one
            --set train.ema_scale_by_batch=true: train.ema_scale_by_batch = true scales train.ema_decay, which is not set: set it in place of train.ema_half_life_steps, or leave train.ema_scale_by_batch out
            --set train.ema_warmup=copy: train.ema_warmup = "copy" copies the weights while the learning rate warms up, but schedule.warmup_epochs = 0.0: set it above 0, or train.ema_warmup to "none" or "ramp"
            --set train.ema_warmup=cubic: train.ema_warmup = "cubic": expected "none", "copy" or "ramp""#]],
    );
}

#[test]
fn invalid_precise_statistics() {
    check_each(
        REGNET,
        &[
            &["log.histogram_interval_steps=100"],
            &["eval.precise_bn_images=1"],
            &["eval.precise_bn_images=-1"],
            &["eval.precise_bn_images=8192"],
            &["eval.precise_bn_images=100", "eval.interval_epochs=0"],
            &["eval.precise_bn_images=65", "data.resolution_px=32"],
        ],
        expect![[r#"
            --set log.histogram_interval_steps=100: log.histogram_interval_steps = 100, but histograms are written for TensorBoard only: set log.tensorboard = true, or leave log.histogram_interval_steps out
            --set eval.precise_bn_images=1: eval.precise_bn_images = 1: expected 0, or a number of images from 2, since one image has no variance
            --set eval.precise_bn_images=-1: eval.precise_bn_images = -1: expected an integer from 0 to 100000000
            --set eval.precise_bn_images=8192: eval.precise_bn_images = 8192, but there are 1000 training images: set at most 1000
            --set eval.precise_bn_images=100: eval.precise_bn_images = 100, but eval.interval_epochs = 0 disables the evaluations that use them: set eval.interval_epochs to 1 or more, or leave eval.precise_bn_images out
            --set eval.precise_bn_images=65: eval.precise_bn_images = 65 in batches of train.micro_batch_size = 64 leaves one image in the last, and with data.resolution_px = 32 the last feature map is 1x1: BatchNorm would normalise one value per channel; set eval.precise_bn_images to 64 or raise data.resolution_px"#]],
    );
}

#[test]
fn impossible_fine_tuning() {
    check_each(
        SMALL,
        &[
            &["model.frozen_stages=1"],
            &["model.new_classifier=true"],
            &["model.pretrained=x.safetensors", "model.frozen_stages=3"],
            &["model.pretrained=x.safetensors", "model.frozen_stages=-1"],
        ],
        expect![[r#"
            --set model.frozen_stages=1: model.frozen_stages = 1 needs weights to start from: set model.pretrained, or leave it at 0
            --set model.new_classifier=true: model.new_classifier = true needs weights to start from: set model.pretrained, or leave it at false
            --set model.frozen_stages=3: model.frozen_stages = 3: expected an integer from 0 to 2, the number of stages
            --set model.frozen_stages=-1: model.frozen_stages = -1: expected an integer from 0 to 1000"#]],
    );
}

#[test]
fn invalid_schedules() {
    check_each(
        SMALL,
        &[
            &["schedule.warmup_epochs=10"],
            &["schedule.warmup_start_fraction=1.1"],
            &["schedule.gamma=0.5"],
            &["schedule.final_lr_fraction=0.5"],
            &["schedule.name=cosine", "schedule.final_lr_fraction=-0.1"],
            &["schedule.name=linear", "schedule.final_lr_fraction=1.5"],
            &["schedule.by_epoch=true", "schedule.warmup_epochs=5"],
            &["schedule.name=cosine", "schedule.milestones_epochs=[3]"],
            &["schedule.name=step", "schedule.milestones_epochs=[]"],
            &["schedule.name=step", "schedule.milestones_epochs=[6,3]"],
            &["schedule.name=step", "schedule.milestones_epochs=[3,10]"],
            &["schedule.name=step", "schedule.milestones_epochs=[3]", "schedule.gamma=0"],
        ],
        expect![[r#"
            --set schedule.warmup_epochs=10: schedule.warmup_epochs = 10.0: expected a number, at least 0 and below train.epochs = 10
            --set schedule.warmup_start_fraction=1.1: schedule.warmup_start_fraction = 1.1: expected a number from 0 to 1
            --set schedule.gamma=0.5: schedule.gamma is set, but schedule.name is not "step": leave it out, or set schedule.name to "step"
            --set schedule.final_lr_fraction=0.5: schedule.final_lr_fraction is set, but schedule.name is not "cosine" or "linear": leave it out, or set schedule.name to "cosine" or "linear"
            --set schedule.final_lr_fraction=-0.1: schedule.final_lr_fraction = -0.1: expected a number from 0 to 1
            --set schedule.final_lr_fraction=1.5: schedule.final_lr_fraction = 1.5: expected a number from 0 to 1
            recipe.toml: schedule.warmup_start_fraction = 0 with schedule.by_epoch = true makes the learning rate of the first epoch 0: set schedule.warmup_start_fraction, for example to 0.1
            --set schedule.milestones_epochs=[3]: schedule.milestones_epochs is set, but schedule.name is not "step": leave it out, or set schedule.name to "step"
            --set schedule.milestones_epochs=[]: schedule.milestones_epochs = []: expected ascending numbers above 0 and below train.epochs = 10
            --set schedule.milestones_epochs=[6,3]: schedule.milestones_epochs = [6.0, 3.0]: expected ascending numbers above 0 and below train.epochs = 10
            --set schedule.milestones_epochs=[3,10]: schedule.milestones_epochs = [3.0, 10.0]: expected ascending numbers above 0 and below train.epochs = 10
            --set schedule.gamma=0: schedule.gamma = 0.0: expected a number above 0 and at most 1"#]],
    );
}

#[test]
fn invalid_job_settings() {
    check_each(
        SMALL,
        &[
            &["train.threads_per_rank=4097"],
            &["checkpoint.interval_epochs=0"],
            &["checkpoint.keep=0"],
            &["log.interval_steps=0"],
            &["comm.first_bucket_mib=0"],
            &["comm.bucket_cap_mib=-25"],
            &["run.folder="],
        ],
        expect![[r#"
            --set train.threads_per_rank=4097: train.threads_per_rank = 4097: expected an integer from 0 to 4096
            --set checkpoint.interval_epochs=0: checkpoint.interval_epochs = 0: expected an integer from 1 to 1000000
            --set checkpoint.keep=0: checkpoint.keep = 0: expected an integer from 1 to 1000000
            --set log.interval_steps=0: log.interval_steps = 0: expected an integer from 1 to 1000000000
            --set comm.first_bucket_mib=0: comm.first_bucket_mib = 0.0: expected a number above 0
            --set comm.bucket_cap_mib=-25: comm.bucket_cap_mib = -25.0: expected a number above 0
            --set run.folder=: run.folder = "": expected the path of a folder, such as "runs""#]],
    );
}
