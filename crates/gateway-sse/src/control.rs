//! What the server says of the stream itself.

use std::io::Write as _;
use std::time::Duration;

use fanfare_auth::Sealed;
use fanfare_model::{Event, Gap, Position, Topic, json};
use fanfare_session::Goodbye;

use crate::encode::Wire;
use crate::resume::StreamState;

/// A message about the stream.
pub(crate) enum Control<'a> {
    /// How the stream stands to what the client had before.
    Stream { state: StreamState, requested: Option<&'a str> },
    /// Events that this stream does not have.
    Gap { topic: &'a Topic, gap: Gap, position: Position },
    /// The server has ended the delivery of a topic.
    Unsubscribed { topic: &'a Topic, code: u16, reason: &'a str },
    /// Who is in a topic, as `fanfare_presence` writes it.
    Presence { members: &'a [u8] },
    /// What the session can be resumed with, for so many seconds.
    Resume { token: &'a str, expires_in: u64 },
    /// The credentials end in so many seconds.
    Expiring { expires_in: u64 },
    /// The connection is alive.
    Ping,
    /// The stream ends.
    Disconnect { goodbye: Goodbye, retry_after: Option<Duration> },
}

/// The cursor that a stream ends with for good when an administrator has ended it, or another session has taken its
/// place. A native `EventSource` knows no `reconnect: false`: it comes back by itself and shows this, and 204 is the
/// answer that it stops at.
pub(crate) const OVER: &str = "over";

impl<'a> Control<'a> {
    /// What a session can be resumed with.
    pub(crate) fn resume(sealed: &'a Sealed) -> Self {
        Self::Resume { token: &sealed.text, expires_in: sealed.expires_in.as_secs() }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Stream { .. } => "stream",
            Self::Gap { .. } => "gap",
            Self::Unsubscribed { .. } => "unsubscribed",
            Self::Presence { .. } => "presence",
            Self::Resume { .. } => "resume",
            Self::Expiring { .. } => "expiring",
            Self::Ping => "ping",
            Self::Disconnect { .. } => "disconnect",
        }
    }

    /// Writes it to the end of `out`. With a `cursor` a client that stores it continues from there.
    pub(crate) fn write(&self, wire: Wire, cursor: Option<&str>, out: &mut Vec<u8>) {
        match wire {
            Wire::Sse { .. } => {
                if let Some(cursor) = cursor {
                    wire.write_cursor(cursor, out);
                }
                if let Self::Disconnect { goodbye: Goodbye::Disconnected | Goodbye::Replaced, .. } = self {
                    writeln!(out, "id: {OVER}").expect("a Vec grows");
                }
                if let Self::Disconnect { retry_after: Some(after), .. } = self {
                    writeln!(out, "retry: {}", after.as_millis()).expect("a Vec grows");
                }
                write!(out, "event: fanfare.{}\ndata: ", self.name()).expect("a Vec grows");
                self.write_object(out);
                out.extend_from_slice(b"\n\n");
            }
            Wire::Lines => {
                match cursor {
                    Some(cursor) => wire.write_cursor(cursor, out),
                    None => out.push(b'{'),
                }
                write!(out, "\"{}\":", self.name()).expect("a Vec grows");
                self.write_object(out);
                out.extend_from_slice(b"}\n");
            }
        }
    }

    /// Writes the JSON object of it to the end of `out`, on one line.
    pub(crate) fn write_object(&self, out: &mut Vec<u8>) {
        match self {
            Self::Stream { state, requested } => {
                write!(out, "{{\"state\":\"{}\"", state.as_str()).expect("a Vec grows");
                if let Some(requested) = requested {
                    out.extend_from_slice(b",\"requested\":");
                    json::write_string(requested, out);
                }
                out.push(b'}');
            }
            Self::Gap { topic, gap, position } => {
                out.extend_from_slice(b"{\"topic\":");
                json::write_string(topic.as_str(), out);
                let Gap { from, to, reason } = gap;
                write!(out, ",\"from\":{from},\"to\":{to},\"reason\":\"{}\"", reason.as_str()).expect("a Vec grows");
                write!(out, ",\"position\":\"{position}\"}}").expect("a Vec grows");
            }
            Self::Unsubscribed { topic, code, reason } => {
                out.extend_from_slice(b"{\"topic\":");
                json::write_string(topic.as_str(), out);
                write!(out, ",\"code\":{code},\"reason\":\"{reason}\"}}").expect("a Vec grows");
            }
            Self::Presence { members } => write_on_one_line(members, out),
            Self::Resume { token, expires_in } => {
                write!(out, "{{\"token\":\"{token}\",\"expires_in\":{expires_in}}}").expect("a Vec grows");
            }
            Self::Expiring { expires_in } => write!(out, "{{\"expires_in\":{expires_in}}}").expect("a Vec grows"),
            Self::Ping => out.extend_from_slice(b"{}"),
            Self::Disconnect { goodbye, retry_after } => {
                let (code, reason, reconnect) = (goodbye.code(), goodbye.reason(), goodbye.reconnect());
                write!(out, "{{\"code\":{code},\"reason\":\"{reason}\",\"reconnect\":{reconnect}")
                    .expect("a Vec grows");
                if let Some(after) = retry_after {
                    write!(out, ",\"retry_after_ms\":{}", after.as_millis()).expect("a Vec grows");
                }
                out.push(b'}');
            }
        }
    }
}

/// Writes a change of who is in `topic`, as its companion announces it, as a message of a stream.
pub(crate) fn write_presence_change(wire: Wire, topic: &Topic, change: &Event, out: &mut Vec<u8>) {
    let mut object = Vec::new();
    fanfare_presence::json::write_diff(topic, change, &mut object);
    Control::Presence { members: &object }.write(wire, None, out);
}

/// Writes JSON without the ends of lines that members may have put between their tokens.
fn write_on_one_line(json: &[u8], out: &mut Vec<u8>) {
    for part in json.split(|byte| matches!(byte, b'\r' | b'\n')) {
        out.extend_from_slice(part);
    }
}

/// A time between `from` and `to`, another for each client, so that they do not come back together.
pub(crate) fn jittered(from: Duration, to: Duration) -> Duration {
    let (from, to) = (from.as_millis(), to.as_millis());
    let millis = rand::random_range(from..=to.max(from));
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use fanfare_model::GapReason;

    use super::*;
    use crate::parser::parse;

    const SSE: Wire = Wire::Sse { envelope: false, heartbeat_event: true };

    fn text(wire: Wire, control: &Control<'_>, cursor: Option<&str>) -> String {
        let mut out = Vec::new();
        control.write(wire, cursor, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn on_both_wires() {
        let topic = Topic::new("a").unwrap();
        let gap = Control::Gap {
            topic: &topic,
            gap: Gap { from: 2, to: 5, reason: GapReason::Trimmed },
            position: "7.5.000".parse().unwrap(),
        };
        let object = r#"{"topic":"a","from":2,"to":5,"reason":"trimmed","position":"7.5.000"}"#;
        assert_eq!(text(SSE, &gap, Some("7.5.000")), format!("id: 7.5.000\nevent: fanfare.gap\ndata: {object}\n\n"));
        assert_eq!(text(Wire::Lines, &gap, Some("7.5.000")), format!("{{\"cursor\":\"7.5.000\",\"gap\":{object}}}\n"));
        assert_eq!(text(SSE, &Control::Ping, None), "event: fanfare.ping\ndata: {}\n\n");
        assert_eq!(text(Wire::Lines, &Control::Ping, None), "{\"ping\":{}}\n");
    }

    #[test]
    fn a_disconnect_says_when_to_come_back() {
        let away = Control::Disconnect { goodbye: Goodbye::Draining, retry_after: Some(Duration::from_millis(1834)) };
        assert_eq!(
            text(SSE, &away, None),
            "retry: 1834\nevent: fanfare.disconnect\ndata: \
             {\"code\":3001,\"reason\":\"draining\",\"reconnect\":true,\"retry_after_ms\":1834}\n\n"
        );
        let over = Control::Disconnect { goodbye: Goodbye::Expired, retry_after: None };
        assert_eq!(
            text(Wire::Lines, &over, None),
            "{\"disconnect\":{\"code\":4002,\"reason\":\"token_expired\",\"reconnect\":false}}\n"
        );
    }

    #[test]
    fn what_members_say_cannot_break_out() {
        let change = "{\"rev\":2,\"join\":[{\"id\":\"m\",\"data\":{\r\n\"a\"\n:1}}]}";
        let change = crate::encode::tests::event(fanfare_model::Data::json(change).unwrap());
        let topic = Topic::new("chat:\"1\"").unwrap();
        let mut out = Vec::new();
        write_presence_change(SSE, &topic, &change, &mut out);
        let events = parse(&out);
        assert_eq!((events.len(), events[0].event.as_str(), events[0].id.as_str()), (1, "fanfare.presence", ""));
        let data: serde_json::Value = serde_json::from_str(&events[0].data).unwrap();
        assert_eq!(
            (&data["topic"], &data["rev"], &data["join"][0]["data"]["a"]),
            (&"chat:\"1\"".into(), &2.into(), &1.into())
        );
        out.clear();
        write_presence_change(Wire::Lines, &topic, &change, &mut out);
        assert_eq!(memchr::memchr(b'\n', &out), Some(out.len() - 1));
        let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(line["presence"], data);
    }

    #[test]
    fn what_a_session_is_told_of_itself() {
        let topic = Topic::new("a").unwrap();
        let ended = Control::Unsubscribed { topic: &topic, code: 2503, reason: "ended by the server" };
        assert_eq!(
            text(SSE, &ended, None),
            "event: fanfare.unsubscribed\ndata: {\"topic\":\"a\",\"code\":2503,\"reason\":\"ended by the server\"}\n\n"
        );
        let resume = Control::Resume { token: "fr1.x", expires_in: 120 };
        assert_eq!(text(Wire::Lines, &resume, None), "{\"resume\":{\"token\":\"fr1.x\",\"expires_in\":120}}\n");
        assert_eq!(
            text(SSE, &Control::Expiring { expires_in: 30 }, None),
            "event: fanfare.expiring\ndata: {\"expires_in\":30}\n\n"
        );
        let replaced = Control::Disconnect { goodbye: Goodbye::Replaced, retry_after: None };
        assert!(text(SSE, &replaced, None).starts_with("id: over\nevent: fanfare.disconnect\n"));
    }

    #[test]
    fn what_a_client_sent_cannot_break_out() {
        let hostile = "x\n\nevent: evil\r\u{2028}\"";
        let stream = Control::Stream { state: StreamState::Reset, requested: Some(hostile) };
        let events = parse(text(SSE, &stream, Some("7.1.001")).as_bytes());
        assert_eq!((events.len(), events[0].event.as_str(), events[0].id.as_str()), (1, "fanfare.stream", "7.1.001"));
        let data: serde_json::Value = serde_json::from_str(&events[0].data).unwrap();
        assert_eq!((data["state"].as_str(), data["requested"].as_str()), (Some("reset"), Some(hostile)));
    }

    #[test]
    fn jitter_stays_in_its_bounds() {
        let (from, to) = (Duration::from_secs(5), Duration::from_secs(30));
        let times: Vec<_> = (0..100).map(|_| jittered(from, to)).collect();
        assert!(times.iter().all(|time| (from..=to).contains(time)));
        assert!(times.iter().any(|time| *time != times[0]), "all alike");
        assert_eq!(jittered(to, from), to);
    }
}
