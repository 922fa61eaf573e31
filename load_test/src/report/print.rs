//! Lines for people.

use std::io::Write as _;

/// Prints a line. A broken pipe ends the output, not the measurement.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Says what went wrong, where errors are said.
pub(crate) fn error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "fanfare-load: {text}");
}

/// A figure with as many digits as it deserves, in groups of three.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 || value.fract().abs() < f64::EPSILON => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let mut grouped = String::new();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if fraction.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{fraction}") }
}

/// Microseconds in the unit that reads best.
pub(crate) fn time(micros: u64) -> String {
    let micros = micros as f64;
    if micros < 1e3 {
        format!("{micros:.0} µs")
    } else if micros < 1e6 {
        format!("{} ms", number((micros / 1e1).round() / 1e2))
    } else {
        format!("{} s", number((micros / 1e4).round() / 1e2))
    }
}

/// Bytes in the unit that reads best.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} B"),
        10_000..=9_999_999 => format!("{} KiB", number((bytes as f64 / 102.4).round() / 1e1)),
        _ => format!("{} MiB", number((bytes as f64 / 104_857.6).round() / 1e1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!(
            [1_234_567.8, 123.4, 12.34, 1.234, 0.1234, 0.0, -1234.5].map(number),
            ["1,234,568", "123", "12.3", "1.23", "0.123", "0", "-1,234"]
        );
        assert_eq!([7, 1_500, 2_000_000].map(time), ["7 µs", "1.50 ms", "2 s"]);
        assert_eq!([999, 20_480, 104_857_600].map(size), ["999 B", "20 KiB", "100 MiB"]);
    }
}
