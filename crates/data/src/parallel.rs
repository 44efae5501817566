//! Work on many folders or files at a time, whose results keep their order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// Number of threads. They mostly wait for the file system, so it does not depend on the number of cores.
const THREADS: usize = 16;

/// Called with (done, total) whenever a class folder, shard or file is done, on the caller's thread.
pub type Progress<'a> = &'a dyn Fn(usize, usize);

/// Returns `work` of every item, in the items' order. `done` is called on this thread with the number of finished items.
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    done: &mut dyn FnMut(usize),
) -> Vec<R> {
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    let (next, (sender, receiver)) = (AtomicUsize::new(0), mpsc::sync_channel(THREADS));
    thread::scope(|scope| {
        for _ in 0..THREADS.min(items.len()) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                while let Some((index, item)) = nth(items, next.fetch_add(1, Ordering::Relaxed)) {
                    if sender.send((index, work(item))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (count, (index, result)) in receiver.iter().enumerate() {
            results[index] = Some(result);
            done(count + 1);
        }
    });
    results.into_iter().map(|result| result.expect("a worker that panics ends the scope")).collect()
}

fn nth<T>(items: &[T], index: usize) -> Option<(usize, &T)> {
    Some((index, items.get(index)?))
}
