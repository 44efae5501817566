//! Server-sent events about runs: the newest document whenever they change.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;

use super::library::{Library, Stamp};

/// Interval at which the files are looked at, and least interval between two events.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a connection has been sent.
struct Sent {
    library: Arc<Library>,
    names: Vec<String>,
    stamp: Option<Stamp>,
}

/// Returns the events about runs: `document` with the JSON of their page, at once and whenever they change; without names, `changed`
/// whenever some run changes.
pub(super) fn stream(
    library: Arc<Library>,
    names: Vec<String>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = unfold(Sent { library, names, stamp: None }, |mut sent| async move {
        loop {
            if sent.stamp.is_some() {
                tokio::time::sleep(INTERVAL).await;
            }
            let (next, event) = tokio::task::spawn_blocking(move || sent.next()).await.ok()?;
            sent = next;
            if let Some(event) = event {
                return Some((Ok(event), sent));
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

impl Sent {
    /// Returns the next event, if there is something new.
    fn next(mut self) -> (Self, Option<Event>) {
        let stamp = self.library.stamp(&self.names);
        let earlier = self.stamp.replace(stamp.clone());
        let is_new = earlier.as_ref() != Some(&stamp);
        let event = match self.names.is_empty() {
            true => (is_new && earlier.is_some()).then(|| Event::default().event("changed").data("index")),
            false if is_new => {
                let document = self.library.document(&self.names);
                document.map(|document| Event::default().event("document").data(document.json()))
            }
            false => None,
        };
        (self, event)
    }
}
