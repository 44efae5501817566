//! Sizes of the training images over the epochs: their course, their effect on other keys, and the lists that are rejected.

use expect_test::expect;
use regatta_settings::{Recipe, TrainedSize};

use crate::refusals::check_each;
use crate::support::{FOLDER, REGNET, SMALL, message, resolved};

/// The recipe of image files with these sizes, without `data.resolution_px`.
fn sized(epochs: u64, course: &[&str]) -> Recipe {
    let epochs = format!("train.epochs={epochs}");
    resolved(&FOLDER.replace("resolution_px = 224\n", ""), &[&[epochs.as_str()], course].concat())
}

/// Consecutive epochs of one size: the size and their number.
fn spans(recipe: &Recipe) -> Vec<(u32, usize)> {
    let sizes: Vec<u32> = (0..recipe.train.epochs).map(|epoch| recipe.data.resolution_px_in(epoch)).collect();
    sizes.chunk_by(u32::eq).map(|span| (span[0], span.len())).collect()
}

#[test]
fn an_entry_holds_until_the_next() {
    let list = "data.resolution=[{after_epochs=0,px=100},{after_epochs=2,px=161},{after_epochs=3,px=96}]";
    let recipe = sized(6, &[list]);
    assert_eq!(spans(&recipe), [(100, 2), (161, 1), (96, 3)]);
    let data = &recipe.data;
    assert_eq!(
        (data.smallest_resolution_px(), data.resolution_px, data.changes_resolution()),
        (96, 161, true)
    );
    assert_eq!((data.val_resolution_px, data.val_resize_px), (161, Some(184)));
    let size = |(px, epochs)| TrainedSize { px, epochs };
    assert_eq!(data.sizes(6), [(96, 3), (100, 2), (161, 1)].map(size));
    assert_eq!(data.sizes(2), [size((100, 2))]);
    assert_eq!(data.resolution_px_in(1_000_000), 96);
}

/// The numbers are those of `int(np.round(np.interp(epoch, epochs, sizes)[0] / multiple)) * multiple`, as in `get_resolution` of
/// FFCV's train_imagenet.py. The first two are its recipes for ResNet-50 over 16 and 88 epochs.
#[test]
fn a_linear_course_is_that_of_ffcv() {
    let check = |epochs, multiple: u32, list: &[(u64, u32)], expected: &[(u32, usize)]| {
        let entry = |&(after, px): &(u64, u32)| format!("{{after_epochs={after},px={px}}}");
        let list: Vec<_> = list.iter().map(entry).collect();
        let list = format!("data.resolution=[{}]", list.join(","));
        let multiple = format!("data.resolution_multiple_px={multiple}");
        let recipe = sized(epochs, &[&list, "data.resolution_course=linear", &multiple]);
        assert_eq!(spans(&recipe), expected, "{list}");
    };
    check(16, 32, &[(0, 160), (11, 160), (13, 192)], &[(160, 12), (192, 4)]);
    check(88, 32, &[(0, 160), (65, 160), (76, 192)], &[(160, 71), (192, 17)]);
    check(9, 32, &[(0, 128), (7, 224)], &[(128, 2), (160, 2), (192, 2), (224, 3)]);
    check(12, 32, &[(0, 224), (10, 96)], &[(224, 2), (192, 2), (160, 3), (128, 2), (96, 3)]);
    check(13, 32, &[(0, 64), (12, 192)], &[(64, 2), (96, 3), (128, 3), (160, 3), (192, 2)]);
    let three = [(0, 96), (5, 96), (8, 160), (20, 224)];
    check(24, 32, &three, &[(96, 6), (128, 2), (160, 3), (192, 7), (224, 6)]);
    let sixteen = [(96, 5), (112, 2), (128, 3), (144, 2), (160, 3), (176, 2), (192, 3), (208, 2), (224, 8)];
    check(30, 16, &[(0, 96), (3, 96), (23, 224)], &sixteen);
    // A half goes to the even multiple, 5.5 up and 6.5 down.
    check(4, 32, &[(0, 160), (2, 192)], &[(160, 1), (192, 3)]);
    check(4, 32, &[(0, 192), (2, 224)], &[(192, 2), (224, 2)]);
    // MosaicML Composer's ProgressiveResizing at its defaults: half the size for half of the training, then linear to the full
    // size, in which the last fifth trains; multiples of 4.
    let composer = [(112, 11), (132, 1), (148, 1), (168, 1), (188, 1), (204, 1), (224, 4)];
    check(20, 4, &[(0, 112), (10, 112), (16, 224)], &composer);
}

#[test]
fn the_resolved_recipe_comes_back() {
    let list = "data.resolution=[{after_epochs=0,px=128},{after_epochs=4,px=224}]";
    let linear = sized(9, &[list, "data.resolution_course=linear"]);
    let steps = sized(9, &[list]);
    for recipe in [&linear, &steps] {
        let read = Recipe::parse("config.toml".as_ref(), &recipe.to_toml()).unwrap();
        assert_eq!(read, *recipe);
        assert_eq!(read.data.resolution_px, 224);
    }
    let of_data = |recipe: &Recipe| {
        let text = recipe.to_toml();
        let lines = text.lines().skip_while(|line| *line != "[data]").take_while(|line| *line != "[augment]");
        let is_size = |line: &&str| ["resol", "px", "after", "[["].iter().any(|it| line.starts_with(it));
        lines.filter(is_size).map(|line| line.to_owned() + "\n").collect::<String>()
    };
    expect![[r#"
        resolution_course = "linear"
        resolution_multiple_px = 32
        [[data.resolution]]
        after_epochs = 0
        px = 128
        [[data.resolution]]
        after_epochs = 4
        px = 224
    "#]]
    .assert_eq(&of_data(&linear));
    expect![[r#"
        resolution_course = "steps"
        [[data.resolution]]
        after_epochs = 0
        px = 128
        [[data.resolution]]
        after_epochs = 4
        px = 224
    "#]]
    .assert_eq(&of_data(&steps));
}

/// The sizes are part of what a run computes. Its length is not, and a shortened run keeps its list.
#[test]
fn a_resumed_run_keeps_its_sizes() {
    let list = "data.resolution=[{after_epochs=0,px=128},{after_epochs=4,px=224}]";
    let kept = sized(9, &[list]);
    let other = sized(9, &["data.resolution=[{after_epochs=0,px=128},{after_epochs=5,px=224}]"]);
    let fixed = resolved(FOLDER, &["train.epochs=9"]);
    expect![[r#"
        data.resolution[1].after_epochs: 4 -> 5

        data.resolution[0].after_epochs: 0 -> unset
        data.resolution[0].px: 128 -> unset
        data.resolution[1].after_epochs: 4 -> unset
        data.resolution[1].px: 224 -> unset
        data.resolution_course: "steps" -> unset
        data.resolution_px: unset -> 224"#]]
    .assert_eq(
        &[kept.differences(&other), kept.differences(&fixed)].map(|lines| lines.join("\n")).join("\n\n"),
    );

    let text = FOLDER.replace("resolution_px = 224\n", "");
    let shorter = crate::support::load_text(&text, &[], &[list, "train.epochs=3"]).unwrap();
    let shorter = shorter.resolve(1, Some(&kept)).unwrap();
    assert_eq!(kept.differences(&shorter), Vec::<String>::new());
}

#[test]
fn invalid_lists_of_sizes() {
    let text = FOLDER.replace("resolution_px = 224\n", "").replace("epochs = 1\n", "epochs = 90\n");
    let list = |entries: &str| format!("data.resolution=[{entries}]");
    let lists = [
        "",
        "{after_epochs=0}",
        "{px=96}",
        "{after_epochs=0,px=0}",
        "{after_epochs=0,px=5000}",
        "{after_epochs=0,size=96}",
        "{after_epochs=3,px=96}",
        "{after_epochs=0,px=96},{after_epochs=0,px=128}",
        "{after_epochs=0,px=96},{after_epochs=9,px=128},{after_epochs=5,px=160}",
        "{after_epochs=0,px=96},{after_epochs=90,px=128}",
    ]
    .map(list);
    let cases: Vec<[&str; 1]> = lists.iter().map(|list| [list.as_str()]).collect();
    let cases: Vec<&[&str]> = cases.iter().map(|case| &case[..]).collect();
    check_each(
        &text,
        &cases,
        expect![[r#"
            --set data.resolution=[]: data.resolution = []: expected a list of tables such as [{ after_epochs = 0, px = 128 }, { after_epochs = 10, px = 224 }]
            --set data.resolution=[{after_epochs=0}]: data.resolution[0].px is not set: expected a number of pixels, at least 1
            --set data.resolution=[{px=96}]: data.resolution[0].after_epochs is not set: expected a number of epochs
            --set data.resolution=[{after_epochs=0,px=0}]: data.resolution[0].px = 0: expected an integer from 1 to 4096
            --set data.resolution=[{after_epochs=0,px=5000}]: data.resolution[0].px = 5000: expected an integer from 1 to 4096
            --set data.resolution=[{after_epochs=0,size=96}]: unknown key data.resolution[0].size; [data.resolution[0]] has ...
            --set data.resolution=[{after_epochs=3,px=96}]: data.resolution[0].after_epochs = 3: expected 0: the first entry is the size of the first epoch
            --set data.resolution=[{after_epochs=0,px=96},{after_epochs=0,px=128}]: data.resolution[1].after_epochs = 0: expected an integer above 0, that of the entry before it
            --set data.resolution=[{after_epochs=0,px=96},{after_epochs=9,px=128},{after_epochs=5,px=160}]: data.resolution[2].after_epochs = 5: expected an integer above 9, that of the entry before it
            --set data.resolution=[{after_epochs=0,px=96},{after_epochs=90,px=128}]: data.resolution[1].after_epochs = 90: expected an integer below train.epochs = 90, since no later epoch is trained (for a short trial of a long recipe, set schedule.epochs to the length of the long one)"#]],
    );
    let list = "data.resolution=[{after_epochs=0,px=100},{after_epochs=3,px=128}]";
    let low = "data.resolution=[{after_epochs=0,px=10},{after_epochs=3,px=128}]";
    check_each(
        &text,
        &[
            &["data.resolution_px=128", list],
            &["data.resolution_course=linear"],
            &["data.resolution_multiple_px=16"],
            &[list, "data.resolution_multiple_px=16"],
            &[list, "data.resolution_course=linear"],
            &[low, "data.resolution_course=linear"],
            &[list, "data.resolution_course=cosine"],
            &[list, "data.val_resize_px=120"],
            &["data.resolution=128"],
        ],
        expect![[r#"
            --set data.resolution_px=128: data.resolution_px is set, but data.resolution gives the size in every epoch: keep only one of them
            --set data.resolution_course=linear: data.resolution_course is set, but data.resolution is not: leave it out, or set data.resolution to a list of tables such as [{ after_epochs = 0, px = 128 }, { after_epochs = 10, px = 224 }]
            --set data.resolution_multiple_px=16: data.resolution_multiple_px is set, but data.resolution is not: leave it out, or set data.resolution to a list of tables such as [{ after_epochs = 0, px = 128 }, { after_epochs = 10, px = 224 }]
            --set data.resolution_multiple_px=16: data.resolution_multiple_px is set, but data.resolution_course is not "linear": leave it out, or set data.resolution_course to "linear"
            --set data.resolution=[{after_epochs=0,px=100},{after_epochs=3,px=128}]: data.resolution[0].px = 100: expected a multiple of data.resolution_multiple_px = 32, to which sizes between the entries are rounded, such as 96
            --set data.resolution=[{after_epochs=0,px=10},{after_epochs=3,px=128}]: data.resolution[0].px = 10: expected a multiple of data.resolution_multiple_px = 32, to which sizes between the entries are rounded, such as 32
            --set data.resolution_course=cosine: data.resolution_course = "cosine": expected "steps" or "linear"
            --set data.val_resize_px=120: data.val_resize_px = 120: expected an integer from 128 (data.val_resolution_px) to 8192
            --set data.resolution=128: data.resolution = 128: expected a list of tables"#]],
    );
}

/// The smallest images decide whether BatchNorm has more than one value, and a flattening stem takes images of one size.
#[test]
fn sizes_that_the_network_cannot_take() {
    let list = "data.resolution=[{after_epochs=0,px=32},{after_epochs=3,px=224}]";
    check_each(
        REGNET,
        &[&[list, "train.micro_batch_size=1"], &[list, "train.global_batch_size=999"]],
        expect![[r#"
            --set train.micro_batch_size=1: train.micro_batch_size = 1, and with px = 32 in data.resolution the last feature map is 1x1: BatchNorm would normalise one value per channel; set train.micro_batch_size to 2 or more or raise that px
            --set train.global_batch_size=999: 1000 training images in batches of train.global_batch_size = 999 and micro-batches of 999 leave one image in an epoch's last, and with px = 32 in data.resolution the last feature map is 1x1: BatchNorm would normalise one value per channel; set train.drop_last to true, choose another batch size or raise that px"#]],
    );
    let mlp = "[model.anynet]\nblock = \"mlp\"\nstages = [{ depth = 1, width = 32 }]\n";
    let mlp = mlp.to_owned() + &SMALL[SMALL.find("[data]").unwrap()..];
    check_each(
        &mlp,
        &[&[list]],
        expect![
            "--set data.resolution=[{after_epochs=0,px=32},{after_epochs=3,px=224}]: data.resolution has sizes from 32 to 224, but a flattening stem takes images of one size: set data.resolution_px instead"
        ],
    );
    let one_size = "data.resolution=[{after_epochs=0,px=32},{after_epochs=3,px=32}]";
    assert_eq!(resolved(&mlp, &[one_size]).data.resolution_px, 32);
}

/// A line of the file is named.
#[test]
fn an_entry_in_the_file_is_named_by_its_line() {
    let tables = "[[data.resolution]]\nafter_epochs = 0\npx = 96\n[[data.resolution]]\nafter_epochs = 12\npx = 128\n[train]";
    let text = SMALL.replace("[train]", tables);
    let error = crate::support::load_text(&text, &[], &[]).unwrap().resolve(1, None).unwrap_err();
    expect!["recipe.toml:9: data.resolution[1].after_epochs = 12: expected an integer below train.epochs = 10, since no later epoch is trained (for a short trial of a long recipe, set schedule.epochs to the length of the long one)"].assert_eq(&message(&error));
}
