//! What could be seen at a moment.

/// A snapshot of the server (`pg_snapshot`): which transactions had ended.
///
/// What a later look sees that this one did not is exactly what was written by transactions that were open then, or began
/// since. So a tail that asks for those, and takes the next look's snapshot from the same statement, sees every event once,
/// whatever the order of commits, and waits for nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Every transaction from this number on began later, in decimal.
    pub(crate) next: String,
    /// The ones before that were still open.
    pub(crate) open: Vec<String>,
}

impl Snapshot {
    /// Reads the server's text: `xmin:xmax:xip,xip`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (Some(_), Some(next), Some(open), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return None;
        };
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let open: Vec<String> = open.split(',').filter(|xid| !xid.is_empty()).map(str::to_owned).collect();
        (is_number(next) && open.iter().all(|xid| is_number(xid))).then(|| Self { next: next.to_owned(), open })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_server_writes() {
        let snapshot = |next: &str, open: &[&str]| {
            let open = open.iter().map(|xid| (*xid).to_owned()).collect();
            Some(Snapshot { next: next.to_owned(), open })
        };
        assert_eq!(Snapshot::parse("10:20:10,14,15"), snapshot("20", &["10", "14", "15"]));
        assert_eq!(Snapshot::parse("746:746:"), snapshot("746", &[]));
        for text in ["", "1:2", "1:x:", "1:2:3,x", "1:2:3:4"] {
            assert_eq!(Snapshot::parse(text), None, "{text}");
        }
    }
}
