//! Recipes whose every value has its type, and that still cannot be: out of range, or at odds with each other.

use expect_test::expect;

use crate::refusals::{check_each, check_files};
use crate::support::{REGNET, SMALL};

#[test]
fn networks_that_cannot_be_built() {
    check_files(
        SMALL,
        &[
            ("width = 64, group_width = 16", "width = 64, group_width = 24"),
            ("depth = 2", "depth = 0"),
            ("depth = 2", "stride = 0, depth = 2"),
            ("kind = \"anynet\"", "kind = \"anynet\"\nstem_width = 0"),
            ("kind = \"anynet\"", "kind = \"anynet\"\nw0 = 24"),
        ],
        expect![[r#"
            recipe.toml:3: model.stages[1].group_width is 24, which does not divide the 64 channels of the 3x3 convolution (width 64 x bottleneck_ratio 1.0); the nearest smaller divisor is 16
            recipe.toml:3: model.stages[1].depth is 0, must be from 1 to 1000
            recipe.toml:3: model.stages[1].stride is 0, must be from 1 to 64
            recipe.toml:3: model.stem_width is 0, must be from 1 to 65536
            recipe.toml:3: model.w0 is set, but model.kind is not "regnet": leave it out, or set model.kind to "regnet""#]],
    );
    let sets: &[&[&str]] = &[&["model.w0=25"], &["model.wm=1.0"], &["model.stages=[]"], &["model.classes=0"]];
    check_each(
        REGNET,
        sets,
        expect![[r#"
            --set model.w0=25: model.w0 is 25, must be a multiple of 8 such as 24
            --set model.wm=1.0: model.wm is 1.0, must be a finite number above 1
            --set model.stages=[]: model.stages is set, but model.kind is not "anynet": leave it out, or set model.kind to "anynet"
            --set model.classes=0: model.classes is 0, must be from 1 to 10000000"#]],
    );
}

#[test]
fn data_that_cannot_be() {
    check_each(
        SMALL,
        &[
            &["data.resolution_px=0"],
            &["data.horizontal_flip_probability=1.5"],
            &["data.mean=[0.5,0.5,0.5]"],
            &["data.std=[]"],
            &["data.std=[0.0]"],
            &["data.synthetic_classes=3"],
        ],
        expect![[r#"
            --set data.resolution_px=0: data.resolution_px = 0: expected an integer from 1 to 65536
            --set data.horizontal_flip_probability=1.5: data.horizontal_flip_probability = 1.5: expected a number from 0 to 1
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
            &["model.classes=10"],
            &["train.drop_last=true", "train.global_batch_size=1001"],
            &["data.resolution_px=32", "train.global_batch_size=999"],
            &["data.resolution_px=32", "train.micro_batch_size=1"],
        ],
        expect![[r#"
            --set data.folder=here: data.folder is set, but data.dataset is not "fashion_mnist" or "mnist": leave it out, or set data.dataset to "fashion_mnist" or "mnist"
            --set data.synthetic_train_images=0: data.synthetic_train_images = 0: expected an integer, at least 1
            --set data.synthetic_channels=0: data.synthetic_channels = 0: expected an integer, at least 1
            --set model.classes=10: model.classes = 10, but the data set has 1000: leave it out or set 1000
            --set train.drop_last=true: train.drop_last = true leaves no step: the data set has 1000 training images and train.global_batch_size is 1001; set train.drop_last to false or a batch of at most 1000
            --set train.global_batch_size=999: 1000 training images in batches of train.global_batch_size = 999 and micro-batches of 999 leave one image in an epoch's last, and with data.resolution_px = 32 the last feature map is 1x1: BatchNorm would normalise one value per channel; set train.drop_last to true, choose another batch size or raise data.resolution_px
            --set train.micro_batch_size=1: train.micro_batch_size = 1, and with data.resolution_px = 32 the last feature map is 1x1: BatchNorm would normalise one value per channel; set train.micro_batch_size to 2 or more or raise data.resolution_px"#]],
    );
}

#[test]
fn training_that_cannot_be() {
    check_each(
        SMALL,
        &[
            &["train.epochs=0"],
            &["train.max_steps=0"],
            &["train.global_batch_size=0"],
            &["train.micro_batch_size=0"],
            &["train.micro_batch_size=256"],
            &["train.label_smoothing=1.0"],
            &["train.ema_decay=1"],
            &["train.clip_grad_norm=-1"],
            &["optim.lr=0"],
            &["optim.momentum=1.0"],
            &["optim.nesterov=true"],
            &["optim.weight_decay=-5e-4"],
            &["optim.weight_decay_norm_bias=-5e-4"],
            &["optim.beta1=0.9"],
        ],
        expect![[r#"
            --set train.epochs=0: train.epochs = 0: expected an integer, at least 1
            --set train.max_steps=0: train.max_steps = 0: expected an integer, at least 1
            --set train.global_batch_size=0: train.global_batch_size = 0: expected an integer, at least 1
            --set train.micro_batch_size=0: train.micro_batch_size = 0: expected an integer from 1 to 128, the global_batch_size
            --set train.micro_batch_size=256: train.micro_batch_size = 256: expected an integer from 1 to 128, the global_batch_size
            --set train.label_smoothing=1.0: train.label_smoothing = 1.0: expected a number, at least 0 and below 1
            --set train.ema_decay=1: train.ema_decay = 1.0: expected a number, at least 0 and below 1
            --set train.clip_grad_norm=-1: train.clip_grad_norm = -1.0: expected a number, at least 0
            --set optim.lr=0: optim.lr = 0.0: expected a number above 0
            --set optim.momentum=1.0: optim.momentum = 1.0: expected a number, at least 0 and below 1
            --set optim.nesterov=true: optim.nesterov = true needs a momentum: set optim.momentum, for example to 0.9
            --set optim.weight_decay=-5e-4: optim.weight_decay = -0.0005: expected a number, at least 0
            --set optim.weight_decay_norm_bias=-5e-4: optim.weight_decay_norm_bias = -0.0005: expected a number, at least 0
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
fn schedules_that_cannot_be() {
    check_each(
        SMALL,
        &[
            &["schedule.warmup_epochs=10"],
            &["schedule.warmup_start_fraction=1.1"],
            &["schedule.gamma=0.5"],
            &["schedule.final_lr_fraction=0.5"],
            &["schedule.name=cosine", "schedule.final_lr_fraction=-0.1"],
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
            --set schedule.final_lr_fraction=0.5: schedule.final_lr_fraction is set, but schedule.name is not "cosine": leave it out, or set schedule.name to "cosine"
            --set schedule.final_lr_fraction=-0.1: schedule.final_lr_fraction = -0.1: expected a number from 0 to 1
            --set schedule.milestones_epochs=[3]: schedule.milestones_epochs is set, but schedule.name is not "step": leave it out, or set schedule.name to "step"
            --set schedule.milestones_epochs=[]: schedule.milestones_epochs = []: expected ascending numbers above 0 and below train.epochs = 10
            --set schedule.milestones_epochs=[6,3]: schedule.milestones_epochs = [6.0, 3.0]: expected ascending numbers above 0 and below train.epochs = 10
            --set schedule.milestones_epochs=[3,10]: schedule.milestones_epochs = [3.0, 10.0]: expected ascending numbers above 0 and below train.epochs = 10
            --set schedule.gamma=0: schedule.gamma = 0.0: expected a number above 0 and at most 1"#]],
    );
}

#[test]
fn jobs_that_cannot_be() {
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
            --set checkpoint.interval_epochs=0: checkpoint.interval_epochs = 0: expected an integer, at least 1
            --set checkpoint.keep=0: checkpoint.keep = 0: expected an integer, at least 1
            --set log.interval_steps=0: log.interval_steps = 0: expected an integer, at least 1
            --set comm.first_bucket_mib=0: comm.first_bucket_mib = 0.0: expected a number above 0
            --set comm.bucket_cap_mib=-25: comm.bucket_cap_mib = -25.0: expected a number above 0
            --set run.folder=: run.folder = "": expected the path of a folder, such as "runs""#]],
    );
}
