//! For tests: an event stream read as the WHATWG standard says (section 9.2.6), written from the standard and not
//! from the encoder.

/// An event as a browser would dispatch it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) data: String,
}

/// Every event that `stream` dispatches.
pub(crate) fn parse(stream: &[u8]) -> Vec<Parsed> {
    let text = String::from_utf8(stream.to_vec()).expect("an event stream is UTF-8");
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut id, mut event, mut data) = (Vec::new(), String::new(), String::new(), None::<String>);
    let lines: Vec<&str> = text.split('\n').collect();
    // What follows the last line end is an unfinished line.
    for line in &lines[..lines.len() - 1] {
        if line.is_empty() {
            let name = std::mem::take(&mut event);
            if let Some(mut data) = data.take() {
                data.truncate(data.len() - 1);
                let event = if name.is_empty() { "message".to_owned() } else { name };
                events.push(Parsed { id: id.clone(), event, data });
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut event),
            "data" => data.get_or_insert_default().extend([value, "\n"]),
            "id" if !value.contains('\0') => value.clone_into(&mut id),
            _ => {}
        }
    }
    events
}
