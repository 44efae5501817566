//! Claims, the lock and the file of results.

use std::fs::{self, File, FileTimes};
use std::time::{Duration, SystemTime};

use regatta_sweep::{Claim, Lock, Owner, SweepFolder, claims, results};

use crate::result::result;
use regatta_sweep::End;

fn folder() -> (tempfile::TempDir, SweepFolder) {
    let root = tempfile::tempdir().unwrap();
    let folder = SweepFolder::new(root.path());
    fs::create_dir(folder.claims()).unwrap();
    (root, folder)
}

fn claim(id: &str, owner: Owner) -> Claim {
    Claim { id: id.into(), epochs: 3, owner }
}

fn lock(folder: &SweepFolder) -> Lock {
    Lock::acquire(&folder.lock()).unwrap()
}

/// An owner on a host that is not this one.
fn elsewhere() -> Owner {
    serde_json::from_str(r#"{"host": "b", "process_id": 1, "token": "another boot 77"}"#).unwrap()
}

#[test]
fn claims_are_in_force_until_they_are_given_back() {
    let (_root, folder) = folder();
    let own = claim("x-000", Owner::here());
    claims::take(&folder, &own, &lock(&folder)).unwrap();
    assert_eq!(claims::in_force(&folder, &lock(&folder)).unwrap(), std::slice::from_ref(&own));
    assert!(claims::renew(&folder, &own).unwrap());
    claims::give_back(&folder, &own, &lock(&folder)).unwrap();
    assert_eq!(claims::in_force(&folder, &lock(&folder)).unwrap(), []);
    assert!(!claims::renew(&folder, &own).unwrap(), "nothing to renew");
}

#[test]
fn a_claim_of_another_host_lasts_for_its_lease() {
    let (_root, folder) = folder();
    let theirs = claim("x-000", elsewhere());
    claims::take(&folder, &theirs, &lock(&folder)).unwrap();
    let renewed = |age: Duration| {
        let times = FileTimes::new().set_modified(SystemTime::now() - age);
        File::options().write(true).open(folder.claim("x-000")).unwrap().set_times(times).unwrap();
    };
    renewed(claims::LEASE - Duration::from_secs(30));
    assert_eq!(claims::in_force(&folder, &lock(&folder)).unwrap(), std::slice::from_ref(&theirs));
    renewed(claims::LEASE + Duration::from_secs(1));
    assert_eq!(claims::in_force(&folder, &lock(&folder)).unwrap(), []);
    assert!(claims::renew(&folder, &theirs).unwrap());
    assert_eq!(claims::in_force(&folder, &lock(&folder)).unwrap(), [theirs], "renewed in time after all");
}

#[test]
fn the_claim_of_a_process_that_was_killed_ends_with_it() {
    let (_root, folder) = folder();
    let mut process = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let theirs = claim("x-000", Owner::of_process(process.id()));
    claims::take(&folder, &theirs, &lock(&folder)).unwrap();
    assert_eq!(claims::in_force(&folder, &lock(&folder)).unwrap(), [theirs]);
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(claims::in_force(&folder, &lock(&folder)).unwrap(), []);
}

#[test]
fn who_lost_a_claim_does_not_give_it_back() {
    let (_root, folder) = folder();
    let (own, theirs) = (claim("x-000", Owner::here()), claim("x-000", elsewhere()));
    claims::take(&folder, &own, &lock(&folder)).unwrap();
    claims::take(&folder, &theirs, &lock(&folder)).unwrap();
    assert!(!claims::renew(&folder, &own).unwrap());
    assert!(!claims::is_held(&folder, &own));
    claims::give_back(&folder, &own, &lock(&folder)).unwrap();
    assert!(claims::is_held(&folder, &theirs));
}

#[test]
fn a_claim_that_was_cut_short_is_none() {
    let (_root, folder) = folder();
    fs::write(folder.claim("x-000"), "{\"id\": \"x-0").unwrap();
    assert_eq!(claims::in_force(&folder, &lock(&folder)).unwrap(), []);
}

#[test]
fn one_holds_the_lock_at_a_time() {
    let (_root, folder) = folder();
    let path = folder.lock();
    let counter = std::sync::Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    let _lock = Lock::acquire(&path).unwrap();
                    // Two holders would find the other one's guard.
                    *counter.try_lock().expect("the lock has one holder") += 1;
                }
            });
        }
    });
    assert_eq!(*counter.lock().unwrap(), 100);
}

#[test]
fn the_last_line_of_a_trial_counts_and_a_torn_one_is_removed() {
    let (_root, folder) = folder();
    let path = folder.results();
    assert_eq!(results::read(&path).unwrap(), []);
    let failed = result("x-000", End::Failed { cause: "killed".into(), exit_code: 137 });
    results::append(&path, &failed, &lock(&folder)).unwrap();
    results::append(&path, &result("x-001", End::Done), &lock(&folder)).unwrap();
    let complete = fs::read(&path).unwrap();
    fs::write(&path, [&complete[..], b"{\"id\": \"x-00"].concat()).unwrap();
    assert_eq!(results::read(&path).unwrap().len(), 2, "an interrupted write");
    results::append(&path, &result("x-000", End::Done), &lock(&folder)).unwrap();
    let known = results::read(&path).unwrap();
    assert_eq!(known.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["x-000", "x-001"]);
    assert_eq!(known[0].end, End::Done);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
}

#[test]
fn a_line_that_is_no_result_is_named() {
    let (_root, folder) = folder();
    fs::write(folder.results(), "{}\n").unwrap();
    let error = results::read(&folder.results()).unwrap_err().to_string();
    assert!(error.contains("line 1 is not a result of a sweep: missing field"), "{error}");
}
