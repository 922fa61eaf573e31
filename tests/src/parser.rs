//! The `text/event-stream` grammar of the WHATWG standard, as a browser reads it.

/// One event, as a browser would dispatch it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// Its type; `message` if none was given.
    pub name: String,
    /// Its data.
    pub data: String,
    /// The last event id at that moment.
    pub id: String,
}

impl SseEvent {
    /// Whether it is one of the server's own (`fanfare.*`).
    pub fn is_control(&self) -> bool {
        self.name.starts_with("fanfare.")
    }

    /// The data as JSON; panics if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error} in the data of {self:?}"))
    }
}

/// Reads a stream in pieces of any size.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    after_cr: bool,
    started: bool,
    name: String,
    data: String,
    id: String,
    last_id: String,
    /// Comment lines seen, heartbeats among them.
    pub comments: usize,
    /// The latest `retry:` in milliseconds.
    pub retry: Option<u64>,
    /// Blank lines that ended no event: what makes some clients report an empty message.
    pub idle_blank_lines: usize,
}

impl SseParser {
    /// The last event id.
    pub fn last_id(&self) -> &str {
        &self.last_id
    }

    /// Whether the stream now stands between two events.
    pub fn at_boundary(&self) -> bool {
        self.line.is_empty() && self.data.is_empty() && self.name.is_empty()
    }

    /// Takes the next bytes; gives the events they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<SseEvent> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::take(&mut self.after_cr);
            match byte {
                b'\n' if after_cr => {}
                b'\n' => events.extend(self.end_line()),
                b'\r' => {
                    self.after_cr = true;
                    events.extend(self.end_line());
                }
                _ => self.line.push(byte),
            }
        }
        events
    }

    fn end_line(&mut self) -> Option<SseEvent> {
        let bytes = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&bytes);
        let line = if std::mem::replace(&mut self.started, true) { &line } else { line.trim_start_matches('\u{feff}') };
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => self.comments += 1,
            "event" => value.clone_into(&mut self.name),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => {
                self.retry = value.parse().ok();
            }
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let id_moved = self.last_id != self.id;
        self.last_id.clone_from(&self.id);
        let name = std::mem::take(&mut self.name);
        let mut data = std::mem::take(&mut self.data);
        if data.is_empty() {
            self.idle_blank_lines += usize::from(!id_moved);
            return None;
        }
        data.pop();
        let name = if name.is_empty() { "message".to_owned() } else { name };
        Some(SseEvent { name, data, id: self.last_id.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_standard_says_in_pieces_of_any_size() {
        let text = "\u{feff}: hi\nretry: 10\rdata: a\r\ndata:b\ndata\nid: 7\nevent: x\n\nid: 8\n\n:\n\ndata:  y\n\n";
        for size in 1..text.len() {
            let mut parser = SseParser::default();
            let events: Vec<_> = text.as_bytes().chunks(size).flat_map(|piece| parser.push(piece)).collect();
            let event =
                |name: &str, data: &str, id: &str| SseEvent { name: name.into(), data: data.into(), id: id.into() };
            assert_eq!(events, [event("x", "a\nb\n", "7"), event("message", " y", "8")]);
            assert_eq!((parser.comments, parser.retry, parser.idle_blank_lines), (2, Some(10), 1));
            assert!(parser.at_boundary());
        }
    }
}
