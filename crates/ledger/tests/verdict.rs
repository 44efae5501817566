//! The ledgers of several ranks identify the rank that is behind, or the collective on which ranks disagree.

use expect_test::{Expect, expect};
use regatta_ledger::{Collective, Element, Entry, Operation, Snapshot, judge, mismatch};

fn all_reduce(bytes: u64) -> Collective {
    Collective { operation: Operation::AllReduce, element: Element::F32, bytes }
}

fn barrier() -> Collective {
    Collective { operation: Operation::Barrier, element: Element::U8, bytes: 0 }
}

/// The ledger of a rank on host n(rank / 2). Each step has two collectives, the second one smaller; those up to `last`
/// are entered and those up to `finished` are complete.
fn rank(rank: usize, last: u64, finished: u64) -> Snapshot {
    let entries = (last.saturating_sub(4).max(1)..=last).map(|sequence| Entry {
        sequence,
        step: sequence.div_ceil(2),
        collective: all_reduce(if sequence % 2 == 1 { 4 << 20 } else { 1 << 20 }),
        entered_ns: sequence,
        completed_ns: (sequence <= finished).then_some(sequence + 1),
    });
    Snapshot {
        rank,
        world_size: 4,
        host: format!("n{}", rank / 2),
        process_id: 1,
        nonce: 1,
        step: last.div_ceil(2),
        heartbeat_ns: 1,
        entries: entries.collect(),
    }
}

/// The same with the last collective replaced.
fn rank_calling(number: usize, last: u64, collective: Collective) -> Snapshot {
    let mut snapshot = rank(number, last, last - 1);
    snapshot.entries.last_mut().unwrap().collective = collective;
    snapshot
}

/// Wraps a long line for readable snapshots.
fn wrapped(line: &str) -> String {
    line.split(' ').fold(String::new(), |text, word| {
        let gap = match text.lines().last() {
            None => "",
            Some(last) if last.len() + word.len() >= 90 => "\n",
            Some(_) => " ",
        };
        text + gap + word
    })
}

fn check_verdict(snapshots: &[Snapshot], expected: &Expect) {
    let text = judge(snapshots).map_or_else(|| "nothing".to_owned(), |verdict| verdict.to_string());
    expected.assert_eq(&wrapped(&text));
    let reversed: Vec<_> = snapshots.iter().rev().cloned().collect();
    assert_eq!(judge(&reversed), judge(snapshots), "the order does not matter");
}

#[test]
fn ranks_between_collectives_give_no_verdict() {
    check_verdict(&[], &expect!["nothing"]);
    check_verdict(&[rank(0, 0, 0), rank(1, 0, 0)], &expect!["nothing"]);
    check_verdict(&[rank(0, 8, 8), rank(1, 7, 7)], &expect!["nothing"]);
}

#[test]
fn a_rank_that_did_not_enter_is_behind() {
    let waiting = |number| rank(number, 8, 7);
    check_verdict(
        &[waiting(0), waiting(1), waiting(2), rank(3, 7, 7)],
        &expect![[r#"
        rank 3 on n1 is behind: it last entered collective 7 (all_reduce of 4.0 MiB in f32, step
        4) and never entered collective 8 (all_reduce of 1.0 MiB in f32, step 4), in which ranks
        0, 1 and 2 wait"#]],
    );
    // Killed before it could record that 7 had finished.
    check_verdict(
        &[rank(0, 7, 6), waiting(1)],
        &expect![[r#"
        rank 0 on n0 is behind: it last entered collective 7 (all_reduce of 4.0 MiB in f32, step
        4) and never entered collective 8 (all_reduce of 1.0 MiB in f32, step 4), in which rank 1
        waits"#]],
    );
}

#[test]
fn several_ranks_may_be_behind() {
    check_verdict(
        &[rank(0, 8, 7), rank(1, 7, 7), rank(2, 7, 7), rank(3, 8, 7)],
        &expect![[r#"
        ranks 1 and 2 are behind: rank 1 on n0 and rank 2 on n1 last entered collective 7
        (all_reduce of 4.0 MiB in f32, step 4), and they never entered collective 8 (all_reduce of
        1.0 MiB in f32, step 4), in which ranks 0 and 3 wait"#]],
    );
    // 9 was a broadcast, which ranks 0, 1 and 3 did not have to wait in.
    check_verdict(
        &[rank(0, 10, 9), rank(1, 9, 9), rank(2, 8, 8), rank(3, 10, 9)],
        &expect![[r#"
            ranks 1 and 2 are behind: rank 1 on n0 last entered collective 9 (all_reduce of 4.0 MiB in
            f32, step 5), rank 2 on n1 last entered collective 8 (all_reduce of 1.0 MiB in f32, step
            4), and they never entered collective 10 (all_reduce of 1.0 MiB in f32, step 5), in which
            ranks 0 and 3 wait"#]],
    );
    let mut many: Vec<_> = (0..9).map(|number| rank(number, 7, 7)).collect();
    many.push(rank(9, 8, 7));
    check_verdict(
        &many,
        &expect![[r#"
        ranks 0 to 8 are behind: rank 0 on n0, rank 1 on n0, rank 2 on n1 and rank 3 on n1 last
        entered collective 7 (all_reduce of 4.0 MiB in f32, step 4), and so on, and they never
        entered collective 8 (all_reduce of 1.0 MiB in f32, step 4), in which rank 9 waits"#]],
    );
}

#[test]
fn a_rank_may_have_entered_nothing() {
    check_verdict(
        &[rank(0, 1, 0), rank(1, 1, 0), rank(2, 0, 0), rank(3, 1, 0)],
        &expect![[r#"
        rank 2 on n1 is behind: it entered nothing so far and never entered collective 1
        (all_reduce of 4.0 MiB in f32, step 1), in which ranks 0, 1 and 3 wait"#]],
    );
    check_verdict(
        &[rank(0, 1, 0), rank(1, 0, 0), rank(2, 0, 0), rank(3, 1, 0)],
        &expect![[r#"
        ranks 1 and 2 are behind: rank 1 on n0 and rank 2 on n1 entered nothing so far, and they
        never entered collective 1 (all_reduce of 4.0 MiB in f32, step 1), in which ranks 0 and 3
        wait"#]],
    );
}

#[test]
fn with_overlapping_collectives_the_first_one_not_entered_decides() {
    // Ranks 0 and 1 launched 8 to 10.
    check_verdict(
        &[rank(0, 10, 7), rank(1, 10, 7), rank(2, 7, 7)],
        &expect![[r#"
        rank 2 on n1 is behind: it last entered collective 7 (all_reduce of 4.0 MiB in f32, step
        4) and never entered collective 8 (all_reduce of 1.0 MiB in f32, step 4), in which ranks 0
        and 1 wait"#]],
    );
    // Rank 2 died after it had launched 8, which therefore finishes on no rank.
    check_verdict(
        &[rank(0, 10, 7), rank(1, 10, 7), rank(2, 8, 7)],
        &expect![[r#"
        rank 2 on n1 is behind: it last entered collective 8 (all_reduce of 1.0 MiB in f32, step
        4) and never entered collective 9 (all_reduce of 4.0 MiB in f32, step 5), in which ranks 0
        and 1 wait"#]],
    );
    // Rank 1 waits for rank 2 and thereby blocks rank 0.
    check_verdict(
        &[rank(0, 10, 9), rank(1, 9, 8), rank(2, 8, 8)],
        &expect![[r#"
        rank 2 on n1 is behind: it last entered collective 8 (all_reduce of 1.0 MiB in f32, step
        4) and never entered collective 9 (all_reduce of 4.0 MiB in f32, step 5), in which rank 1
        waits"#]],
    );
    // The root of a broadcast is done before the others have entered it, and waits in the next.
    check_verdict(
        &[rank(0, 10, 9), rank(1, 8, 8)],
        &expect![[r#"
        rank 1 on n0 is behind: it last entered collective 8 (all_reduce of 1.0 MiB in f32, step
        4) and never entered collective 10 (all_reduce of 1.0 MiB in f32, step 5), in which rank 0
        waits"#]],
    );
}

#[test]
fn a_collective_that_all_entered_may_not_finish() {
    let four = [rank(0, 9, 8), rank(1, 9, 8), rank(2, 9, 9), rank(3, 9, 9)];
    check_verdict(
        &four,
        &expect![[r#"
        all ranks entered collective 9 (all_reduce of 4.0 MiB in f32, step 5) and it does not
        finish on ranks 0 and 1"#]],
    );
    check_verdict(
        &four[..2],
        &expect![[r#"
        all ranks that have a ledger entered collective 9 (all_reduce of 4.0 MiB in f32, step 5)
        and it does not finish on ranks 0 and 1; there is no ledger of ranks 2 and 3"#]],
    );
    check_verdict(
        &[rank(0, 10, 8), rank(1, 10, 9), rank(2, 10, 9), rank(3, 10, 9)],
        &expect![[r#"
        all ranks entered collective 9 (all_reduce of 4.0 MiB in f32, step 5) and it does not
        finish on rank 0"#]],
    );
}

#[test]
fn ranks_may_disagree() {
    let broadcast = Collective { operation: Operation::Broadcast, element: Element::U8, bytes: 8 };
    check_verdict(
        &[rank(0, 8, 7), rank_calling(1, 8, broadcast)],
        &expect![[r#"
        ranks 0 and 1 disagree on collective 8: rank 0 called all_reduce of 1.0 MiB in f32 (step
        4), rank 1 called broadcast of 8 B in u8 (step 4)"#]],
    );
    // The size differs by one element.
    check_verdict(
        &[rank(0, 8, 7), rank_calling(1, 8, all_reduce((1 << 20) + 4))],
        &expect![[r#"
        ranks 0 and 1 disagree on collective 8: rank 0 called all_reduce of 1048576 B in f32 (step
        4), rank 1 called all_reduce of 1048580 B in f32 (step 4)"#]],
    );
    // Rank 0, which is behind, cannot tell, but ranks 1 and 2 differ.
    check_verdict(
        &[rank(0, 7, 7), rank(1, 8, 7), rank_calling(2, 8, barrier())],
        &expect![[r#"
        ranks 1 and 2 disagree on collective 8: rank 1 called all_reduce of 1.0 MiB in f32 (step
        4), rank 2 called barrier (step 4)"#]],
    );
    // The first of several counts.
    let three = [rank(0, 8, 7), rank_calling(1, 8, barrier()), rank_calling(2, 7, barrier())];
    check_verdict(
        &three,
        &expect![[r#"
        ranks 0 and 2 disagree on collective 7: rank 0 called all_reduce of 4.0 MiB in f32 (step
        4), rank 2 called barrier (step 4)"#]],
    );
}

#[test]
fn two_ledgers_are_compared_where_both_still_have_entries() {
    assert_eq!(mismatch(&rank(0, 8, 7), &rank(1, 3, 3)), None);
    assert_eq!(mismatch(&rank(0, 8, 7), &rank(1, 9, 9)), None);
    let verdict = mismatch(&rank(1, 10, 9), &rank_calling(0, 8, barrier())).unwrap();
    expect![[r#"
        ranks 1 and 0 disagree on collective 8: rank 1 called all_reduce of 1.0 MiB in f32 (step
        4), rank 0 called barrier (step 4)"#]]
    .assert_eq(&wrapped(&verdict.to_string()));
}
