//! A NATS server that is configured as a test wants it.

use super::server::Nats;

impl Nats {
    /// Starts one with more lines in its configuration, e.g. who may come in. What they set again counts as they say.
    pub async fn start_with(lines: &str) -> Self {
        let nats = Self::launch("alone", lines);
        nats.until_ready().await;
        nats
    }
}
