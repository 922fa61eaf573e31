//! The section `http`.

use fanfare_model::{ByteSize, Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How connections are taken and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpOptions {
    /// The most connections at once, of all listeners together; more wait in the system's queue. Default 0: as
    /// many as the limit of open files allows, less 256 for the engine and the node itself.
    pub max_connections: u32,
    /// How many connections the system may hold that were not taken yet. Default 1024: the reconnects of one
    /// busy second.
    pub backlog: u32,
    /// A request's head must have arrived within this time, also the next one of a connection that stays open.
    /// Default 10 s: enough for any real network, too short to collect slow ones.
    pub header_read_timeout: Duration,
    /// The most bytes of a request's head, and of buffered output per connection. Default 16 KiB: long topic lists
    /// and cookies fit. At least 8 KiB.
    pub head_bytes_max: ByteSize,
    /// A peer that has acknowledged nothing for this long is gone. Default 30 s.
    pub tcp_user_timeout: Duration,
    /// After so much silence the system asks the peer whether it is there. Default 30 s.
    pub tcp_keepalive: Duration,
    /// How many bytes the system may hold for a connection that it has not sent yet: what a reader that has stopped
    /// reading costs there. Default 16 KiB, one batch of events; how fast the rest goes out is not limited by this.
    pub tcp_unsent_max: ByteSize,
    /// How many bytes the system may hold for a connection until they are acknowledged: what a peer that has vanished
    /// costs there, for `tcp_user_timeout`. Default 128 KiB, about 1 MiB a second to a reader 100 ms away; `"0B"` lets the
    /// system decide, which may be megabytes.
    pub tcp_send_buffer: ByteSize,
    /// The most streams at once on one HTTP/2 connection. Default 250: browsers open one connection for all tabs.
    pub h2_streams_max: u32,
    /// How often an HTTP/2 connection is asked whether it is there. Default 20 s, below the idle limit of proxies.
    pub h2_ping_interval: Duration,
    /// How long the answer to that may take. Default 10 s.
    pub h2_ping_timeout: Duration,
    /// How much a client may send ahead on one HTTP/2 stream. Default 256 KiB: a publisher 50 ms away gets 5 MiB a second
    /// through one gRPC stream.
    pub h2_stream_window: ByteSize,
    /// How much a client may send ahead on a whole HTTP/2 connection, whatever its streams. Default 1 MiB, one large
    /// publish.
    pub h2_connection_window: ByteSize,
    /// How much output is buffered per HTTP/2 stream. Default 32 KiB: a slow reader holds no more than this.
    pub h2_send_buffer: ByteSize,
}

/// hyper refuses to work with less.
pub(crate) const HEAD_BYTES_MIN: u64 = 8 * 1024;

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            max_connections: 0,
            backlog: 1024,
            header_read_timeout: Duration::from_secs(10),
            head_bytes_max: ByteSize::kib(16),
            tcp_user_timeout: Duration::from_secs(30),
            tcp_keepalive: Duration::from_secs(30),
            tcp_unsent_max: ByteSize::kib(16),
            tcp_send_buffer: ByteSize::kib(128),
            h2_streams_max: 250,
            h2_ping_interval: Duration::from_secs(20),
            h2_ping_timeout: Duration::from_secs(10),
            h2_stream_window: ByteSize::kib(256),
            h2_connection_window: ByteSize::mib(1),
            h2_send_buffer: ByteSize::kib(32),
        }
    }
}

impl HttpOptions {
    /// Checks what types cannot. The error names the key (within this section) and the fix.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let positive = [
            ("header_read_timeout", self.header_read_timeout, "10s"),
            ("tcp_user_timeout", self.tcp_user_timeout, "30s"),
            ("tcp_keepalive", self.tcp_keepalive, "30s"),
            ("h2_ping_interval", self.h2_ping_interval, "20s"),
            ("h2_ping_timeout", self.h2_ping_timeout, "10s"),
        ];
        if let Some((key, _, usual)) = positive.iter().find(|(_, span, _)| span.get().is_zero()) {
            return Err(format!("{key}: is zero, so every connection would end at once; write e.g. \"{usual}\""));
        }
        if self.head_bytes_max.0 < HEAD_BYTES_MIN {
            return Err(format!("head_bytes_max: {} is too small; write at least \"8KiB\"", self.head_bytes_max));
        }
        let windows = [
            ("head_bytes_max", self.head_bytes_max),
            ("h2_stream_window", self.h2_stream_window),
            ("h2_connection_window", self.h2_connection_window),
            ("h2_send_buffer", self.h2_send_buffer),
            ("tcp_unsent_max", self.tcp_unsent_max),
        ];
        if let Some((key, size)) = windows.iter().find(|(_, size)| !(1024..=1 << 30).contains(&size.0)) {
            return Err(format!("{key}: {size} is out of range; write a size from \"1KiB\" to \"1GiB\""));
        }
        if self.tcp_send_buffer.0 != 0 && !(16 << 10..=1 << 30).contains(&self.tcp_send_buffer.0) {
            let size = self.tcp_send_buffer;
            return Err(format!(
                "tcp_send_buffer: {size} is out of range; write \"0B\" or a size from \"16KiB\" to \"1GiB\""
            ));
        }
        if self.h2_streams_max == 0 {
            return Err("h2_streams_max: is 0, so no HTTP/2 request could be made; write e.g. 250".to_owned());
        }
        if self.backlog == 0 || self.backlog > 65_535 {
            return Err(format!("backlog: {} is out of range; write a number from 1 to 65535", self.backlog));
        }
        Ok(())
    }
}
