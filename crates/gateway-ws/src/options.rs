//! The section `ws` of the configuration.

use fanfare_model::{ByteSize, Duration};
use fanfare_session::client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::origin::Origin;

/// Limits and times of WebSocket connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Web pages of these origins may connect, e.g. `"https://app.example.com"`: scheme, host and port, compared
    /// exactly. Default: none, and then only pages of the host that they connect to. `"*"` is for development. A
    /// client that sends no `Origin` is not a browser and may always connect: it is its token that counts.
    pub allowed_origins: Vec<String>,
    /// The most bytes of one message, over its fragments, compressed and not. Default: 1088 KiB, an event of 1 MiB (the default of
    /// `event_bytes_max`) with its names, headers and the command around it.
    pub message_bytes_max: ByteSize,
    /// The same before a client has said who it is. Default: 16 KiB, the largest token and some room.
    pub connect_bytes_max: ByteSize,
    /// The most fragments of one message. Default: 64; browsers send large messages in pieces of 16 to 128 KiB.
    pub fragments_max: u32,
    /// Whether compression is agreed on with clients that offer it (permessage-deflate, as browsers do). Default:
    /// true. An event is compressed once for all of them, and a connection keeps no context, so that it costs no
    /// memory and about as much time as one more write. Turn it off if events put a secret beside text that an
    /// attacker may choose, and the attacker can see how long they are on the network.
    pub compression: bool,
    /// Messages to clients with compression are compressed from so many bytes on, if that makes them smaller.
    /// Default: 1 KiB. What fits in one packet of about 1400 bytes as it is does not come any sooner.
    pub compression_bytes_min: ByteSize,
    /// The most commands of one message. Default: 256, a client's whole set of subscriptions and some publishes.
    pub commands_per_frame_max: usize,
    /// How many commands (and pings) a second a client may send in the long run. Default: 50, a fast typist with a
    /// moving cursor. One that is refused gets an error; whoever goes on regardless is sent away.
    pub commands_per_second: u32,
    /// How many of them at once. Default: 300, room to subscribe to everything after a reconnect.
    pub commands_burst: u32,
    /// After how long a command is given up and answered with `timeout`. Default: 30 s, longer than a log takes to
    /// sync when it is busy.
    pub command_timeout: Duration,
    /// How long a client may take to say who it is. Default: 10 s, a handshake over a very bad network.
    pub connect_timeout: Duration,
    /// The most connections of one worker that have not said who they are. Default: 4096; more are answered 503.
    pub unconnected_max: usize,
    /// A client that has not taken a byte of what waits for it for so long is cut off. Looked at once in
    /// `session.ping_interval`. Default: 15 s, a short tunnel.
    pub stall_timeout: Duration,
    /// How long a closing connection waits for the client's own close. Default: 5 s.
    pub close_timeout: Duration,
    /// How many bytes are put together for one write, and taken from the log for one connection before others have
    /// their turn. Default: 64 KiB; beyond it a write gains nothing.
    pub write_batch: ByteSize,
    /// While more than so many bytes wait to be sent, no further command is read. Default: 64 KiB.
    pub replies_bytes_max: ByteSize,
    /// The most events of one history reply. Default: 1000.
    pub history_events_max: usize,
    /// The most bytes of events in one history reply. Default: 1 MiB, what a browser reads without a stutter.
    pub history_bytes_max: ByteSize,
}

impl Default for Options {
    fn default() -> Self {
        let limits = client::Limits::default();
        Self {
            allowed_origins: Vec::new(),
            message_bytes_max: ByteSize::kib(1088),
            connect_bytes_max: ByteSize::kib(16),
            fragments_max: 64,
            compression: true,
            compression_bytes_min: ByteSize::kib(1),
            commands_per_frame_max: 256,
            commands_per_second: limits.commands_per_second,
            commands_burst: limits.commands_burst,
            command_timeout: Duration(limits.command_timeout),
            connect_timeout: Duration::from_secs(10),
            unconnected_max: 4096,
            stall_timeout: Duration::from_secs(15),
            close_timeout: Duration::from_secs(5),
            write_batch: ByteSize::kib(64),
            replies_bytes_max: ByteSize::kib(64),
            history_events_max: limits.history_events_max,
            history_bytes_max: ByteSize(limits.history_bytes_max as u64),
        }
    }
}

impl Options {
    /// Whether the values make sense; the text names the key and the fix.
    pub fn validate(&self) -> Result<(), String> {
        for origin in self.allowed_origins.iter().filter(|origin| *origin != "*") {
            if Origin::parse(origin).is_none() {
                return Err(format!(
                    "allowed_origins has {origin:?}, which is not an origin; write scheme, host and, if it is not \
                     the usual one, port: \"https://app.example.com\""
                ));
            }
        }
        let sizes = [
            ("message_bytes_max", self.message_bytes_max.0, 1024),
            ("connect_bytes_max", self.connect_bytes_max.0, 256),
            ("fragments_max", u64::from(self.fragments_max), 1),
            ("commands_per_frame_max", self.commands_per_frame_max as u64, 1),
            ("commands_per_second", u64::from(self.commands_per_second), 1),
            ("commands_burst", u64::from(self.commands_burst), 1),
            ("unconnected_max", self.unconnected_max as u64, 1),
            ("write_batch", self.write_batch.0, 1024),
            ("replies_bytes_max", self.replies_bytes_max.0, 1024),
            ("history_events_max", self.history_events_max as u64, 1),
            ("history_bytes_max", self.history_bytes_max.0, 1024),
        ];
        for (key, value, least) in sizes {
            if value < least {
                return Err(format!("{key} is {value}, too little to work with; set it to at least {least}"));
            }
        }
        for (key, time) in [
            ("command_timeout", self.command_timeout),
            ("connect_timeout", self.connect_timeout),
            ("stall_timeout", self.stall_timeout),
            ("close_timeout", self.close_timeout),
        ] {
            if time.get().is_zero() {
                return Err(format!("{key} is zero, so that every connection would fail; set it to some seconds"));
            }
        }
        Ok(())
    }

    pub(crate) fn limits(&self) -> client::Limits {
        client::Limits {
            commands_per_second: self.commands_per_second,
            commands_burst: self.commands_burst,
            command_timeout: self.command_timeout.get(),
            history_events_max: self.history_events_max,
            history_bytes_max: self.history_bytes_max.as_usize(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_mistakes_name_their_key() {
        Options::default().validate().unwrap();
        let wrong = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options.validate().unwrap_err()
        };
        assert!(wrong(|o| o.allowed_origins.push("app.example.com".into())).contains("allowed_origins"));
        assert!(wrong(|o| o.allowed_origins.push("https://a.example/path".into())).contains("allowed_origins"));
        assert!(wrong(|o| o.fragments_max = 0).contains("fragments_max"));
        assert!(wrong(|o| o.stall_timeout = Duration::from_secs(0)).contains("stall_timeout"));
    }
}
