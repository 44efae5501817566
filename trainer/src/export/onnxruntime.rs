//! Generates the Python code that runs an exported ONNX model.

use std::fmt::Write;
use std::path::Path;

use regatta_settings::{DataSettings, Filter};

use super::Source;
use super::metadata::{Preparation, is_bgr};

/// Returns code that prepares an image as the run's evaluation does, runs the model in `file` with onnxruntime, and prints the
/// class with the largest logit.
pub(super) fn lines(source: &Source, preparation: Preparation, batch: Option<u32>, file: &Path) -> String {
    let names = source.class_names.is_some();
    let mut lines = if names { "import json\n" } else { "" }.to_owned();
    lines += &images(&source.recipe.data, source.network.in_channels, preparation, batch.unwrap_or(1));
    _ = writeln!(lines, "session = onnxruntime.InferenceSession({:?})", file.display().to_string());
    lines += "logits = session.run([\"logits\"], {\"images\": images})[0]\n";
    lines += match names {
        true => {
            "names = json.loads(session.get_modelmeta().custom_metadata_map[\"class_names\"])\nprint(names[logits[0].argmax()])\n"
        }
        false => "print(logits[0].argmax())\n",
    };
    lines
}

/// Returns code that defines `images`, normalised.
fn images(data: &DataSettings, channels: i64, preparation: Preparation, count: u32) -> String {
    let mode = match channels {
        1 => "L",
        3 => "RGB",
        _ => return random_images(channels, preparation.crop_px, count),
    };
    let prepare =
        steps(data, preparation).iter().fold(String::new(), |text, step| text + "    " + step + ",\n");
    let batch = match count {
        1 => "images = image[None].numpy()".to_owned(),
        _ => format!(
            "images = image.repeat({count}, 1, 1, 1).numpy()  # the model takes {count} images at once"
        ),
    };
    format!(
        "import onnxruntime, torch\n\
         from PIL import Image\n\
         from torchvision.transforms import v2\n\
         prepare = v2.Compose([\n{prepare}])\n\
         image = prepare(Image.open(\"image.jpg\").convert(\"{mode}\"))\n\
         {batch}\n"
    )
}

/// Returns the transforms of torchvision that prepare an image.
fn steps(data: &DataSettings, preparation: Preparation) -> Vec<String> {
    let Preparation { resize_px, crop_px, filter, antialias } = preparation;
    let filter = match filter {
        Filter::Bilinear => "BILINEAR",
        Filter::Bicubic => "BICUBIC",
    };
    let antialias = if antialias { "True" } else { "False" };
    let resize =
        |size: String| format!("v2.Resize({size}, v2.InterpolationMode.{filter}, antialias={antialias})");
    let to_float = "v2.ToDtype(torch.float32, scale=True)".to_owned();
    let mut steps = vec!["v2.PILToTensor()".to_owned()];
    match resize_px {
        Some(side) => steps.extend([resize(side.to_string()), format!("v2.CenterCrop({crop_px})"), to_float]),
        None => steps.extend([to_float, resize(format!("({crop_px}, {crop_px})"))]),
    }
    if is_bgr(data) {
        steps.push("v2.Lambda(lambda rgb: rgb.flip(0))".to_owned());
    }
    steps.push(format!("v2.Normalize({:?}, {:?})", data.mean, data.std));
    steps
}

/// Images that no image file has: the caller's own.
fn random_images(channels: i64, side: u32, count: u32) -> String {
    format!(
        "import numpy, onnxruntime\n\
         images = numpy.random.randn({count}, {channels}, {side}, {side}).astype(\"float32\")  # your own, normalised\n"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use expect_test::{Expect, expect};

    use super::*;
    use crate::export::WeightsKind;

    const RECIPE: &str = r#"
[model.anynet]
stages = [{ depth = 1, width = 16, group_width = 8 }]
[data]
dataset = "synthetic"
resolution_px = 32
synthetic_channels = 3
synthetic_train_images = 8
synthetic_val_images = 8
mean = [0.5, 0.25, 0.125]
std = [1.0, 1.0, 0.5]
[train]
epochs = 1
global_batch_size = 4
[optim]
name = "sgd"
lr = 0.1
"#;

    fn source(text: &str) -> Source {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recipe.toml");
        std::fs::write(&path, text).unwrap();
        let recipe =
            regatta_settings::load(&path, std::iter::empty(), &[]).unwrap().resolve(1, None).unwrap();
        Source {
            network: recipe.network(),
            file: path,
            tensors: BTreeMap::new(),
            class_names: None,
            weights: WeightsKind::Model,
            step: 1,
            recipe,
        }
    }

    fn check(source: &Source, batch: Option<u32>, resolution_px: Option<u32>, expected: Expect) {
        let preparation = Preparation::new(&source.recipe.data, resolution_px);
        expected.assert_eq(&lines(source, preparation, batch, Path::new("x.onnx")));
    }

    #[test]
    fn images_of_files_are_resized_and_cropped() {
        let mut source = source(RECIPE);
        source.class_names = Some(vec!["cat".to_owned(), "dog".to_owned()]);
        source.recipe.data.val_resize_px = Some(40);
        source.recipe.data.interpolation = Filter::Bicubic;
        check(
            &source,
            None,
            None,
            expect![[r#"
            import json
            import onnxruntime, torch
            from PIL import Image
            from torchvision.transforms import v2
            prepare = v2.Compose([
                v2.PILToTensor(),
                v2.Resize(40, v2.InterpolationMode.BICUBIC, antialias=True),
                v2.CenterCrop(32),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.5, 0.25, 0.125], [1.0, 1.0, 0.5]),
            ])
            image = prepare(Image.open("image.jpg").convert("RGB"))
            images = image[None].numpy()
            session = onnxruntime.InferenceSession("x.onnx")
            logits = session.run(["logits"], {"images": images})[0]
            names = json.loads(session.get_modelmeta().custom_metadata_map["class_names"])
            print(names[logits[0].argmax()])
        "#]],
        );
    }

    #[test]
    fn images_of_pixels_are_resized_to_the_input() {
        let source = source(&RECIPE.replace("[data]", "[data]\nchannel_order = \"bgr\""));
        check(
            &source,
            Some(4),
            Some(48),
            expect![[r#"
            import onnxruntime, torch
            from PIL import Image
            from torchvision.transforms import v2
            prepare = v2.Compose([
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Resize((48, 48), v2.InterpolationMode.BILINEAR, antialias=False),
                v2.Lambda(lambda rgb: rgb.flip(0)),
                v2.Normalize([0.5, 0.25, 0.125], [1.0, 1.0, 0.5]),
            ])
            image = prepare(Image.open("image.jpg").convert("RGB"))
            images = image.repeat(4, 1, 1, 1).numpy()  # the model takes 4 images at once
            session = onnxruntime.InferenceSession("x.onnx")
            logits = session.run(["logits"], {"images": images})[0]
            print(logits[0].argmax())
        "#]],
        );
    }

    #[test]
    fn images_that_no_file_has_are_the_callers_own() {
        let text = RECIPE.replace("channels = 3", "channels = 2").replace("0.25, 0.125", "0.25");
        let source = source(&text.replace("1.0, 1.0, 0.5", "1.0, 1.0"));
        check(
            &source,
            Some(4),
            None,
            expect![[r#"
            import numpy, onnxruntime
            images = numpy.random.randn(4, 2, 32, 32).astype("float32")  # your own, normalised
            session = onnxruntime.InferenceSession("x.onnx")
            logits = session.run(["logits"], {"images": images})[0]
            print(logits[0].argmax())
        "#]],
        );
    }

    #[test]
    fn another_resolution_keeps_the_ratio_of_resize_to_crop() {
        let mut data = source(RECIPE).recipe.data;
        (data.val_resolution_px, data.val_resize_px) = (224, Some(256));
        let sides = |resolution_px| {
            let Preparation { resize_px, crop_px, .. } = Preparation::new(&data, resolution_px);
            (resize_px, crop_px)
        };
        assert_eq!(sides(None), (Some(256), 224));
        assert_eq!(sides(Some(288)), (Some(329), 288));
        assert_eq!(sides(Some(1)), (Some(1), 1));
    }
}
