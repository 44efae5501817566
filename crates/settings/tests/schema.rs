//! The schema is complete and correct: every key has a description, and every stated default is the actual one.

use regatta_settings::{RawRecipe, RawStage, schema, schema_text};

#[test]
fn every_key_has_a_text_and_a_default() {
    for key in schema() {
        assert!(key.doc.ends_with(['.', ')']), "{} has the text {:?}", key.key, key.doc);
        assert!(!key.doc.contains("Default:") && !key.default.is_empty(), "{}: {}", key.key, key.default);
        assert!(
            !key.doc.contains("Required") && key.required.as_deref() != Some(""),
            "{}: {}",
            key.key,
            key.doc
        );
    }
}

/// Every count has an upper bound: a number beyond it is a typing error and would make an allocation fail.
#[test]
fn every_integer_has_bounds_that_hold_its_default() {
    let mut integers = 0;
    for key in schema().iter().filter(|key| key.type_name.starts_with("an integer")) {
        let (least, most) = key.bounds.unwrap_or_else(|| panic!("{} has no bounds", key.key));
        assert_eq!(key.type_name, format!("an integer from {least} to {most}"), "{}", key.key);
        assert!(least >= 0 && (key.key == "train.seed" || most <= 1_000_000_000), "{}: to {most}", key.key);
        if let Ok(default) = key.default.parse() {
            assert!((least..=most).contains(&default), "{}: {default}", key.key);
        }
        integers += 1;
    }
    assert!(integers > 20, "{integers} integers");
}

#[test]
fn stated_defaults_are_those_of_the_code() {
    let mut defaults = toml::Table::try_from(RawRecipe::default()).unwrap();
    let stage = toml::Table::try_from(RawStage::default()).unwrap();
    defaults["model"]["anynet"]
        .as_table_mut()
        .unwrap()
        .insert("stages[]".to_owned(), toml::Value::Table(stage));
    let mut checked = 0;
    for key in schema() {
        let value = key.key.split('.').try_fold(None, |table: Option<&toml::Value>, name| {
            table.map_or(defaults.get(name), |table| table.get(name)).map(Some)
        });
        if let Some(Some(value)) = value {
            match key.default.parse::<toml::Value>() {
                Ok(stated) => assert_eq!(&stated, value, "{}", key.key),
                Err(_) => assert!(stands_for_unset(value), "{}: {} is {value}", key.key, key.default),
            }
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked} defaults were compared");
}

/// Returns whether the value is a placeholder for an unset key until the recipe is resolved.
fn stands_for_unset(value: &toml::Value) -> bool {
    match value {
        toml::Value::Integer(number) => *number == 0,
        toml::Value::Float(number) => *number == 0.0,
        toml::Value::Array(entries) => entries.is_empty(),
        _ => false,
    }
}

#[test]
fn the_schema_as_text() {
    let text = schema_text();
    let shown = [
        "model.arch",
        "model.stem:",
        "model.anynet.stages[].stride",
        "data.mean",
        "train.device",
        "optim.lr",
        "comm.bucket",
    ];
    let lines: Vec<&str> = text.lines().collect();
    let excerpt: Vec<&str> = lines
        .windows(2)
        .filter(|pair| shown.iter().any(|key| pair[0].starts_with(key)))
        .flatten()
        .copied()
        .collect();
    expect_test::expect![[r#"
        model.arch: a string; default unset
            Name of a published network, such as "regnetx_400mf" or "regnety_1_6gf"; torchvision's and timm's names ("regnet_x_400mf", "regnetx_004") also select that network's rounding.
        model.stem: "simple", "resnet", "cifar" or "flatten"; default "simple", for mlp blocks "flatten"
            Layers before the body: "simple" is a 3x3 convolution with stride 2, "resnet" a 7x7 one with stride 2 and max-pooling, "cifar" a 3x3 one with stride 1, "flatten" turns the image into a vector.
        model.anynet.stages[].stride: an integer from 1 to 64; default 2, for mlp blocks 1
            Stride of the first block.
        data.mean: a list of numbers; default that of the data set, recorded in the run's config.toml
            Mean of the training images per channel of the network's input, on the scale 0 to 1; subtracted from each image.
        train.device: "auto", "cpu" or "cuda"; default "auto"
            Device to train on: "auto" selects CUDA if a CUDA device is available and the CPU otherwise.
        optim.lr: a number; required
            Learning rate for the global batch, reached at the end of the warm-up.
        comm.bucket_cap_mib: a number; default 4.0
            Maximum size of the other gradient buckets, in MiB, above 0; a block is never split."#]].assert_eq(&excerpt.join("\n"));
}
