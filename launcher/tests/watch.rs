//! `launcher watch`: what it serves, to whom, and that pages follow a run.

mod live;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use test_jobs::{Running, TINY, Workdir};

/// A server that was started, with its address.
struct Server {
    _running: Running,
    /// `127.0.0.1:PORT`
    authority: String,
    /// What its paths begin with.
    prefix: String,
}

impl Server {
    fn start(workdir: &Workdir, options: &str) -> Self {
        let printed = workdir.path().join("address");
        _ = fs::remove_file(&printed); // that of an earlier server
        let job = workdir.launcher(&format!("watch {options}"));
        let mut running = job.under(&["sh", "-c", "exec \"$@\" > address", "sh"]).start();
        running.wait_for_file(&printed, |text| text.ends_with('\n'));
        let address = fs::read_to_string(printed).unwrap();
        let (authority, path) = address.trim().strip_prefix("http://").unwrap().split_once('/').unwrap();
        let port = authority.rsplit_once(':').unwrap().1;
        let prefix = format!("/{}", path.trim_end_matches('/')).trim_end_matches('/').to_owned();
        Self { _running: running, authority: format!("127.0.0.1:{port}"), prefix }
    }

    fn connect(&self, method: &str, path: &str, host: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.authority).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        BufReader::new(stream)
    }

    /// The status and the rest of an answer.
    fn answer(&self, method: &str, path: &str, host: &str) -> (u16, String) {
        let mut text = String::new();
        self.connect(method, path, host).read_to_string(&mut text).unwrap();
        (text.split(' ').nth(1).unwrap().parse().unwrap(), text)
    }

    /// The address of a path, for a browser.
    fn address(&self, path: &str) -> String {
        format!("http://{}{}{path}", self.authority, self.prefix)
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.answer("GET", path, &self.authority)
    }
}

fn two_runs() -> Workdir {
    let workdir = Workdir::new(TINY);
    workdir.train("--name first").ends_with(0);
    workdir.train("--name second optim.lr=0.02").ends_with(0);
    workdir
}

#[test]
fn a_folder_has_an_index_and_a_page_of_any_of_its_runs() {
    let workdir = two_runs();
    fs::create_dir_all(workdir.path().join("secret/attempts")).unwrap();
    let server = Server::start(&workdir, "runs --listen 127.0.0.1:0");
    let (status, index) = server.get("/");
    assert!(
        status == 200 && index.contains("href=\"runs?run=first\"") && index.contains("run=second"),
        "{index}"
    );
    assert!(index.contains("cache-control: no-store") && index.contains("frame-ancestors 'none'"), "{index}");
    let (status, page) = server.get("/runs?run=first&run=second");
    assert!(status == 200 && page.contains("<title>Runs first and second</title>"), "{page}");
    assert!(page.contains("data-events=\"events?run=first&amp;run=second&amp;seen="));
    for path in [
        "/runs",
        "/runs?run=third",
        "/runs?run=../secret",
        "/runs?run=..%2Fsecret",
        "/events?run=..",
        "/etc/passwd",
    ] {
        assert_eq!(server.get(path).0, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(server.answer(method, "/", &server.authority).0, 405, "{method}");
    }
}

#[test]
fn requests_under_other_names_and_without_the_token_are_rejected() {
    let workdir = two_runs();
    let server = Server::start(&workdir, "runs/first --listen 127.0.0.1:0");
    let (status, page) = server.get("/");
    assert!(status == 200 && page.contains("<title>Run first</title>"), "{page}");
    for host in ["evil.example", "evil.example:80", "10.0.0.1"] {
        let (status, text) = server.answer("GET", "/", host);
        assert!(status == 421 && !text.contains("first"), "{host}: {text}");
    }
    assert_eq!(server.get("/runs?run=second").0, 404, "only one run is served");
    drop(server);

    let server = Server::start(&workdir, "runs --listen 0.0.0.0:0");
    assert_eq!(server.prefix.len(), 33, "a slash and a token");
    for path in ["/", "/runs?run=first", "/events"] {
        assert_eq!(server.get(path).0, 404, "{path}");
        assert_eq!(server.answer("GET", &format!("/{}{path}", "0".repeat(32)), &server.authority).0, 404);
    }
    assert_eq!(server.get(&format!("{}/runs?run=first", server.prefix)).0, 200);
    assert_eq!(server.answer("GET", &format!("{}/", server.prefix), "evil.example").0, 421);
}

/// The data of the next event with this name.
fn next_event(stream: &mut impl BufRead, name: &str) -> String {
    let mut lines = stream.lines().map(Result::unwrap);
    lines.find(|line| line == &format!("event: {name}")).expect("an event");
    lines.next().unwrap().strip_prefix("data: ").unwrap().to_owned()
}

#[test]
fn a_running_run_sends_newer_documents() {
    let workdir = two_runs();
    let server = Server::start(&workdir, "runs --listen 127.0.0.1:0");
    let mut events = server.connect("GET", "/events?run=first", &server.authority);
    let mut changes = server.connect("GET", "/events", &server.authority);
    let steps = |document: &str| {
        let document: serde_json::Value = serde_json::from_str(document).unwrap();
        document["runs"][0]["summary"]["steps"].as_u64().unwrap()
    };
    assert_eq!(steps(&next_event(&mut events, "document")), 6);
    workdir.train("--name first --resume auto train.epochs=3").ends_with(0);
    next_event(&mut changes, "changed");
    let newest = (0..60).map(|_| steps(&next_event(&mut events, "document"))).find(|&steps| steps == 9);
    assert_eq!(newest, Some(9));
}

#[test]
fn missing_folders_and_taken_ports_are_rejected() {
    let workdir = Workdir::new(TINY);
    workdir.launcher("watch nowhere").ends_with(2).says("nowhere is not a folder: give a run folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let refused = workdir.launcher(&format!("watch . --listen {address}")).ends_with(2);
    _ = refused.says(&format!("cannot listen on {address}: Address already in use"));
}
