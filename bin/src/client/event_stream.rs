//! Reading `text/event-stream`, as the HTML standard says.

/// One dispatched event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Message {
    /// Its name; empty for none.
    pub event: String,
    /// Its data, lines joined by `\n`.
    pub data: String,
}

/// Takes bytes as they come and gives events.
#[derive(Debug, Default)]
pub(super) struct EventStream {
    line: Vec<u8>,
    /// The last byte was CR, so that an LF now belongs to it.
    after_cr: bool,
    begun: bool,
    message: Message,
    has_data: bool,
    id: String,
    /// The id of the last event that was ended by an empty line.
    last_id: String,
    retry: Option<u64>,
}

/// More than the server's largest event as base64; beyond it something else is speaking.
const LINE_BYTES_MAX: usize = 64 << 20;

impl EventStream {
    /// Reads `bytes` and gives each event that they complete to `each`. Fails if a line is longer than anything
    /// a server sends.
    pub(super) fn read(&mut self, bytes: &[u8], mut each: impl FnMut(Message)) -> Result<(), &'static str> {
        for &byte in bytes {
            let newline_of_cr = byte == b'\n' && std::mem::take(&mut self.after_cr);
            match byte {
                _ if newline_of_cr => {}
                b'\r' | b'\n' => {
                    self.after_cr = byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    self.end_line(&line, &mut each);
                }
                other => {
                    self.after_cr = false;
                    if self.line.len() == LINE_BYTES_MAX {
                        return Err("a line is longer than any event");
                    }
                    self.line.push(other);
                }
            }
        }
        Ok(())
    }

    /// The id to resume from; empty if there was none.
    pub(super) fn last_id(&self) -> &str {
        &self.last_id
    }

    /// The reconnection time that the server asked for since the last call, in milliseconds.
    pub(super) fn take_retry(&mut self) -> Option<u64> {
        self.retry.take()
    }

    fn end_line(&mut self, line: &[u8], each: &mut impl FnMut(Message)) {
        let line = String::from_utf8_lossy(line);
        let first = !std::mem::replace(&mut self.begun, true);
        let line = if first { line.strip_prefix('\u{feff}').unwrap_or(&line) } else { &line };
        if line.is_empty() {
            self.last_id.clone_from(&self.id);
            let message = std::mem::take(&mut self.message);
            if std::mem::take(&mut self.has_data) {
                each(message);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.message.event),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" => self.retry = value.parse().ok().or(self.retry),
            // Comments, and fields of the future.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stream: &mut EventStream, text: &str) -> Vec<(String, String)> {
        let mut all = Vec::new();
        // One byte at a time: a break may come anywhere.
        for byte in text.as_bytes() {
            stream.read(&[*byte], |message| all.push((message.event, message.data))).unwrap();
        }
        all
    }

    #[test]
    fn lines_of_every_ending_and_many_data_lines() {
        let mut stream = EventStream::default();
        let all = read(
            &mut stream,
            "\u{feff}:\nretry: 1500\nevent: a\r\ndata: x\r\ndata:  y\r\nid: 1\r\n\r\ndata\rid: 2\r\rid: 3\n\ndata: cut",
        );
        assert_eq!(all, [("a".to_owned(), "x\n y".to_owned()), (String::new(), String::new())]);
        assert_eq!(stream.last_id(), "3", "an id without data counts, one that was cut off does not");
        assert_eq!((stream.take_retry(), stream.take_retry()), (Some(1500), None));
    }
}
