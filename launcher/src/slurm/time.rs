//! A job's time limit in Slurm's notation.

use std::fmt;
use std::str::FromStr;

/// A time limit in seconds; displayed as `HH:MM:SS`, with `D-` before it from a day on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimeLimit(pub(crate) u64);

impl TimeLimit {
    /// Parses a limit from `sinfo`, which omits hours if there are none; None for no limit.
    pub(super) fn of_sinfo(text: &str) -> Option<Self> {
        match text.matches(':').count() {
            1 => format!("00:{text}").parse().ok(),
            _ => text.parse().ok(),
        }
    }
}

impl FromStr for TimeLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = seconds(text).filter(|&seconds| seconds > 0);
        seconds.map(Self).ok_or_else(|| "expected HH:MM:SS or D-HH:MM:SS, above zero".to_owned())
    }
}

fn seconds(text: &str) -> Option<u64> {
    let (days, clock) = text.split_once('-').unwrap_or(("0", text));
    let parts = clock.split(':').map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>()?;
    let &[hours, minutes @ 0..60, seconds @ 0..60] = parts.as_slice() else { return None };
    let hours = days.parse::<u64>().ok()?.checked_mul(24)?.checked_add(hours)?;
    hours.checked_mul(3600)?.checked_add(minutes * 60 + seconds)
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.0 / 86_400, self.0 % 86_400);
        if days > 0 {
            write!(f, "{days}-")?;
        }
        write!(f, "{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_given_by_the_user_are_parsed() {
        let check = |text: &str, expected: Option<&str>| {
            let read = text.parse::<TimeLimit>().ok().map(|limit| limit.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        };
        check("12:00:00", Some("12:00:00"));
        check("48:00:01", Some("2-00:00:01"));
        check("1-06:30:00", Some("1-06:30:00"));
        // Minutes for Slurm, hours for many people.
        for text in [
            "90",
            "1:30",
            "",
            "00:00:00",
            "1:60:00",
            "1:2:3:4",
            "-1:00:00",
            "x",
            "1-",
            "99999999999999999999:00:00",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn limits_printed_by_sinfo_are_parsed() {
        let read = ["30:00", "1-00:00:00", "12:00:00", "infinite", "n/a"].map(TimeLimit::of_sinfo);
        assert_eq!(
            read,
            [Some(1800), Some(86_400), Some(43_200), None, None].map(|limit| limit.map(TimeLimit))
        );
    }
}
