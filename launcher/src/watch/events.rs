//! Server-sent events about runs: the newest document, or a word that the index has changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;

use super::library::{Library, Version};

/// Interval at which the files are looked at, and least interval between two events.
const INTERVAL: Duration = Duration::from_secs(1);

/// A connection.
struct Connection {
    library: Arc<Library>,
    names: Vec<String>,
    /// What the page shows.
    seen: Option<Version>,
}

/// Returns the events about runs, as long as they differ from what the page has `seen`: `document` with the JSON of a page of them;
/// without names, `changed` for the index.
pub(super) fn stream(
    library: Arc<Library>,
    names: Vec<String>,
    seen: Option<Version>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let connection = Connection { library, names, seen };
    let events = unfold((connection, Duration::ZERO), |(mut connection, mut pause)| async move {
        loop {
            tokio::time::sleep(pause).await;
            pause = INTERVAL;
            let (next, event) = tokio::task::spawn_blocking(move || connection.next()).await.ok()?;
            connection = next;
            if let Some(event) = event {
                return Some((Ok(event), (connection, pause)));
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

impl Connection {
    /// Returns the next event, if there is something that the page has not seen.
    fn next(mut self) -> (Self, Option<Event>) {
        let event = match self.names.is_empty() {
            true => self.index(),
            false => self.document(),
        };
        (self, event)
    }

    fn index(&mut self) -> Option<Event> {
        let (_, current) = self.library.index();
        let is_new = self.seen.replace(current) != Some(current);
        is_new.then(|| Event::default().event("changed").data("index"))
    }

    fn document(&mut self) -> Option<Event> {
        if self.seen == Some(self.library.version(&self.names)) {
            return None;
        }
        // Without a document perhaps a file is being replaced: it is read again.
        let (document, current) = self.library.document(&self.names)?;
        self.seen = Some(current);
        Some(Event::default().event("document").data(document.json()))
    }
}
