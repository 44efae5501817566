//! fp16 with its loss scale, the automatic choice of precision and memory format by timing, and `trainer probe`.

use std::fs;

use serde_json::Value;

use test_jobs::{TINY, Workdir, newest_step, repeatable_metrics};

#[test]
fn fp16_trains_with_a_loss_scale_and_resumes_exactly() {
    let workdir = Workdir::new(TINY);
    let options = "train.precision=fp16 checkpoint.keep=100";
    workdir.train(&format!("--name whole {options}")).ranks(2).ends_with(0).says(", fp16, ");
    let parts = format!("--name parts --resume auto {options}");
    workdir.train(&format!("{parts} train.max_steps=2")).ranks(2).ends_with(0);
    workdir.train(&parts).ranks(2).ends_with(0);
    let [whole, parts] = ["whole", "parts"].map(|name| workdir.run(name));
    assert_eq!(repeatable_metrics(&whole), repeatable_metrics(&parts));
    let newest = whole.checkpoint(newest_step(&whole));
    for file in ["model.safetensors", "optimizer.safetensors", "state.json"] {
        let other = parts.checkpoint(newest_step(&parts)).join(file);
        assert!(fs::read(newest.join(file)).unwrap() == fs::read(other).unwrap(), "{file} differs");
    }
    let state: Value = serde_json::from_slice(&fs::read(newest.join("state.json")).unwrap()).unwrap();
    assert_eq!(state["updates"].as_u64().unwrap() + state["skipped"].as_u64().unwrap(), 6);
    let finite_steps = state["loss_scale"]["finite_steps"].as_u64().unwrap();
    assert!(state["loss_scale"]["scale"].as_f64().unwrap() >= 1.0 && finite_steps <= 6, "{state}");
}

/// Only settings that are "auto" are timed, and only possible values: bf16 if the processor supports it.
#[test]
fn precision_and_memory_format_are_timed_together_once_and_kept() {
    let workdir = Workdir::new(TINY);
    let in_config = |name: &str| {
        let config = fs::read_to_string(workdir.run(name).config()).unwrap();
        let word = |key: &str| {
            let line = config.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
            line.unwrap().trim_matches('"').to_owned()
        };
        format!("{}, {}", word("precision"), word("memory_format"))
    };
    let timed = |stderr: &str| -> Vec<String> {
        stderr.lines().filter(|line| line.contains("\"auto\" takes")).map(str::to_owned).collect()
    };
    for (name, open) in [
        ("both", "train.precision=auto train.memory_format=auto"),
        ("format", "train.memory_format=auto"),
        ("precision", "train.precision=auto"),
    ] {
        let options = format!("--name {name} --resume auto {open}");
        let ended = workdir.train(&format!("{options} train.max_steps=1")).ranks(2).ends_with(0);
        let taken = in_config(name);
        let lines = timed(&ended.stderr);
        match &lines[..] {
            // A single possible value is not timed.
            [] => assert_eq!((name, &taken[..]), ("precision", "fp32, channels_last")),
            [line] => {
                let candidates = line.matches(" ms in ").count();
                assert!(
                    line.contains(&format!("takes {taken}: forward and backward of 4 images took ")),
                    "{line}"
                );
                assert!(
                    if name == "both" { [2, 4].contains(&candidates) } else { candidates == 2 },
                    "{line}"
                );
                assert!(name != "format" || !line.contains("bf16"), "{line}");
            }
            more => panic!("{more:?}"),
        }
        let again = workdir.train(&options).ends_with(0);
        assert!(timed(&again.stderr).is_empty(), "{again}");
        assert_eq!(in_config(name), taken);
    }
    let given = "--name given train.precision=bf16 train.memory_format=contiguous";
    let exact = "--name exact train.deterministic=true train.precision=auto train.memory_format=auto";
    for (options, name, taken) in
        [(given, "given", "bf16, contiguous"), (exact, "exact", "fp32, channels_last")]
    {
        let ended = workdir.train(&format!("{options} train.max_steps=1")).ends_with(0);
        assert!(timed(&ended.stderr).is_empty(), "{ended}");
        assert_eq!(in_config(name), taken);
    }
}

#[test]
fn probe_measures_one_rank_and_several() {
    let workdir = Workdir::new(TINY);
    let found = |ranks: Option<usize>| -> Value {
        let job = workdir.trainer(&["probe", "--json", "--cpu", "--config", "recipe.toml", "--steps", "1"]);
        let job = match ranks {
            Some(ranks) => job.ranks(ranks),
            None => job,
        };
        serde_json::from_str(&job.ends_with(0).stdout).unwrap()
    };
    for (ranks, backend) in [(None, "single"), (Some(2), "Open MPI")] {
        let found = found(ranks);
        assert_eq!(found["world_size"].as_u64(), Some(ranks.unwrap_or(1) as u64));
        assert!(found["backend"].as_str().unwrap().contains(backend) || ranks.is_some(), "{found}");
        let sums = found["all_reduce"].as_array().unwrap();
        assert_eq!(sums.len() > 3, ranks.is_some(), "{found}");
        assert!(ranks.is_some() || sums.is_empty(), "{found}");
        assert!(sums.iter().all(|sum| sum["correct"] == true), "{found}");
        assert!(found["libtorch_version"].as_str().unwrap().starts_with("2.11."), "{found}");
        assert!(found["loader_images_per_second"].as_f64().unwrap() > 0.0, "{found}");
        let peers = found["ranks"].as_array().unwrap();
        assert_eq!(peers.len(), ranks.unwrap_or(1));
        assert!(peers.iter().all(|peer| peer["device"] == "cpu"), "{found}");
        let step = (&found["step"]["precision"], &found["step"]["memory_format"]);
        assert_eq!(step, (&"fp32".into(), &"channels_last".into()));
        let clocks = peers.iter().map(|peer| peer["clock_s"].as_f64().unwrap());
        let (first, last) = clocks.fold((f64::MAX, 0.0), |(a, b), clock| (clock.min(a), clock.max(b)));
        assert!(last - first < 1.0, "{found}");
        assert_eq!((&found["device"], &found["hooks_run_on_engine_threads"]), (&"cpu".into(), &false.into()));
    }
    let refused = workdir.trainer(&["probe", "--cpu", "--config", "none.toml"]).ends_with(2);
    _ = refused.says("cannot read the recipe none.toml");
    let table = workdir.trainer(&["probe", "--cpu"]).ends_with(0).stdout;
    assert!(
        table.starts_with("1 rank over single, cpu, ")
            && table.contains("no all-reduces: a single rank has no peers"),
        "{table}"
    );
}

/// For comparisons with another program, `--in-turn` answers each line of input with one line of JSON, then prints the findings.
#[test]
fn probe_takes_its_steps_in_turn_with_another_program() {
    let workdir = Workdir::new(TINY);
    let probe = ["probe", "--json", "--cpu", "--config", "recipe.toml", "--steps", "2", "--in-turn"];
    let with_two_requests = ["sh", "-c", r#"printf '\n\n' | "$0" "$@""#];
    let output = workdir.trainer(&probe).under(&with_two_requests).ends_with(0).stdout;
    let answers = serde_json::Deserializer::from_str(&output).into_iter::<Value>();
    let answers: Vec<Value> = answers.map(Result::unwrap).collect();
    assert_eq!(answers.len(), 3, "{output}");
    for window in &answers[..2] {
        assert!(window["images_per_second"].as_f64().unwrap() > 0.0, "{output}");
        assert!(window["seconds_to_first_step"].as_f64().unwrap() > 0.0, "{output}");
    }
    assert_eq!(answers[2]["step"], answers[1]);
    assert_eq!(output.lines().take(2).filter(|line| line.ends_with('}')).count(), 2, "{output}");

    // Without requests, the rate is that of the first steps.
    let never = workdir.trainer(&probe).ranks(2).ends_with(0).stdout;
    let found: Value = serde_json::from_str(&never).unwrap();
    assert!(found["step"]["images_per_second"].as_f64().unwrap() > 0.0, "{found}");
    let refused = workdir.trainer(&["probe", "--cpu", "--config", "recipe.toml", "--in-turn"]).ends_with(2);
    _ = refused.says("--steps");
}
