//! What a request asks for, from its query string, its headers and its body.

use fanfare_model::{Invalid, Topic, json};
use fanfare_session::From;
use http::HeaderMap;
use serde::Deserialize;

use crate::control::OVER;
use crate::{credential, form};

/// What a client asks for. The query string and the body are united.
#[derive(Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a parameter of its own that is there or not")]
pub(crate) struct Wanted {
    /// Each topic once, in the order in which they came first.
    pub(crate) topics: Vec<WantedTopic>,
    /// `from`, for the topics that have none of their own.
    pub(crate) from: Option<Begin>,
    /// The cursor as a `Last-Event-ID`, in the header or in the query.
    pub(crate) last_event_id: Option<LastEventId>,
    /// Whether `data` is the whole event in JSON.
    pub(crate) envelope: bool,
    /// Whether heartbeats are events that a client's handler sees.
    pub(crate) heartbeat_event: bool,
    /// Whether the stream begins with its cursor, even if none was given.
    pub(crate) checkpoint: bool,
    /// Whether this is a long poll.
    pub(crate) poll: bool,
    /// Whether a lack of room is told by status, not by a stream that ends.
    pub(crate) reject_by_status: bool,
    /// Whether it is told who is in its topics.
    pub(crate) presence: bool,
    /// Whether it is given tokens to resume its session with.
    pub(crate) resumable: bool,
}

/// A topic, and where it begins if that was said for it alone.
#[derive(Debug, PartialEq)]
pub(crate) struct WantedTopic {
    pub(crate) topic: Topic,
    pub(crate) from: Option<Begin>,
}

/// A `from` as it was written and as it was understood.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Begin {
    pub(crate) text: String,
    pub(crate) from: From,
}

/// A cursor in the place of a `Last-Event-ID`, as it was written. It need not be one.
#[derive(Debug, PartialEq)]
pub(crate) struct LastEventId {
    pub(crate) text: String,
    /// The header counts before the query, and the names in the query in their order.
    rank: usize,
}

impl Wanted {
    /// Whether the client comes back to a stream that was ended for good.
    pub(crate) fn is_over(&self) -> bool {
        self.last_event_id.as_ref().is_some_and(|id| id.text == OVER)
    }

    /// Takes the parameters of a query string or of a form. Unknown ones are ignored: clients add some to get past
    /// caches.
    pub(crate) fn add_form(&mut self, pairs: &[(String, String)]) -> Result<(), Invalid> {
        for (name, value) in pairs {
            match name.as_str() {
                "topic" => self.add_topic(value, None)?,
                "from" if !value.is_empty() => self.set_from(value)?,
                "envelope" => self.envelope = flag("envelope", value)?,
                "checkpoint" => self.checkpoint = flag("checkpoint", value)?,
                "poll" => self.poll = flag("poll", value)?,
                "heartbeat" => self.heartbeat_event = word("heartbeat", value, "event", "comment")?,
                "reject" => self.reject_by_status = word("reject", value, "status", "stream")?,
                "presence" => self.presence = flag("presence", value)?,
                // Who shows a token wants the next one; the token itself is a credential, and read as one.
                credential::RESUME => self.resumable = credential::is_resume(value) || flag("resume", value)?,
                _ => {
                    if let Some(at) = form::LAST_EVENT_ID_NAMES.iter().position(|known| known == name) {
                        self.offer_last_event_id(value, at + 1);
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes a JSON body.
    pub(crate) fn add_json(&mut self, body: &[u8]) -> Result<(), Invalid> {
        let body: Body = serde_json::from_slice(body).map_err(|error| json::complaint("body", &error))?;
        for topic in body.topics {
            match topic {
                BodyTopic::Name(topic) => self.add_topic(&topic, None)?,
                BodyTopic::WithStart { topic, from } => self.add_topic(&topic, from.map(begin).transpose()?)?,
            }
        }
        if let Some(from) = body.from {
            self.set_from(&from)?;
        }
        if let Some(id) = body.last_event_id {
            self.offer_last_event_id(&id, form::LAST_EVENT_ID_NAMES.len() + 1);
        }
        self.envelope |= body.envelope;
        self.checkpoint |= body.checkpoint;
        self.poll |= body.poll;
        self.presence |= body.presence;
        self.resumable |= body.resume;
        Ok(())
    }

    /// Takes what the headers say. `Last-Event-ID` is UTF-8 (WHATWG), which is more than a header usually holds.
    pub(crate) fn add_headers(&mut self, headers: &HeaderMap) {
        if let Some(value) = headers.get("last-event-id") {
            self.offer_last_event_id(&String::from_utf8_lossy(value.as_bytes()), 0);
        }
    }

    fn add_topic(&mut self, text: &str, from: Option<Begin>) -> Result<(), Invalid> {
        let topic = Topic::new(text)?;
        match self.topics.iter_mut().find(|known| known.topic == topic) {
            Some(known) => known.from = known.from.take().or(from),
            None => self.topics.push(WantedTopic { topic, from }),
        }
        Ok(())
    }

    fn set_from(&mut self, text: &str) -> Result<(), Invalid> {
        self.from = Some(begin(text.to_owned())?);
        Ok(())
    }

    fn offer_last_event_id(&mut self, text: &str, rank: usize) {
        let better = self.last_event_id.as_ref().is_none_or(|known| rank < known.rank);
        if better && !text.is_empty() {
            self.last_event_id = Some(LastEventId { text: text.to_owned(), rank });
        }
    }

    /// Checks what can only be known when everything is taken.
    pub(crate) fn check(&self, topics_max: usize) -> Result<(), Invalid> {
        let count = self.topics.len();
        if count > topics_max {
            return Err(Invalid::new(
                "request",
                format_args!("names {count} topics; at most {topics_max} are allowed"),
            ));
        }
        Ok(())
    }
}

/// The body of a `POST` in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a parameter of its own that is there or not")]
struct Body {
    #[serde(default)]
    topics: Vec<BodyTopic>,
    from: Option<String>,
    last_event_id: Option<String>,
    #[serde(default)]
    envelope: bool,
    #[serde(default)]
    checkpoint: bool,
    #[serde(default)]
    poll: bool,
    #[serde(default)]
    presence: bool,
    #[serde(default)]
    resume: bool,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields, expecting = "a topic is a string, or an object of `topic` and `from`")]
enum BodyTopic {
    Name(String),
    WithStart { topic: String, from: Option<String> },
}

fn begin(text: String) -> Result<Begin, Invalid> {
    From::parse(&text).map(|from| Begin { text, from })
}

fn flag(name: &'static str, value: &str) -> Result<bool, Invalid> {
    match value {
        "" | "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(Invalid::new(name, "is neither `1` nor `0`")),
    }
}

/// Whether `value` is `yes` (true) or `no` (false).
fn word(name: &'static str, value: &str, yes: &str, no: &str) -> Result<bool, Invalid> {
    match value {
        _ if value == yes => Ok(true),
        _ if value == no => Ok(false),
        _ => Err(Invalid::new(name, format_args!("is neither `{yes}` nor `{no}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_query(query: &str) -> Result<Wanted, Invalid> {
        let mut wanted = Wanted::default();
        wanted.add_form(&form::pairs(query.as_bytes())?)?;
        Ok(wanted)
    }

    fn topics(wanted: &Wanted) -> Vec<&str> {
        wanted.topics.iter().map(|wanted| wanted.topic.as_str()).collect()
    }

    #[test]
    fn query_and_body_are_united() {
        let mut wanted = of_query("topic=a&topic=b&topic=a&from=start&_=17").unwrap();
        wanted.add_json(br#"{"topics":["c","a",{"topic":"b","from":"last:2"}],"envelope":true}"#).unwrap();
        assert_eq!(topics(&wanted), ["a", "b", "c"]);
        assert_eq!(wanted.topics[1].from.as_ref().map(|b| &b.from), Some(&From::Last(2)));
        assert_eq!(wanted.from.as_ref().map(|b| &b.from), Some(&From::Start));
        assert!(wanted.envelope && !wanted.poll && !wanted.presence && !wanted.resumable);
        assert!(wanted.check(2).unwrap_err().to_string().contains("names 3 topics; at most 2"));
    }

    #[test]
    fn the_first_last_event_id_that_is_not_empty_wins() {
        let mut wanted = of_query("Last-Event-ID=d&lastEventID=b&last_event_id=&lastEventId=c").unwrap();
        assert_eq!(wanted.last_event_id.as_ref().unwrap().text, "b");
        let mut headers = HeaderMap::new();
        headers.insert("last-event-id", "".parse().unwrap());
        wanted.add_headers(&headers);
        assert_eq!(wanted.last_event_id.as_ref().unwrap().text, "b");
        headers.insert("last-event-id", http::HeaderValue::from_bytes(b"\xc3\xa9").unwrap());
        wanted.add_headers(&headers);
        assert_eq!(wanted.last_event_id.as_ref().unwrap().text, "é");
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        for (query, part) in [
            ("topic=a%0ab", "topic has the character U+000A"),
            ("from=later", "from is none of"),
            ("envelope=yes", "envelope is neither"),
            ("heartbeat=loud", "heartbeat is neither `event` nor `comment`"),
            ("reject=x", "reject is neither"),
            ("presence=x", "presence is neither"),
            ("resume=x", "resume is neither"),
        ] {
            let error = of_query(query).unwrap_err().to_string();
            assert!(error.contains(part), "{query}: {error}");
        }
        for (body, part) in [
            ("[1]", "body is not as it should be"),
            (r#"{"topic":"a"}"#, "unknown field `topic`"),
            (r#"{"topics":[{"topic":"a","form":"b"}]}"#, "a topic is a string, or an object"),
            (r#"{"topics":["a"],"from":"x"}"#, "from is none of"),
        ] {
            let error = Wanted::default().add_json(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part), "{body}: {error}");
        }
    }
}
