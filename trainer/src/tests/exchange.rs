//! Networks of torchvision, timm and the book give the same results here, and their weights can be imported and exported.

use std::path::Path;

use regatta_anynet::Naming;
use regatta_model::Mode;
use regatta_settings::Recipe;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use super::networks::{REGNETX32, recipe};
use super::reference::{Script, Tensors};
use super::{alone, assert_close, assert_equal_to_the_bit};
use crate::loss::summed_loss;
use crate::pretrained::Pretrained;
use crate::replica::Replica;
use crate::{export, tensor_file};

const THREADS: i32 = 1;

/// A model of another library, and the recipe that describes it here.
struct Case {
    library: &'static str,
    model: String,
    recipe: Recipe,
    naming: Naming,
    /// The parameters whose gradients are compared, by their names here.
    layers: Vec<&'static str>,
}

impl Case {
    /// A library's model; `arch` accepts the library's name for it.
    fn of(library: &'static str, model: &str) -> Self {
        let text = RECIPE.replace("ARCH", model);
        let is_y = model.starts_with("regnety") || model.starts_with("regnet_y");
        let third = if is_y { "s1.b1.f.se.f_ex.0.weight" } else { "s1.b1.proj.weight" };
        Self {
            library,
            model: model.to_owned(),
            recipe: recipe(&text, &[]),
            naming: if library == "timm" { Naming::Timm } else { Naming::Torchvision },
            layers: vec!["stem.conv.weight", "s3.b1.f.b.weight", third],
        }
    }

    /// The book's network, with torchvision's naming.
    fn of_the_book() -> Self {
        let sets = ["train.precision=fp32".to_owned(), "train.memory_format=contiguous".to_owned()];
        Self {
            library: "book",
            model: "regnetx32".to_owned(),
            recipe: recipe(REGNETX32, &sets),
            naming: Naming::Torchvision,
            layers: vec!["stem.conv.weight", "s2.b1.proj.weight", "head.fc.weight"],
        }
    }

    fn description(&self) -> Value {
        let gradients: Vec<_> = self.layers.iter().map(|layer| self.naming.name(layer)).collect();
        json!({
            "name": self.model, "library": self.library, "model": self.model,
            "channels": self.recipe.model.in_channels, "side": self.recipe.data.resolution_px,
            "gradients": gradients, "threads": THREADS,
        })
    }
}

const RECIPE: &str = r#"
[model]
arch = "ARCH"
[data]
dataset = "synthetic"
resolution_px = 64
synthetic_train_images = 8
synthetic_val_images = 8
[train]
epochs = 1
global_batch_size = 4
precision = "fp32"
memory_format = "contiguous"
[optim]
name = "sgd"
lr = 0.1
"#;

/// Imports the weights of each case, compares the results of both sides for the same images, and exports the weights again.
fn exchange(cases: &[Case], compare: impl Fn(&str, &Tensor, &Tensor)) {
    let _alone = alone();
    tch::set_num_threads(THREADS);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let list: Vec<_> = cases.iter().map(Case::description).collect();
    std::fs::write(folder.join("cases.json"), Value::from(list).to_string()).unwrap();
    let started = Script::start("exchange.py", folder).and_then(|mut script| {
        script.wait_for("given")?;
        Ok(script)
    });
    let mut script = match started {
        Ok(script) => script,
        Err(reason) => return println!("skipped: {reason}"),
    };
    for case in cases {
        import_and_compare(case, folder, &compare);
    }
    script.go_on();
    script.wait_for("taken").unwrap();
    for case in cases {
        let read = |kind: &str| file(folder, case, kind);
        assert_equal_to_the_bit(
            &format!("{} given back", case.model),
            &read("taken")["evaluation"],
            &read("given")["evaluation"],
        );
    }
}

fn file(folder: &Path, case: &Case, kind: &str) -> Tensors {
    tensor_file::read_all(&folder.join(format!("{}.{kind}.safetensors", case.model))).unwrap()
}

fn import_and_compare(case: &Case, folder: &Path, compare: &impl Fn(&str, &Tensor, &Tensor)) {
    let mut replica = Replica::new(&case.recipe, Device::Cpu).unwrap();
    let weights = folder.join(format!("{}.weights.safetensors", case.model));
    let loaded = Pretrained::read(&weights, replica.network()).unwrap();
    let (naming, found) = (loaded.naming, loaded.found.len());
    assert_eq!((naming, found), (case.naming, replica.network().tensors().len()), "{}", case.model);
    assert!(loaded.new_classifier.is_empty() && loaded.unused.is_empty(), "{}", case.model);
    loaded.fill(&mut replica);

    let given = file(folder, case, "given");
    let (images, labels) = (&given["images"], &given["labels"]);
    let what = |name: &str| format!("{}: {name}", case.model);
    let evaluation = tch::no_grad(|| replica.logits(&replica.model, images, Mode::Evaluation).unwrap());
    compare(&what("evaluation"), &evaluation, &given["evaluation"]);
    let logits = replica.logits(&replica.model, images, Mode::Training).unwrap();
    (summed_loss(&logits, labels, 0.0) / labels.size()[0] as f64).backward();
    compare(&what("logits"), &logits.detach(), &given["logits"]);
    for layer in &case.layers {
        let place = replica.specs.iter().position(|spec| spec.name == *layer).unwrap();
        let theirs = &given[&format!("gradient.{}", case.naming.name(layer))];
        compare(&what(layer), &replica.gradients.views[place], theirs);
    }
    export_weights(case, folder, &replica);
}

/// Exports the weights as from a checkpoint, through its file.
fn export_weights(case: &Case, folder: &Path, replica: &Replica) {
    let checkpoint = folder.join("model.safetensors");
    let tensors = replica.parameters.views.iter().chain(&replica.running.views);
    let names = replica.network().tensors().into_iter().map(|(name, _)| name);
    tensor_file::write(&checkpoint, names.zip(tensors)).unwrap();
    let own = Pretrained::read(&checkpoint, replica.network()).unwrap();
    assert_eq!((own.naming, own.found.len()), (Naming::Pycls, replica.network().tensors().len()));
    let all = tensor_file::read_all(&checkpoint).unwrap();
    let renamed = export::renamed(all, &checkpoint, replica.network(), case.naming, 0).unwrap();
    let tensors = renamed.iter().map(|(name, tensor)| (name.clone(), tensor));
    let bytes = tensor_file::bytes(tensors, None).unwrap();
    std::fs::write(folder.join(format!("{}.exported.safetensors", case.model)), bytes).unwrap();
    let original = file(folder, case, "weights");
    assert_eq!(renamed.keys().collect::<Vec<_>>(), original.keys().collect::<Vec<_>>(), "{}", case.model);
    for (name, tensor) in &renamed {
        assert_eq!((tensor.kind(), tensor.size()), (original[name].kind(), original[name].size()), "{name}");
        assert!(tensor.equal(&original[name]), "{}: {name}", case.model);
    }
}

/// The X and Y networks of torchvision in these sizes.
fn torchvision_cases(sizes: &[&str]) -> Vec<Case> {
    let name = |family: &str, size: &str| format!("regnet_{family}_{size}");
    let all = ["x", "y"].iter().flat_map(|family| sizes.iter().map(move |size| name(family, size)));
    all.map(|model| Case::of("torchvision", &model)).collect()
}

/// Python and its libraries take seconds to load, so one test has all cases.
#[test]
fn networks_of_torchvision_timm_and_the_book_give_the_same_results() {
    let mut cases = torchvision_cases(&["400mf", "800mf", "1_6gf", "3_2gf", "8gf"]);
    cases.push(Case::of_the_book());
    cases.extend(["regnetx_004", "regnetx_004_tv", "regnety_006"].map(|model| Case::of("timm", model)));
    let is_of_timm =
        |what: &str| cases.iter().any(|case| case.library == "timm" && what.starts_with(&case.model));
    exchange(&cases, |what, ours, theirs| match is_of_timm(what) {
        true => assert_close(what, &ours.to_kind(Kind::Double), &theirs.to_kind(Kind::Double), 1e-4),
        false => assert_equal_to_the_bit(what, ours, theirs),
    });
}
