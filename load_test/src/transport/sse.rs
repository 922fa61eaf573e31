//! Events of a `text/event-stream`.

use memchr::memmem;

/// The first event in `input`, as the lines it consists of, and how many bytes it takes with its blank line; `None` if
/// it is not all there.
pub(crate) fn next(input: &[u8]) -> Option<(&[u8], usize)> {
    let mut from = 0;
    loop {
        let end = from + memchr::memchr(b'\n', &input[from..])?;
        match input.get(end + 1) {
            Some(b'\n') => return Some((&input[..=end], end + 2)),
            Some(b'\r') if input.get(end + 2) == Some(&b'\n') => return Some((&input[..=end], end + 3)),
            _ => from = end + 1,
        }
    }
}

/// The value of the field `id` of an event.
pub(crate) fn id(event: &[u8]) -> Option<&[u8]> {
    let mut lines = event.split(|byte| *byte == b'\n');
    lines.find_map(|line| line.strip_prefix(b"id:")).map(<[u8]>::trim_ascii)
}

/// Whether it is nothing but whole lines without content: what a server sends to keep the stream alive.
pub(crate) fn is_idle(rest: &[u8]) -> bool {
    rest.ends_with(b"\n")
        && memmem::find(rest, b"data").is_none()
        && rest.split(|byte| *byte == b'\n').all(|line| {
            let line = line.trim_ascii();
            line.is_empty() || line.starts_with(b":") || line.starts_with(b"retry:")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_end_at_blank_lines() {
        let input = b":\nretry: 3000\nid: a\ndata: 1\n\nid: b\r\ndata: 2\r\n\r\nid: c\n";
        let (first, taken) = next(input).unwrap();
        assert_eq!(id(first), Some(&b"a"[..]));
        let (second, more) = next(&input[taken..]).unwrap();
        assert_eq!(id(second), Some(&b"b"[..]));
        assert_eq!(next(&input[taken + more..]), None);
        assert_eq!(next(b""), None);
        assert_eq!(id(b"data: x\n"), None);
    }

    #[test]
    fn heartbeats_are_told_from_events_under_way() {
        assert!(is_idle(b":\n"));
        assert!(is_idle(b":\nretry: 3000\n:\n"));
        assert!(!is_idle(b":\nid: 1\n"));
        assert!(!is_idle(b":\nretry: 30"));
        assert!(!is_idle(b""));
    }
}
