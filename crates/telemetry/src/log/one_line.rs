//! Text lines that a value cannot break or forge.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Escapes line breaks in what another format writes, so that a client cannot add a line to the log with a
/// value of its own. (Escape sequences for terminals are taken care of by `tracing-subscriber`.)
pub(super) struct OneLine<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for OneLine<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::with_capacity(256);
        self.0.format_event(ctx, Writer::new(&mut line), event)?;
        let text = line.strip_suffix('\n').unwrap_or(&line);
        let mut parts = text.split(['\n', '\r']);
        writer.write_str(parts.next().unwrap_or_default())?;
        for part in parts {
            write!(writer, "\\n{part}")?;
        }
        writer.write_char('\n')
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::fmt::format::Format;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::super::testing::Written;
    use super::*;

    #[test]
    fn a_value_with_line_breaks_stays_on_its_line() {
        let written = Written::default();
        let sink = written.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .event_format(OneLine(Format::default().without_time()))
            .with_writer(move || sink.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let span = tracing::info_span!("request", topic = %"b\nERROR forged");
            let _entered = span.enter();
            tracing::info!(topic = %"a\r\nERROR forged", "published");
        });
        let text = written.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("a\\n\\nERROR forged") && text.contains("b\\nERROR forged"), "{text}");
    }
}
