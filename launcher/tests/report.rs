//! `launcher report` of real runs: the table, JSON, the page, and what is rejected.

use std::fs;

use serde_json::Value;
use test_jobs::{TINY, Workdir, list};

#[test]
fn two_runs_are_compared_in_the_terminal_as_json_and_as_a_page() {
    let workdir = Workdir::new(TINY);
    workdir.train("--name a").ends_with(0);
    workdir.train("--name b optim.lr=0.02 train.max_steps=2").ends_with(0);
    workdir.trainer(&["evaluate", "--checkpoint", "runs/a", "--save"]).ends_with(0);

    let text = workdir.launcher("report runs/a runs/b").ends_with(0).stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("run  state  epochs  steps  "), "{text}");
    assert!(lines[1].starts_with("a     done     2/2      6  ") && lines[2].contains("    2  "), "{text}");
    assert!(text.contains("\noptim.lr ") && text.contains("\ntrain.max_steps     -     2\n"), "{text}");

    let json = workdir.launcher("report runs/a runs/b --json").ends_with(0).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["runs"][0]["steps"], &json["runs"][0]["state"]), (&6.into(), &"done".into()));
    let keys: Vec<&Value> = json["differences"].as_array().unwrap().iter().map(|it| &it["key"]).collect();
    assert!(keys.contains(&&"optim.lr".into()), "{keys:?}");

    workdir.launcher("report runs/a runs/b --html page.html").ends_with(0);
    let document = document(&workdir);
    let run = &document["runs"][0];
    assert_eq!((&run["label"], &run["attempts"][0]["exit_code"]), (&"a".into(), &0.into()));
    let evaluation = &run["evaluations"][0];
    let worst = evaluation["worst"].as_array().unwrap();
    let wrong = (1.0 - evaluation["top1"].as_f64().unwrap()) * evaluation["images"].as_f64().unwrap();
    assert_eq!(worst.len(), (wrong.round_ties_even() as usize).min(24));
    assert!(
        evaluation["pictures"]
            .as_array()
            .unwrap()
            .iter()
            .all(|it| it.as_str().unwrap().starts_with("data:image/png"))
    );
    assert_eq!(list(&workdir.run("a").evaluations()).len(), worst.len() + 1);
}

/// A plan may be saved before the run starts; what the run reaches is then shown beside it.
#[test]
fn a_run_is_compared_with_its_plan() {
    let workdir = Workdir::new(TINY);
    let plan = "plan --config recipe.toml --gpus-per-node 2 --step-ms 1 --save runs/planned";
    workdir.launcher(plan).ends_with(0);
    workdir.launcher(plan).ends_with(2).says("runs/planned/plan.json exists already");
    workdir.launcher("report runs/planned").ends_with(2).says("no run was started there");
    workdir.train("--name planned").ends_with(0);
    workdir.train("--name planned --resume auto train.epochs=3").ranks(2).ends_with(0);

    let file = fs::read_to_string(workdir.run("planned").plan()).unwrap();
    let plan: Value = serde_json::from_str(&file).unwrap();
    let [alone, both] = [0, 1].map(|row: usize| plan["rows"][row]["images_per_second"].as_f64().unwrap());
    assert!(alone < both, "{plan}");
    let json = workdir.launcher("report runs/planned --json --html page.html").ends_with(0).stdout;
    let summary: Value = serde_json::from_str(&json).unwrap();
    // The median of all records, most of which are of one rank.
    assert_eq!(summary["runs"][0]["planned_images_per_second"], alone);
    let planned =
        &document(&workdir)["runs"][0]["curves"]["steps"]["series"]["planned_images_per_second"]["values"];
    let rounded = |rate: f64| format!("{rate:.5e}").parse::<f64>().unwrap();
    // Two epochs on one rank, and one on two.
    let expected = [vec![rounded(alone); 6], vec![rounded(both); 3]].concat();
    assert_eq!(planned.as_array().unwrap(), &expected.into_iter().map(Value::from).collect::<Vec<_>>());

    fs::write(workdir.run("planned").plan(), "{}").unwrap();
    let text = workdir.launcher("report runs/planned").ends_with(0).stdout;
    assert!(
        text.contains(
            "note: runs/planned/plan.json: not what `launcher plan --save` writes: missing field `schema`"
        ),
        "{text}"
    );
}

/// A pipe would wait for a writer.
#[test]
fn folders_with_pipes_in_place_of_files_are_read_as_far_as_possible() {
    let workdir = Workdir::new(TINY);
    workdir.train("--name piped").ends_with(0);
    let run = workdir.run("piped");
    let pipes = [run.metrics(), run.config(), run.plan(), run.attempt(2), run.ledger(1), run.failure(1)];
    for pipe in &pipes {
        _ = fs::remove_file(pipe);
        assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
    }
    fs::write(run.attempt(30_000_000), "").unwrap(); // of thirty million attempts only this one is there
    let text = workdir.launcher("report runs/piped").ends_with(0).stdout;
    assert!(text.contains("note: runs/piped/attempts/30000000: not a record of an attempt"), "{text}");
    for pipe in ["metrics.jsonl", "config.toml", "plan.json", "attempts/000002"] {
        let note = format!("note: cannot read runs/piped/{pipe}: not a regular file\n");
        assert!(text.contains(&note), "{text}");
    }
}

/// The document in `page.html`.
fn document(workdir: &Workdir) -> Value {
    let page = fs::read_to_string(workdir.path().join("page.html")).unwrap();
    let (_, rest) = page.split_once("id=\"document\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn folders_without_a_run_and_existing_pages_are_rejected() {
    let workdir = Workdir::new(TINY);
    let refused = |arguments: &str, code: i32| workdir.launcher(arguments).ends_with(code).stderr;
    let not_a_run = "error: .: no run was started there: give a run folder, such as runs/regnetx\n";
    assert_eq!(refused("report .", 2), not_a_run);
    assert!(
        refused("report runs/nothing --html page.html", 2).starts_with("error: runs/nothing: no run was ")
    );
    assert!(refused("report", 2).contains("<RUN>"));
    fs::write(workdir.path().join("page.html"), "mine").unwrap();
    let exists = "error: page.html exists already: give another name, or --force to replace it\n";
    assert_eq!(refused("report . --html page.html", 2), exists);
    assert_eq!(fs::read_to_string(workdir.path().join("page.html")).unwrap(), "mine");
}
