//! `launcher watch`: serves the page of a run, or of all runs of a folder, and keeps it current while they train.

mod access;
mod events;
mod library;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::REFRESH;
use axum::middleware;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use regatta_report::run::{index, waiting};
use regatta_run_folder::{ExitCode, print_output};
use tokio::net::TcpListener;

use crate::failure::Usage;
use access::Access;
use library::{Library, Version};

/// Query key of the version that a page already shows.
const SEEN: &str = "seen";

/// Options of `launcher watch`.
#[derive(Debug, clap::Args)]
pub(crate) struct WatchCommand {
    /// A run folder, or a folder of run folders
    #[arg(value_name = "RUN|FOLDER", default_value = "runs")]
    path: PathBuf,
    /// Address and port to listen on; other computers need the token that is then a part of the printed address
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7007")]
    listen: SocketAddr,
}

/// Serves until the process is ended.
///
/// # Errors
/// If there are no runs, or the address cannot be listened on.
pub(crate) fn watch(command: &WatchCommand) -> Result<ExitCode> {
    let library = Arc::new(Library::open(&command.path)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the server")?.block_on(serve(command.listen, library))?;
    Ok(ExitCode::Done)
}

async fn serve(listen: SocketAddr, library: Arc<Library>) -> Result<()> {
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        Usage(format!("cannot listen on {listen}: {error}: choose another address or port with --listen, such as 127.0.0.1:0"))
    })?;
    let listen = listener.local_addr().context("cannot read the address")?;
    let access = Access::new(listen)?;
    print_output(access.url())?;
    let routes = Router::new()
        .route(&access.path("/"), get(front))
        .route(&access.path("/runs"), get(page))
        .route(&access.path("/events"), get(events))
        .layer(middleware::from_fn_with_state(Arc::new(access), access::check))
        .with_state(library);
    axum::serve(listener, routes).await.context("the server has ended")
}

/// The first page: of the run, or an index of all runs.
async fn front(State(library): State<Arc<Library>>) -> Response {
    match library.only_run() {
        Some(name) => match page_of(library.clone(), vec![name.to_owned()]).await {
            response if response.status() == StatusCode::NOT_FOUND => not_yet(name),
            response => response,
        },
        None => {
            answer(move || {
                let (runs, version) = library.index();
                Some(Html(index(&library.title(), &runs, &events_of(&[], version))))
            })
            .await
        }
    }
}

/// The page of the runs that the query names.
async fn page(State(library): State<Arc<Library>>, RawQuery(query): RawQuery) -> Response {
    page_of(library, names(query)).await
}

async fn page_of(library: Arc<Library>, names: Vec<String>) -> Response {
    answer(move || {
        let (document, version) = library.document(&names)?;
        Some(Html(document.live_html(&events_of(&names, version))))
    })
    .await
}

/// Events about the runs that the query names: a document whenever they change; of no runs only that the index changed.
async fn events(State(library): State<Arc<Library>>, RawQuery(query): RawQuery) -> Response {
    let seen = query.as_deref().and_then(seen);
    let names = names(query);
    let (runs, asked) = (library.clone(), names.clone());
    match tokio::task::spawn_blocking(move || runs.has(&asked)).await {
        Ok(true) => events::stream(library, names, seen).into_response(),
        _ => not_found(),
    }
}

/// Runs `read`, which reads files, beside the server's thread.
async fn answer(read: impl FnOnce() -> Option<Html<String>> + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(read).await {
        Ok(Some(page)) => page.into_response(),
        Ok(None) => not_found(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the runs cannot be read\n").into_response(),
    }
}

/// A page for a run that was not started yet, which the browser loads again.
fn not_yet(name: &str) -> Response {
    ([(REFRESH, "2")], Html(waiting(name))).into_response()
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "there is no such run\n").into_response()
}

/// Returns the names in a query such as `run=a&run=b`, each once.
fn names(query: Option<String>) -> Vec<String> {
    let query = query.unwrap_or_default();
    let mut names = Vec::new();
    for (key, name) in form_urlencoded::parse(query.as_bytes()) {
        if key == "run" && !names.iter().any(|known| *known == name) {
            names.push(name.into_owned());
        }
    }
    names
}

/// Returns the version that a query says its page has seen.
fn seen(query: &str) -> Option<Version> {
    form_urlencoded::parse(query.as_bytes())
        .find_map(|(key, version)| (key == SEEN).then(|| version.parse().ok())?)
}

/// Returns the address of the events about runs, relative to their page, for a page that shows a version of them.
fn events_of(names: &[String], shown: Version) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    names.iter().for_each(|name| _ = query.append_pair("run", name));
    format!("events?{}", query.append_pair(SEEN, &shown.to_string()).finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_their_address() {
        let strange = ["a", "b&run=c", "ü %/#", "<script>"].map(str::to_owned);
        let address = events_of(&strange, 7);
        let query = address.strip_prefix("events?").unwrap();
        assert_eq!((names(Some(query.to_owned())), seen(query)), (strange.to_vec(), Some(7)));
        assert_eq!(names(None), [""; 0]);
        assert_eq!(names(Some("x=1&run=a&run=b&run=a".into())), ["a", "b"]);
        assert_eq!((seen("run=a"), seen("seen=x"), seen("seen=")), (None, None, None));
    }
}
