//! Server-sent events: the newest document of a page, or that the index has changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;

use super::library::{Library, Version};

/// Interval at which the files are looked at, and least interval between two events.
const INTERVAL: Duration = Duration::from_secs(1);

/// Number of looks without a run after which its page is told that it is gone: its files may just be replaced.
const MOST_FAILED_LOOKS: usize = 5;

/// A connection.
struct Connection {
    library: Arc<Library>,
    names: Vec<String>,
    /// The version that the page shows.
    seen: Option<Version>,
    /// Number of looks since the runs were last found.
    failed_looks: usize,
}

/// Returns the events of a page that shows the version `seen`, whenever there is a newer one: `document` with the JSON of the page of
/// the named runs; without names, `changed` for the index. They end when a run is gone.
pub(super) fn stream(
    library: Arc<Library>,
    names: Vec<String>,
    seen: Option<Version>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let connection = Connection { library, names, seen, failed_looks: 0 };
    let events = unfold((connection, Duration::ZERO), |(mut connection, mut pause)| async move {
        loop {
            tokio::time::sleep(pause).await;
            pause = INTERVAL;
            let (next, event) = tokio::task::spawn_blocking(move || connection.next()).await.ok()?;
            connection = next;
            if connection.failed_looks > MOST_FAILED_LOOKS {
                return None;
            }
            if let Some(event) = event {
                return Some((Ok(event), (connection, pause)));
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

impl Connection {
    /// Returns the next event, if there is a newer version.
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
        self.failed_looks += 1;
        let (document, current) = self.library.document(&self.names)?;
        self.failed_looks = 0;
        let is_new = self.seen.replace(current) != Some(current);
        is_new.then(|| Event::default().event("document").data(document.json()))
    }
}
