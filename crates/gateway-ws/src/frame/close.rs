//! Close codes, and what each violation of the protocol closes with.

/// A close frame's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Close {
    /// The code; `None` if the frame was empty.
    pub(crate) code: Option<u16>,
}

impl Close {
    /// Reads the payload of a close frame (RFC 6455 section 5.5.1).
    pub(crate) fn read(payload: &[u8]) -> Result<Self, Violation> {
        let Some((code, reason)) = payload.split_first_chunk::<2>() else {
            return if payload.is_empty() { Ok(Self { code: None }) } else { Err(Violation::BadClose) };
        };
        let code = u16::from_be_bytes(*code);
        if !may_be_sent(code) {
            return Err(Violation::BadClose);
        }
        if simdutf8::basic::from_utf8(reason).is_err() {
            return Err(Violation::BadUtf8);
        }
        Ok(Self { code: Some(code) })
    }

    /// Whether the client, or the page that it was part of, has ended on purpose (RFC 6455 section 7.4.1), as opposed to
    /// a library that gives up.
    pub(crate) fn is_wanted(&self) -> bool {
        matches!(self.code, None | Some(1000 | 1001))
    }
}

/// Whether a code may stand in a close frame: those of the RFC and the registry that are not only for APIs, and
/// those of libraries and applications.
const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// What a client did that RFC 6455, or a limit, does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub(crate) enum Violation {
    /// A reserved bit is set, and no extension was negotiated that gives it a meaning there.
    #[error("a reserved bit is set")]
    ReservedBit,
    /// The opcode means nothing.
    #[error("unknown opcode")]
    UnknownOpcode,
    /// A client must mask what it sends.
    #[error("a frame is not masked")]
    NotMasked,
    /// The length is not in its shortest form, or over 63 bits.
    #[error("a length is not in its shortest form")]
    BadLength,
    /// A control frame is in fragments.
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// A control frame has more than 125 bytes.
    #[error("a control frame is too long")]
    LongControl,
    /// A continuation of nothing, or a new message within another.
    #[error("fragments are out of order")]
    FragmentOrder,
    /// The payload of a close frame is malformed.
    #[error("malformed close frame")]
    BadClose,
    /// Text is not UTF-8.
    #[error("text is not valid UTF-8")]
    BadUtf8,
    /// A compressed message is damaged.
    #[error("the message is not compressed as agreed")]
    BadDeflate,
    /// A message has more bytes than allowed.
    #[error("the message is too large")]
    TooLarge,
    /// A message has more fragments than allowed.
    #[error("the message has too many fragments")]
    TooManyFragments,
    /// A binary message, which the dialect does not take.
    #[error("only text messages are taken")]
    Binary,
    /// A text message, which the dialect does not take.
    #[error("only binary messages are taken")]
    Text,
}

impl Violation {
    /// Every violation, for tests and metrics.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 14] = [
        Self::ReservedBit,
        Self::UnknownOpcode,
        Self::NotMasked,
        Self::BadLength,
        Self::FragmentedControl,
        Self::LongControl,
        Self::FragmentOrder,
        Self::BadClose,
        Self::BadUtf8,
        Self::BadDeflate,
        Self::TooLarge,
        Self::TooManyFragments,
        Self::Binary,
        Self::Text,
    ];

    /// The code to close with (RFC 6455 section 7.4.1).
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::ReservedBit
            | Self::UnknownOpcode
            | Self::NotMasked
            | Self::BadLength
            | Self::FragmentedControl
            | Self::LongControl
            | Self::FragmentOrder
            | Self::BadClose => 1002,
            Self::Binary | Self::Text => 1003,
            Self::BadUtf8 | Self::BadDeflate => 1007,
            Self::TooManyFragments => 1008,
            Self::TooLarge => 1009,
        }
    }

    /// The word in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ReservedBit => "reserved_bit",
            Self::UnknownOpcode => "unknown_opcode",
            Self::NotMasked => "not_masked",
            Self::BadLength => "bad_length",
            Self::FragmentedControl => "fragmented_control",
            Self::LongControl => "long_control",
            Self::FragmentOrder => "fragment_order",
            Self::BadClose => "bad_close",
            Self::BadUtf8 => "bad_utf8",
            Self::BadDeflate => "bad_deflate",
            Self::TooLarge => "too_large",
            Self::TooManyFragments => "too_many_fragments",
            Self::Binary => "binary",
            Self::Text => "text",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_violation_has_a_code_that_may_be_sent_and_a_word_of_its_own() {
        let words: HashSet<_> = Violation::ALL.iter().map(|v| v.as_str()).collect();
        assert_eq!(words.len(), Violation::ALL.len());
        assert!(Violation::ALL.iter().all(|v| may_be_sent(v.code())));
    }

    #[test]
    fn close_payloads() {
        assert_eq!(Close::read(&[]), Ok(Close { code: None }));
        assert_eq!(Close::read(&[0x03, 0xe8]), Ok(Close { code: Some(1000) }));
        assert_eq!(Close::read(b"\x0b\xb8bye"), Ok(Close { code: Some(3000) }));
        assert_eq!(Close::read(&[3]), Err(Violation::BadClose));
        for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
            assert_eq!(Close::read(&code.to_be_bytes()), Err(Violation::BadClose), "{code}");
        }
        assert_eq!(Close::read(b"\x03\xe8\xff"), Err(Violation::BadUtf8));
    }
}
