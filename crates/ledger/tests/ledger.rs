//! A ledger outlives its process, readers never see torn entries, and invalid files are reported.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use expect_test::expect;
use regatta_ledger::{Collective, Element, Ledger, Operation, Snapshot, publish_leftover};
use regatta_run_folder::describe;

const HEADER_BYTES: usize = 16 * 8;
const ENTRY_BYTES: usize = 8 * 8;

fn all_reduce(bytes: u64) -> Collective {
    Collective { operation: Operation::AllReduce, element: Element::F32, bytes }
}

fn barrier() -> Collective {
    Collective { operation: Operation::Barrier, element: Element::U8, bytes: 0 }
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

fn sequences(snapshot: &Snapshot) -> Vec<u64> {
    snapshot.entries.iter().map(|entry| entry.sequence).collect()
}

#[test]
fn threads_may_share_a_ledger() {
    fn check<T: Send + Sync>() {}
    check::<Ledger>();
}

#[test]
fn the_ledger_its_file_and_the_published_copy_are_equal() {
    let folder = tempfile::tempdir().unwrap();
    let (mapped, published) = (folder.path().join("mapped"), folder.path().join("published"));
    let before = now_ns();
    let ledger = Ledger::create(&mapped, 3, 8).unwrap();
    ledger.set_step(102);
    assert_eq!(ledger.enter(all_reduce(4 << 20)), 1);
    assert_eq!(ledger.enter(barrier()), 2);
    ledger.complete(1);
    ledger.publish(&published).unwrap();

    let snapshot = ledger.snapshot();
    assert_eq!(Snapshot::read(&mapped).unwrap(), snapshot);
    assert_eq!(Snapshot::read(&published).unwrap(), snapshot);
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!((snapshot.rank, snapshot.world_size, snapshot.step), (3, 8, 102));
    assert_eq!((snapshot.host.as_str(), snapshot.process_id), (host.trim(), std::process::id()));
    let [first, second] = snapshot.entries[..] else { panic!("{snapshot:?}") };
    assert_eq!((first.sequence, first.step, first.collective), (1, 102, all_reduce(4 << 20)));
    assert_eq!((second.sequence, second.step, second.collective), (2, 102, barrier()));
    let completed = first.completed_ns.unwrap();
    let times = [before, first.entered_ns, second.entered_ns, completed, snapshot.heartbeat_ns, now_ns()];
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(second.completed_ns, None);
    assert_eq!((snapshot.last_entered(), snapshot.oldest_unfinished()), (Some(&second), Some(&second)));
}

#[test]
fn every_operation_and_element_type_round_trips_through_the_file() {
    use Element::{Bf16, F16, F32, F64, I64, U8};
    use Operation::{AllGather, AllReduce, AllReduceCounts, Barrier, Broadcast, ReduceScatter};
    let operations = [AllReduce, AllReduceCounts, Broadcast, AllGather, ReduceScatter, Barrier];
    let elements = [F32, F64, F16, Bf16, I64, U8];
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::create(&folder.path().join("mapped"), 0, 1).unwrap();
    for (k, (operation, element)) in operations.into_iter().zip(elements).enumerate() {
        ledger.enter(Collective { operation, element, bytes: 300 << (10 * k) });
    }
    let listing: String = ledger.snapshot().entries.iter().map(|entry| format!("{entry}\n")).collect();
    expect![[r#"
        collective 1 (all_reduce of 300 B in f32, step 0)
        collective 2 (all_reduce_counts of 300.0 KiB in f64, step 0)
        collective 3 (broadcast of 300.0 MiB in f16, step 0)
        collective 4 (all_gather of 300.0 GiB in bf16, step 0)
        collective 5 (reduce_scatter of 300.0 TiB in i64, step 0)
        collective 6 (barrier of 307200.0 TiB in u8, step 0)
    "#]]
    .assert_eq(&listing);
    assert_eq!(
        format!("{} {:#} {:#}", barrier(), barrier(), all_reduce(4096)),
        "barrier barrier all_reduce of 4096 B in f32"
    );
}

#[test]
fn the_ring_keeps_the_newest_1024_entries() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mapped");
    let ledger = Ledger::create(&path, 0, 1).unwrap();
    for step in 1..=2500 {
        ledger.set_step(step);
        assert_eq!(ledger.enter(all_reduce(8 * step)), step);
    }
    let snapshot = Snapshot::read(&path).unwrap();
    assert_eq!(sequences(&snapshot), Vec::from_iter(1477..=2500));
    assert!(snapshot.entries.iter().all(|e| e.step == e.sequence && e.collective.bytes == 8 * e.sequence));
}

#[test]
fn a_completion_marks_its_own_entry_only_and_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::create(&folder.path().join("mapped"), 0, 1).unwrap();
    (0..1030).for_each(|_| _ = ledger.enter(barrier()));
    // The ring has overwritten 3 by 1027; 2000 was never entered.
    [3, 2000].into_iter().for_each(|sequence| ledger.complete(sequence));
    assert!(ledger.snapshot().entries.iter().all(|entry| entry.completed_ns.is_none()));

    [7, 8, 1027].into_iter().for_each(|sequence| ledger.complete(sequence));
    let snapshot = ledger.snapshot();
    let finished = snapshot.entries.iter().filter(|entry| entry.completed_ns.is_some());
    assert_eq!(Vec::from_iter(finished.map(|entry| entry.sequence)), [7, 8, 1027]);
    assert_eq!(snapshot.oldest_unfinished().unwrap().sequence, 9);
    ledger.complete(7);
    assert_eq!(ledger.snapshot(), snapshot);
}

#[test]
fn a_new_ledger_replaces_the_file_and_leaves_the_old_mapping_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mapped");
    let old = Ledger::create(&path, 0, 2).unwrap();
    old.enter(barrier());
    let new = Ledger::create(&path, 1, 2).unwrap();
    old.enter(barrier());
    assert_eq!((old.snapshot().entries.len(), new.snapshot().entries.len()), (2, 0));
    assert_eq!(Snapshot::read(&path).unwrap(), new.snapshot());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn only_remove_deletes_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mapped");
    let ledger = Ledger::create(&path, 1, 2).unwrap();
    ledger.enter(all_reduce(1024));
    let snapshot = ledger.snapshot();
    drop(ledger);
    // Equivalent to `kill -9`: nothing was flushed or closed.
    assert_eq!(Snapshot::read(&path).unwrap(), snapshot);

    let ledger = Ledger::create(&path, 1, 2).unwrap();
    ledger.remove();
    ledger.remove();
    assert!(!path.exists());
    assert_eq!(ledger.enter(barrier()), 1);
}

/// The process was killed some time after it had last published its ledger.
#[test]
fn the_ledger_of_a_killed_process_can_be_published_by_another() {
    let root = tempfile::tempdir().unwrap();
    let (leftover, published) = (root.path().join("leftover"), root.path().join("published"));
    let ledger = Ledger::create(&leftover, 1, 2).unwrap();
    ledger.publish(&published).unwrap();
    ledger.enter(all_reduce(8));
    drop(ledger);
    assert_eq!(Snapshot::read(&published).unwrap().last_entered(), None);
    publish_leftover(&leftover, &published).unwrap();
    assert_eq!(Snapshot::read(&published).unwrap().last_entered().unwrap().collective, all_reduce(8));
}

#[test]
fn errors_name_a_missing_folder() {
    let path = Path::new("/nowhere/rank-0000.ledger");
    let created = describe(&Ledger::create(path, 0, 1).unwrap_err());
    assert_eq!(created, "cannot write /nowhere/rank-0000.ledger: No such file or directory (os error 2)");
    let read = describe(&Snapshot::read(path).unwrap_err());
    assert_eq!(read, "cannot read /nowhere/rank-0000.ledger: No such file or directory (os error 2)");
}

#[test]
fn damaged_files_are_rejected_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mapped");
    let ledger = Ledger::create(&path, 0, 2).unwrap();
    (0..3).for_each(|_| _ = ledger.enter(barrier()));
    drop(ledger);
    let good = fs::read(&path).unwrap();
    let with = |at: usize, word: u64| {
        let mut bytes = good.clone();
        bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        bytes
    };
    let second = HEADER_BYTES + ENTRY_BYTES;
    let check = |bytes: &[u8], expected: &str| {
        fs::write(&path, bytes).unwrap();
        let error = describe(&Snapshot::read(&path).unwrap_err());
        assert_eq!(error, format!("{}: {expected}", path.display()));
    };
    check(b"", "not a ledger: 0 bytes long");
    check(b"{\"a\": 1, \"b\": 2}", r#"not a ledger: it begins with "{\"a\": 1,""#);
    check(&with(8, 2), "ledger of version 2, but this program reads version 1");
    check(&with(8, 2)[..100], "ledger of version 2, but this program reads version 1");
    check(&good[..40_000], "truncated ledger: 40000 of 65664 bytes");
    check(&[&good[..], b"x"].concat(), "longer than the 65664 bytes of a ledger");
    check(&with(16, 2), "the ledger claims to be of rank 2 in a world of 2 ranks");
    check(&with(second + 16, 7), "collective 2 has the unknown operation 7");
    check(&with(second + 24, 0), "collective 2 has the unknown element 0");
    fs::write(&path, with(second, 0)).unwrap();
    assert_eq!(sequences(&Snapshot::read(&path).unwrap()), [1, 3], "an entry that was being rewritten");
}

/// Runs concurrent writers and checks the file and the ledger until the last writer is done.
fn hammer(writers: &[fn(&Ledger)], check: fn(&Snapshot)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mapped");
    let ledger = Ledger::create(&path, 0, 1).unwrap();
    let running = AtomicUsize::new(writers.len());
    let read = || [Snapshot::read(&path).unwrap(), ledger.snapshot()];
    thread::scope(|scope| {
        for write in writers {
            scope.spawn(|| {
                write(&ledger);
                running.fetch_sub(1, Relaxed);
            });
        }
        while running.load(Relaxed) > 0 {
            read().iter().for_each(check);
        }
    });
    for snapshot in read() {
        check(&snapshot);
        let last = snapshot.last_entered().unwrap().sequence;
        assert_eq!(sequences(&snapshot), Vec::from_iter(last - 1023..=last));
    }
}

#[test]
fn readers_see_only_complete_entries() {
    let write = |ledger: &Ledger| {
        for sequence in 1..=300_000 {
            ledger.set_step(sequence);
            assert_eq!(ledger.enter(all_reduce(sequence)), sequence);
            ledger.complete(sequence.saturating_sub(3).max(1));
        }
    };
    hammer(&[write], |snapshot| {
        assert!(snapshot.entries.is_sorted_by_key(|entry| entry.sequence));
        for entry in &snapshot.entries {
            assert_eq!((entry.step, entry.collective.bytes), (entry.sequence, entry.sequence));
            assert!(entry.completed_ns.is_none_or(|completed| completed >= entry.entered_ns), "{entry:?}");
        }
    });
}

#[test]
fn concurrent_writers_never_mix_their_entries() {
    fn write(ledger: &Ledger, collective: Collective) {
        (0..150_000).for_each(|_| ledger.complete(ledger.enter(collective)));
    }
    let writers: [fn(&Ledger); 2] =
        [|ledger| write(ledger, all_reduce(4096)), |ledger| write(ledger, barrier())];
    hammer(&writers, |snapshot| {
        assert!(snapshot.entries.is_sorted_by(|left, right| left.sequence < right.sequence));
        let known = [all_reduce(4096), barrier()];
        assert!(snapshot.entries.iter().all(|entry| known.contains(&entry.collective)));
    });
}

#[test]
fn a_ledger_in_memory_is_found_by_its_process() {
    let memory = tempfile::tempdir().unwrap();
    let name = |rank: usize| format!("regatta-{}-0000abcd-rank-{rank:04}.ledger", std::process::id());
    let ledger = Ledger::create(&memory.path().join(name(3)), 3, 8).unwrap();
    let published = ledger.snapshot();
    let earlier = Ledger::create(&memory.path().join(name(3).replace("abcd", "0000")), 3, 8).unwrap();
    Ledger::create(&memory.path().join(name(4)), 4, 8).unwrap();
    ledger.enter(barrier());
    let found = published.in_memory(memory.path()).unwrap();
    assert_eq!((sequences(&published), sequences(&found), found.rank), (vec![], vec![1], 3));
    // The ledger of another process with the same ID, as after a reboot, is not used.
    earlier.remove();
    ledger.remove();
    assert_eq!(published.in_memory(memory.path()), None);
    let elsewhere = Snapshot {
        host: "elsewhere".into(),
        ..Ledger::create(&memory.path().join(name(3)), 3, 8).unwrap().snapshot()
    };
    assert_eq!(elsewhere.in_memory(memory.path()), None);
}
