//! Plots for the terminal, of bars and lines that every terminal can show.

use super::Report;
use super::print::{line, number, time};

/// Columns of the widest bar.
const WIDTH: usize = 50;

/// Prints the percentiles of latency as bars on a logarithmic scale, and deliveries from second to second.
pub(crate) fn print(report: &Report) {
    for outcome in &report.outcomes {
        let Some(latency) = &outcome.latency else { continue };
        line(&format!("{} {}: latency by percentile, {} events", outcome.target, outcome.transport, latency.count));
        let longest = latency.at(100.0);
        for (percentile, value) in &latency.percentiles {
            line(&format!("  {percentile:>6} │{:<WIDTH$} {}", bar(*value, longest), time(*value)));
        }
        let rates: Vec<f64> = outcome.timeline.iter().map(|sample| sample.deliveries).collect();
        if rates.len() > 2 {
            let most = rates.iter().copied().fold(0.0, f64::max);
            line(&format!("  deliveries/s {} up to {}", spark(&rates), number(most)));
        }
        line("");
    }
}

/// A bar as long as the logarithm of `value`.
fn bar(value: u64, longest: u64) -> String {
    let log = |value: u64| (value.max(1) as f64).ln();
    let eighths = (log(value) / log(longest).max(1.0) * (WIDTH * 8) as f64).round();
    // Between 0 and 400: nothing is lost.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 8 x WIDTH")]
    let eighths = eighths.clamp(1.0, (WIDTH * 8) as f64) as usize;
    let mut bar = "█".repeat(eighths / 8);
    bar.extend([' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'].get(eighths % 8).filter(|c| **c != ' '));
    bar
}

/// A line of little bars, at most [`WIDTH`] of them.
fn spark(values: &[f64]) -> String {
    let most = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let each = values.len().div_ceil(WIDTH);
    values
        .chunks(each)
        .map(|chunk| {
            let mean = chunk.iter().sum::<f64>() / chunk.len() as f64;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 7")]
            let height = (mean / most * 7.0).round().clamp(0.0, 7.0) as usize;
            ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][height]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_with_the_logarithm() {
        assert_eq!(bar(1_000_000, 1_000_000).chars().count(), WIDTH);
        assert_eq!(bar(1_000, 1_000_000).chars().count(), WIDTH / 2);
        assert_eq!(bar(0, 1_000_000), "▏");
    }

    #[test]
    fn a_line_of_bars_shows_the_course() {
        assert_eq!(spark(&[0.0, 50.0, 100.0]), "▁▅█");
        assert_eq!(spark(&vec![1.0; 500]).chars().count(), WIDTH);
    }
}
