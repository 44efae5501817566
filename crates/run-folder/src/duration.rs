//! Formatting of durations.

/// Formats a time in its two largest units: `12.3 s`, `4 min 05 s`, `3 h 07 min`, `2 d 05 h`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round_ties_even() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        3600..86400 => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {:02} h", whole / 86400, whole % 86400 / 3600),
    }
}

#[test]
fn durations_are_shown_in_readable_units() {
    let shown = [0.04, 59.4, 59.7, 245.0, 3600.0, 11_230.0, 190_000.0].map(duration);
    assert_eq!(
        shown,
        ["0.0 s", "59.4 s", "1 min 00 s", "4 min 05 s", "1 h 00 min", "3 h 07 min", "2 d 04 h"]
    );
}
