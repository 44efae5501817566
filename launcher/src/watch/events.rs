//! Server-sent events about runs: the newest document whenever they change.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;

use super::library::{Library, Stamp};

/// Interval at which the files are looked at, and least interval between two events.
const INTERVAL: Duration = Duration::from_secs(1);

/// Longest time between two events.
const SILENCE: Duration = Duration::from_secs(30);

/// What a connection has been sent.
struct Sent {
    library: Arc<Library>,
    names: Vec<String>,
    /// What the files were like at the last event; none before the first.
    stamp: Option<Stamp>,
    at: Instant,
    has_looked: bool,
}

/// Returns the events about runs: `document` with the JSON of their page, at once and whenever they change; without names, `changed`
/// whenever some run changes.
pub(super) fn stream(
    library: Arc<Library>,
    names: Vec<String>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = unfold(
        Sent { library, names, stamp: None, at: Instant::now(), has_looked: false },
        |mut sent| async move {
            loop {
                if std::mem::replace(&mut sent.has_looked, true) {
                    tokio::time::sleep(INTERVAL).await;
                }
                let (next, event) = tokio::task::spawn_blocking(move || sent.next()).await.ok()?;
                sent = next;
                if let Some(event) = event {
                    return Some((Ok(event), sent));
                }
            }
        },
    );
    Sse::new(events).keep_alive(KeepAlive::default())
}

impl Sent {
    /// Returns the next event, if there is something new. After some time without, a run may have been killed, which changes no file.
    fn next(mut self) -> (Self, Option<Event>) {
        let stamp = self.library.stamp(&self.names);
        let is_first = self.stamp.is_none();
        if self.stamp.as_ref() == Some(&stamp) && self.at.elapsed() < SILENCE {
            return (self, None);
        }
        let event = match self.names.is_empty() {
            true => Some(Event::default().event("changed").data("index")).filter(|_| !is_first),
            false => match self.library.document(&self.names) {
                Some(document) => Some(Event::default().event("document").data(document.json())),
                // Perhaps a file is being replaced: it is read again.
                None => return (self, None),
            },
        };
        (self.stamp, self.at) = (Some(stamp), Instant::now());
        (self, event)
    }
}
