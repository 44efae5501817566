//! Findings: what the facts mean for a run, worst first, each with a remedy. A pure function of the facts.

mod gpus;
mod limits;
mod ranks;
mod storage;

use std::fmt;

use serde::Serialize;

use super::facts::Facts;

/// Severity of a finding, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// The run cannot start or would fail.
    CannotStart,
    /// The run can start, but would be slow or at risk.
    Warning,
    /// Worth knowing.
    Note,
}

/// A problem or remark, with its remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// The host that it concerns, if any.
    pub(crate) host: Option<String>,
    pub(crate) found: String,
    /// What to do about it.
    pub(crate) remedy: String,
}

/// Returns all findings, sorted by severity.
pub(crate) fn of(facts: &Facts) -> Vec<Finding> {
    let mut found = ranks::check(facts);
    for host in &facts.hosts {
        let here =
            [gpus::check(host, facts), limits::check(host, &facts.job), storage::check(host, &facts.job)];
        let named = |finding| Finding { host: Some(host.name.clone()), ..finding };
        found.extend(here.into_iter().flatten().map(named));
    }
    found.sort_by_key(|finding| finding.severity); // stable: the order of the checks is kept within a severity
    found
}

/// Whether a run can start.
pub(crate) fn can_start(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.severity != Severity::CannotStart)
}

impl Severity {
    /// Creates a finding of this severity.
    fn of(self, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { severity: self, host: None, found: found.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::CannotStart => "cannot start",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let host = self.host.as_ref().map_or_else(String::new, |host| format!("{host}: "));
        write!(f, "{severity}: {host}{}: {}", self.found, self.remedy)
    }
}

/// Formats a number of bytes with a binary unit.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        _ if bytes >= 1 << 40 => format!("{:.1} TiB", bytes as f64 / (1_u64 << 40) as f64),
        _ if bytes >= 1 << 30 => format!("{:.1} GiB", bytes as f64 / (1_u64 << 30) as f64),
        _ => format!("{:.1} MiB", bytes as f64 / (1_u64 << 20) as f64),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::testing;
    use super::*;

    /// The findings after `change` has modified the facts.
    pub(super) fn found(mut facts: Facts, change: impl FnOnce(&mut Facts)) -> String {
        change(&mut facts);
        of(&facts).iter().map(Finding::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn nothing_is_wrong_with_a_job_that_can_start() {
        assert_eq!(found(testing::facts_with_gpus(), |_| {}), "");
        let on_cpus = of(&testing::facts());
        assert!(can_start(&on_cpus) && on_cpus.len() == 1);
    }

    #[test]
    fn findings_are_sorted_by_severity() {
        let change = |facts: &mut Facts| {
            facts.hosts[0].open_files.soft = Some(10);
            facts.hosts[0].clock_apart_s = 4.0;
        };
        expect![[r#"
            cannot start: node1: at most 10 files may be open, but each rank needs about 320: raise the limit: ulimit -n 65536
            warning: node1: its clock is at least 4.0 s ahead: synchronize the hosts' clocks with chrony or ntpd: failure times are compared
            note: node1: no GPU: ranks compute on CPUs"#]]
        .assert_eq(&found(testing::facts(), change));
        let mut worse = testing::facts();
        change(&mut worse);
        assert!(!can_start(&of(&worse)));
    }
}
