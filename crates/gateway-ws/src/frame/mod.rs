//! WebSocket frames (RFC 6455), both ways. Pure: bytes in, events out; no socket, no clock.

mod close;
mod decode;
mod deflate;
mod encode;
#[cfg(test)]
mod oracle;

pub(crate) use close::{Close, Violation};
pub(crate) use decode::{Agreed, Decoder, Event, Limits};
pub(crate) use deflate::{WINDOW_BITS, deflate};
pub(crate) use encode::{HEADER_ROOM, close, finish, payload, ping, pong};

/// What a frame is (RFC 6455 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    pub(crate) const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    pub(crate) const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    /// Whether it stands in the first frame of a message.
    pub(crate) const fn begins_message(self) -> bool {
        matches!(self, Self::Text | Self::Binary)
    }

    pub(crate) const fn is_control(self) -> bool {
        self.bits() & 0x8 != 0
    }
}

/// The most payload a control frame may have (RFC 6455 section 5.5).
pub(crate) const CONTROL_BYTES_MAX: usize = 125;
