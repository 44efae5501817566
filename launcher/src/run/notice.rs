//! Parses the messages of mpirun or srun about the first rank that failed.

/// What a starter reports about the first rank that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) rank: Option<usize>,
    pub(super) host: Option<String>,
    /// `signal 9 (Killed)`.
    pub(super) signal: Option<String>,
    pub(super) code: Option<i32>,
}

impl Notice {
    /// Parses the starter's own lines.
    pub(super) fn read(lines: &[String]) -> Self {
        let mut notice = Self::default();
        notice.add_killed(&lines.join(" "));
        for line in lines {
            notice.add(line.trim().trim_start_matches("= ").trim());
        }
        notice
    }

    /// Parses "mpirun noticed that process rank 1 with PID 0 on node vm exited on signal 9 (Killed)."; Open MPI 5 wraps the line.
    fn add_killed(&mut self, text: &str) {
        let Some((_, rest)) = text.split_once(" noticed that process rank ") else { return };
        let Some((who, how)) = rest.split_once(" exited on ") else { return };
        let host = who.split_once(" on node ").map(|(_, host)| host.trim());
        let signal = how.split_once('.').map(|(signal, _)| signal.trim());
        self.set(number(who), host, signal, None);
    }

    /// Parses one line. The first value found for each field is kept.
    fn add(&mut self, line: &str) {
        let after = |words: &str| line.split_once(words).map(|(_, rest)| rest);
        // MPI_ABORT was invoked on rank 1 in communicator MPI_COMM_WORLD / with errorcode 4.
        if let Some(rank) = after("MPI_ABORT was invoked on rank ") {
            self.set(number(rank), None, None, None);
        } else if let Some(code) = after("with errorcode ") {
            self.set(None, None, None, number(code));
        // Process name: [[41234,1],1], or [prterun-vm-21860@1,1] / Exit code:    3
        } else if let Some(name) = after("Process name: [") {
            self.set(name.rsplit_once(',').and_then(|(_, rank)| number(rank)), None, None, None);
        } else if let Some(code) = after("Exit code:") {
            self.set(None, None, None, number(code.trim_start()));
        // PID 123 RUNNING AT node2 / EXIT CODE: 3, or for a killed rank EXIT STRING: Killed (signal 9)
        } else if let Some(host) = after(" RUNNING AT ") {
            self.set(None, Some(host), None, None);
        } else if let Some((name, signal)) =
            after("EXIT STRING: ").and_then(|text| text.split_once(" (signal "))
        {
            let signal = format!("signal {} ({name})", signal.trim_end_matches(')'));
            self.set(None, None, Some(&signal), None);
        } else if let Some(code) = line.strip_prefix("EXIT CODE: ") {
            self.set(None, None, None, number(code));
        // srun: error: node2: task 1: Killed / Exited with exit code 3
        } else if let Some((host, rest)) = after("srun: error: ").and_then(|rest| rest.split_once(": task "))
        {
            let how = rest.split_once(": ").map_or("", |(_, how)| how);
            let code = how.strip_prefix("Exited with exit code ");
            let signal = code.is_none().then(|| how.to_lowercase()).filter(|how| how == "killed");
            self.set(number(rest), Some(host), signal.map(|_| "signal 9 (Killed)"), code.and_then(number));
        }
    }

    fn set(&mut self, rank: Option<usize>, host: Option<&str>, signal: Option<&str>, code: Option<usize>) {
        self.rank = self.rank.or(rank);
        self.host = self.host.take().or(host.map(str::to_owned));
        self.signal = self.signal.take().or(signal.map(str::to_owned));
        self.code = self.code.or(code.map(|code| code as i32));
    }
}

/// Parses the number at the start of `text`.
pub(super) fn number(text: &str) -> Option<usize> {
    text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
