//! Log lines on standard error, one a line whatever the values hold.

mod ecs;
mod one_line;

use std::io::IsTerminal as _;

use tracing_subscriber::fmt::format::{DefaultFields, Format, JsonFields};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::Registry;

use crate::{Color, Error, LogFormat, Options};

/// The layer that writes log lines.
pub(crate) fn layer(options: &Options, version: &'static str) -> Result<Box<dyn Layer<Registry> + Send + Sync>, Error> {
    let filter = options.log.env_filter().map_err(Error::Options)?;
    let writer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer = match options.log.format {
        LogFormat::Text => {
            let color = match options.log.color {
                Color::Auto => std::io::stderr().is_terminal(),
                Color::Always => true,
                Color::Never => false,
            };
            writer
                .with_ansi(color)
                .fmt_fields(DefaultFields::new())
                .event_format(one_line::OneLine(Format::default().with_ansi(color)))
                .boxed()
        }
        LogFormat::Json => {
            writer.fmt_fields(JsonFields::new()).event_format(Format::default().json().flatten_event(true)).boxed()
        }
        LogFormat::Ecs => {
            let ecs = ecs::Ecs { service: options.traces.service_name.clone(), version };
            writer.fmt_fields(JsonFields::new()).event_format(ecs).boxed()
        }
    };
    Ok(layer.with_filter(filter).boxed())
}

#[cfg(test)]
mod testing {
    //! Catches what a layer writes.

    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    pub(super) struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        pub(super) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
