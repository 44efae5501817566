//! Hosts and their slots, from `--hosts` or a host file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::failure::Usage;
use crate::text_file;

/// Options that name hosts.
#[derive(Debug, clap::Args)]
pub(crate) struct HostOptions {
    /// Hosts with their number of ranks, such as a:8,b:8
    #[arg(long, value_name = "HOST:N,…", conflicts_with = "hostfile")]
    hosts: Option<String>,
    /// A file of hosts with their number of ranks, one per line
    #[arg(long, value_name = "FILE")]
    hostfile: Option<PathBuf>,
}

impl HostOptions {
    /// Returns whether hosts are named.
    pub(crate) fn are_given(&self) -> bool {
        self.hosts.is_some() || self.hostfile.is_some()
    }

    /// Returns the hosts that are named; empty if none are.
    ///
    /// # Errors
    /// If the list or the file is not one of hosts.
    pub(crate) fn read(&self) -> Result<Vec<Host>> {
        match (&self.hosts, &self.hostfile) {
            (Some(list), _) => Ok(parse_list(list)?),
            (None, Some(file)) => read_file(file),
            (None, None) => Ok(Vec::new()),
        }
    }
}

/// A host and its slots: `a:8` in `--hosts`, `a slots=8` in a host file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) slots: usize,
}

/// Parses `a:8,b:8`; a host without a number has one slot.
///
/// # Errors
/// If the list is empty, an entry is malformed, or a host is named twice.
pub(crate) fn parse_list(text: &str) -> Result<Vec<Host>, Usage> {
    let hosts: Result<Vec<_>, _> = text.split(',').map(|part| parse_host(part.trim(), ':')).collect();
    check(hosts?, "--hosts")
}

/// Reads a host file in Open MPI's format (`a slots=8`) or MPICH's (`a:8`); `#` begins a comment.
///
/// # Errors
/// If the file cannot be read, names no host or one twice, or a line is malformed.
pub(crate) fn read_file(path: &Path) -> Result<Vec<Host>> {
    let text = text_file::read(path).with_context(|| format!("--hostfile {}", path.display()))?;
    let lines =
        text.lines().zip(1..).map(|(line, number)| (line.split('#').next().unwrap_or("").trim(), number));
    let hosts = lines.filter(|(line, _)| !line.is_empty()).map(|(line, number)| {
        let parsed = match line.split_once(char::is_whitespace) {
            Some((name, rest)) => match rest.trim().strip_prefix("slots=") {
                Some(slots) => parse_host(&format!("{name}={slots}"), '='),
                None => Err(Usage(format!("\"{line}\": expected `host slots=N`"))),
            },
            None => parse_host(line, ':'),
        };
        parsed.map_err(|error| Usage(format!("{}:{number}: {error}", path.display())))
    });
    Ok(check(hosts.collect::<Result<_, _>>()?, &path.display().to_string())?)
}

fn parse_host(text: &str, separator: char) -> Result<Host, Usage> {
    let (name, slots) = text.split_once(separator).unwrap_or((text, "1"));
    match slots.trim().parse() {
        Ok(slots) if slots > 0 && !name.is_empty() => Ok(Host { name: name.to_owned(), slots }),
        _ => Err(Usage(format!("\"{text}\": expected a host and its number of ranks, such as node1:8"))),
    }
}

fn check(hosts: Vec<Host>, place: &str) -> Result<Vec<Host>, Usage> {
    if hosts.is_empty() {
        return Err(Usage(format!("{place}: names no host")));
    }
    match hosts.iter().enumerate().find(|(at, host)| hosts[..*at].iter().any(|other| other.name == host.name))
    {
        Some((_, twice)) => Err(Usage(format!("{place}: names {} twice", twice.name))),
        None => Ok(hosts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, slots: usize) -> Host {
        Host { name: name.to_owned(), slots }
    }

    #[test]
    fn lists_and_files_are_equivalent() {
        let expected = vec![host("a", 8), host("b", 1)];
        assert_eq!(parse_list("a:8, b").unwrap(), expected);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        for text in ["# two\na slots=8\n\nb  # one\n", "a:8\nb:1"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_file(&path).unwrap(), expected);
        }
    }

    #[test]
    fn malformed_host_lists_are_rejected() {
        for (text, expected) in [
            ("a:0", "\"a:0\": expected a host and its number of ranks, such as node1:8"),
            ("a:x", "\"a:x\": expected a host and its number of ranks, such as node1:8"),
            ("", "\"\": expected a host and its number of ranks, such as node1:8"),
            ("a,b,a:2", "--hosts: names a twice"),
        ] {
            assert_eq!(parse_list(text).unwrap_err().to_string(), expected);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        std::fs::write(&path, "a slots=2\nb cores=3\n").unwrap();
        let error = format!("{:#}", read_file(&path).unwrap_err());
        assert_eq!(error, format!("{}:2: \"b cores=3\": expected `host slots=N`", path.display()));
    }
}
