//! Reading a client's frames, in pieces of any size.

use super::deflate::inflate;
use super::encode::RSV1;
use super::{CONTROL_BYTES_MAX, Close, Opcode, Violation};

/// What a client may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most bytes of a message, over all its fragments.
    pub(crate) message_bytes_max: usize,
    /// The most fragments of a message.
    pub(crate) fragments_max: u32,
}

/// What the handshake has agreed on beyond text messages as they are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Agreed {
    /// Messages may be compressed (permessage-deflate without context takeover).
    pub(crate) deflate: bool,
    /// Binary messages are taken too.
    pub(crate) binary: bool,
}

/// Something that has been received whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A ping, to be answered with the same payload.
    Ping(Vec<u8>),
    /// A pong.
    Pong,
    /// The client closes. Whatever comes after it is to be ignored.
    Close(Close),
}

/// Reads frames. Holds what has come of an unfinished frame or message, and nothing else: between messages it owns
/// no memory.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    agreed: Agreed,
    header: [u8; HEADER_BYTES_MAX],
    header_len: u8,
    frame: Option<Frame>,
    /// Of the message that is being received: what it is.
    kind: Kind,
    /// What has come of it so far.
    message: Vec<u8>,
    /// How much of `message` is known to be UTF-8, if it is plain text.
    valid: usize,
    /// Fragments of the message so far; 0 between messages.
    fragments: u32,
    /// The payload of the control frame that is being received.
    control: Vec<u8>,
}

/// What a message is, said by its first frame.
#[derive(Debug, Clone, Copy, Default)]
struct Kind {
    binary: bool,
    deflated: bool,
}

/// The frame whose payload is being received.
#[derive(Debug, Clone, Copy)]
struct Frame {
    opcode: Opcode,
    fin: bool,
    mask: [u8; 4],
    /// How much of the payload has come.
    at: u64,
    length: u64,
}

/// The bits of a frame's first byte that mean something only to extensions.
const RESERVED: u8 = 0x70;
/// 2 bytes, 8 of length, 4 of mask.
const HEADER_BYTES_MAX: usize = 14;

impl Decoder {
    /// A decoder of what was agreed on; the default one takes text only, and no compression.
    pub(crate) fn new(agreed: Agreed) -> Self {
        Self { agreed, ..Self::default() }
    }

    /// Takes from the front of `input` until something is whole or all is taken. After an error the connection is
    /// of no more use.
    pub(crate) fn next(&mut self, input: &mut &[u8], limits: Limits) -> Result<Option<Event>, Violation> {
        loop {
            let Some(mut frame) = self.frame else {
                if !self.read_header(input, limits)? {
                    return Ok(None);
                }
                continue;
            };
            let left = usize::try_from(frame.length - frame.at).unwrap_or(usize::MAX);
            let (payload, rest) = input.split_at(left.min(input.len()));
            *input = rest;
            let target = if frame.opcode.is_control() { &mut self.control } else { &mut self.message };
            let begin = target.len();
            target.extend_from_slice(payload);
            unmask(&mut target[begin..], frame.mask, frame.at);
            frame.at += payload.len() as u64;
            let whole = frame.at == frame.length;
            self.frame = (!whole).then_some(frame);
            if !frame.opcode.is_control() && !self.kind.binary && !self.kind.deflated {
                self.check_text(whole && frame.fin)?;
            }
            if !whole {
                return Ok(None);
            }
            if let Some(event) = self.finish(frame, limits)? {
                return Ok(Some(event));
            }
        }
    }

    /// Whether a frame or a message has begun and is not whole yet.
    #[cfg(test)]
    fn is_between_messages(&self) -> bool {
        self.frame.is_none() && self.header_len == 0 && self.fragments == 0
    }

    /// Takes bytes into the header; says whether it is whole.
    fn read_header(&mut self, input: &mut &[u8], limits: Limits) -> Result<bool, Violation> {
        loop {
            let have = usize::from(self.header_len);
            let need = header_length(&self.header[..have]);
            if have == need {
                break;
            }
            let take = (need - have).min(input.len());
            let (bytes, rest) = input.split_at(take);
            *input = rest;
            self.header[have..have + take].copy_from_slice(bytes);
            self.header_len = u8::try_from(have + take).unwrap_or(u8::MAX);
            // Refused by its first bytes already: what comes after them is not waited for.
            self.check_start()?;
            if take == 0 {
                return Ok(false);
            }
        }
        let have = usize::from(std::mem::take(&mut self.header_len));
        self.begin(self.header, have, limits)?;
        Ok(true)
    }

    /// Checks the first two bytes, as far as they are there.
    fn check_start(&self) -> Result<(), Violation> {
        let have = usize::from(self.header_len);
        if have == 0 {
            return Ok(());
        }
        let first = self.header[0];
        let opcode = Opcode::from_bits(first & 0x0f).ok_or(Violation::UnknownOpcode)?;
        let may_be_set = if self.agreed.deflate && opcode.begins_message() { RSV1 } else { 0 };
        if first & RESERVED & !may_be_set != 0 {
            return Err(Violation::ReservedBit);
        }
        let fin = first & 0x80 != 0;
        match opcode {
            Opcode::Continuation if self.fragments == 0 => return Err(Violation::FragmentOrder),
            Opcode::Text | Opcode::Binary if self.fragments > 0 => return Err(Violation::FragmentOrder),
            Opcode::Binary if !self.agreed.binary => return Err(Violation::Binary),
            Opcode::Close | Opcode::Ping | Opcode::Pong if !fin => return Err(Violation::FragmentedControl),
            _ => {}
        }
        if have >= 2 {
            let second = self.header[1];
            if second & 0x80 == 0 {
                return Err(Violation::NotMasked);
            }
            if opcode.is_control() && usize::from(second & 0x7f) > CONTROL_BYTES_MAX {
                return Err(Violation::LongControl);
            }
        }
        Ok(())
    }

    /// Begins the payload of the frame with this header, whose start has been checked.
    fn begin(&mut self, header: [u8; HEADER_BYTES_MAX], have: usize, limits: Limits) -> Result<(), Violation> {
        let opcode = Opcode::from_bits(header[0] & 0x0f).ok_or(Violation::UnknownOpcode)?;
        let extended = |bytes: usize| header[2..2 + bytes].iter().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
        let length = match header[1] & 0x7f {
            126 => Some(extended(2)).filter(|length| *length > 125),
            127 => Some(extended(8)).filter(|length| (0x1_0000..1 << 63).contains(length)),
            length => Some(u64::from(length)),
        };
        let length = length.ok_or(Violation::BadLength)?;
        let mut mask = [0; 4];
        mask.copy_from_slice(&header[have - 4..have]);
        if !opcode.is_control() {
            let total = length.checked_add(self.message.len() as u64).ok_or(Violation::TooLarge)?;
            if total > limits.message_bytes_max as u64 {
                return Err(Violation::TooLarge);
            }
            self.fragments = self.fragments.saturating_add(1);
            if self.fragments > limits.fragments_max {
                return Err(Violation::TooManyFragments);
            }
        }
        if opcode.begins_message() {
            self.kind = Kind { binary: opcode == Opcode::Binary, deflated: header[0] & RSV1 != 0 };
        }
        self.frame = Some(Frame { opcode, fin: header[0] & 0x80 != 0, mask, at: 0, length });
        Ok(())
    }

    /// Checks what has come of a text; `all`: no more comes.
    fn check_text(&mut self, all: bool) -> Result<(), Violation> {
        let fresh = &self.message[self.valid..];
        let Err(error) = simdutf8::compat::from_utf8(fresh) else {
            self.valid = self.message.len();
            return Ok(());
        };
        // Without a length of the error the last character may still be completed.
        if error.error_len().is_some() || all {
            return Err(Violation::BadUtf8);
        }
        self.valid += error.valid_up_to();
        Ok(())
    }

    /// A frame has come whole.
    fn finish(&mut self, frame: Frame, limits: Limits) -> Result<Option<Event>, Violation> {
        Ok(match frame.opcode {
            Opcode::Ping => Some(Event::Ping(std::mem::take(&mut self.control))),
            Opcode::Pong => {
                self.control = Vec::new();
                Some(Event::Pong)
            }
            Opcode::Close => Some(Event::Close(Close::read(&std::mem::take(&mut self.control))?)),
            Opcode::Continuation | Opcode::Text | Opcode::Binary if frame.fin => {
                self.fragments = 0;
                self.valid = 0;
                let mut message = std::mem::take(&mut self.message);
                if self.kind.deflated {
                    message = inflate(&message, limits.message_bytes_max)?;
                }
                Some(if self.kind.binary {
                    Event::Binary(message)
                } else {
                    // A plain text was checked piece by piece already; this finds nothing new.
                    Event::Text(String::from_utf8(message).map_err(|_| Violation::BadUtf8)?)
                })
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary => None,
        })
    }
}

/// How long the header is that begins with `have`, as far as can be told.
fn header_length(have: &[u8]) -> usize {
    2 + have.get(1).map_or(0, |second| match second & 0x7f {
        126 => 2 + 4,
        127 => 8 + 4,
        _ => 4,
    })
}

/// Undoes the mask of a piece of payload that begins `at` bytes into its frame.
fn unmask(bytes: &mut [u8], mask: [u8; 4], at: u64) {
    let mut turned = mask;
    turned.rotate_left((at % 4) as usize);
    // In words of 16 bytes, which the compiler makes into vector instructions.
    let word = u128::from_ne_bytes(std::array::from_fn(|i| turned[i % 4]));
    let (words, rest) = bytes.as_chunks_mut::<16>();
    for chunk in words {
        *chunk = (u128::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(turned.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::super::deflate::tests::compressed;
    use super::*;

    const LIMITS: Limits = Limits { message_bytes_max: 1000, fragments_max: 4 };

    /// A client's frame.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 250];
        let mut bytes = vec![first];
        match payload.len() {
            n @ 0..=125 => bytes.push(0x80 | u8::try_from(n).unwrap()),
            n => {
                bytes.push(0xfe);
                bytes.extend(u16::try_from(n).unwrap().to_be_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }

    const ALL: Agreed = Agreed { deflate: true, binary: true };

    /// All that `bytes` say, given in pieces of `step`.
    fn read(agreed: Agreed, bytes: &[u8], step: usize) -> (Vec<Event>, Result<Decoder, Violation>) {
        let (mut decoder, mut events) = (Decoder::new(agreed), Vec::new());
        for mut piece in bytes.chunks(step) {
            loop {
                match decoder.next(&mut piece, LIMITS) {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break,
                    Err(violation) => return (events, Err(violation)),
                }
            }
        }
        (events, Ok(decoder))
    }

    fn check(bytes: &[u8], expected: &[Event]) {
        check_as(Agreed::default(), bytes, expected);
        check_as(ALL, bytes, expected);
    }

    fn check_as(agreed: Agreed, bytes: &[u8], expected: &[Event]) {
        for step in [1, 2, 3, 7, bytes.len()] {
            let (events, decoder) = read(agreed, bytes, step);
            assert_eq!(events, expected, "in pieces of {step}");
            let decoder = decoder.unwrap();
            assert!(decoder.is_between_messages());
            assert_eq!((decoder.message.capacity(), decoder.control.capacity()), (0, 0));
        }
    }

    fn refused(bytes: &[u8], violation: Violation) {
        refused_as(Agreed::default(), bytes, violation);
    }

    fn refused_as(agreed: Agreed, bytes: &[u8], violation: Violation) {
        for step in [1, 3, bytes.len()] {
            assert_eq!(read(agreed, bytes, step).1.map(|_| ()), Err(violation), "in pieces of {step}");
        }
    }

    #[test]
    fn messages_in_any_pieces() {
        check(&frame(0x81, "häuser".as_bytes()), &[Event::Text("häuser".into())]);
        check(&frame(0x81, b""), &[Event::Text(String::new())]);
        let long = "x".repeat(600);
        check(&frame(0x81, long.as_bytes()), &[Event::Text(long)]);
    }

    #[test]
    fn fragments_with_a_ping_between_and_a_character_across() {
        let euro = "€".as_bytes();
        let bytes = [
            frame(0x01, &euro[..1]),
            frame(0x89, b"hi"),
            frame(0x00, &euro[1..2]),
            frame(0x8a, b""),
            frame(0x80, &euro[2..]),
            frame(0x88, b"\x03\xe8"),
        ]
        .concat();
        check(
            &bytes,
            &[
                Event::Ping(b"hi".into()),
                Event::Pong,
                Event::Text("€".into()),
                Event::Close(Close { code: Some(1000) }),
            ],
        );
    }

    #[test]
    fn what_the_rfc_forbids() {
        refused(&frame(0xc1, b"x"), Violation::ReservedBit);
        refused(&frame(0x83, b"x"), Violation::UnknownOpcode);
        refused(&frame(0x8b, b"x"), Violation::UnknownOpcode);
        refused(b"\x81\x01x", Violation::NotMasked);
        refused(&frame(0x09, b"x"), Violation::FragmentedControl);
        refused(&frame(0x89, &[0; 126]), Violation::LongControl);
        refused(&frame(0x80, b"x"), Violation::FragmentOrder);
        refused(&[frame(0x01, b"x"), frame(0x81, b"x")].concat(), Violation::FragmentOrder);
        refused(&frame(0x82, b"x"), Violation::Binary);
        refused(&frame(0x88, b"x"), Violation::BadClose);
        refused(&[0x81, 0xfe, 0, 125, 0, 0, 0, 0], Violation::BadLength);
        refused(&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0], Violation::BadLength);
        refused(&[0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Violation::BadLength);
    }

    #[test]
    fn text_is_refused_at_its_first_bad_byte() {
        refused(&frame(0x81, b"a\xff"), Violation::BadUtf8);
        refused(&frame(0x81, b"a\xe2\x82"), Violation::BadUtf8);
        refused(&[frame(0x01, b"a\xe2"), frame(0x80, b"\x82")].concat(), Violation::BadUtf8);
        // Not waited for: the message is not over.
        let (_, result) = read(Agreed::default(), &frame(0x01, b"\xff")[..], 100);
        assert_eq!(result.map(|_| ()), Err(Violation::BadUtf8));
    }

    #[test]
    fn binary_messages_if_agreed_on() {
        let bytes = [frame(0x02, b"\xff"), frame(0x89, b""), frame(0x80, b"\x00"), frame(0x81, b"x")].concat();
        let events = [Event::Ping(Vec::new()), Event::Binary(vec![0xff, 0]), Event::Text("x".into())];
        check_as(Agreed { binary: true, deflate: false }, &bytes, &events);
        refused_as(Agreed { binary: false, deflate: true }, &frame(0xc2, b"x"), Violation::Binary);
    }

    #[test]
    fn compressed_messages_over_fragments() {
        let euros = "€".repeat(100);
        let packed = compressed(euros.as_bytes(), 6);
        let bytes = [
            frame(0x41, &packed[..1]),
            frame(0x89, b"hi"),
            frame(0x00, &packed[1..2]),
            frame(0x80, &packed[2..]),
            // A plain one between.
            frame(0x81, "€".as_bytes()),
            frame(0xc2, &compressed(&[0xff; 300], 1)),
            frame(0xc1, &[0]),
        ]
        .concat();
        let events = [
            Event::Ping(b"hi".into()),
            Event::Text(euros),
            Event::Text("€".into()),
            Event::Binary(vec![0xff; 300]),
            Event::Text(String::new()),
        ];
        check_as(ALL, &bytes, &events);
    }

    #[test]
    fn what_may_not_be_compressed_and_what_is_not_well() {
        let packed = compressed(b"packed", 6);
        refused(&frame(0xc1, &packed), Violation::ReservedBit);
        for first in [0xc9, 0xca, 0xc8, 0xa1, 0x91, 0xe1] {
            refused_as(ALL, &frame(first, &packed), Violation::ReservedBit);
        }
        let second_fragment = [frame(0x41, &packed[..2]), frame(0xc0, &packed[2..])].concat();
        refused_as(ALL, &second_fragment, Violation::ReservedBit);
        refused_as(ALL, &frame(0xc1, b"packed"), Violation::BadDeflate);
        refused_as(ALL, &frame(0xc1, b""), Violation::BadDeflate);
        refused_as(ALL, &frame(0xc1, &compressed(b"a\xff", 6)), Violation::BadUtf8);
        refused_as(ALL, &frame(0xc1, &compressed(&[b'x'; 1001], 6)), Violation::TooLarge);
        check_as(ALL, &frame(0xc1, &compressed(&[b'x'; 1000], 6)), &[Event::Text("x".repeat(1000))]);
    }

    #[test]
    fn limits_count_over_fragments_and_before_the_payload() {
        refused(&frame(0x81, &[b'x'; 1001])[..8], Violation::TooLarge);
        refused(&[frame(0x01, &[b'x'; 600]), frame(0x80, &[b'x'; 401])].concat(), Violation::TooLarge);
        refused(&[0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], Violation::TooLarge);
        let mut many = frame(0x01, b"x");
        (0..4).for_each(|_| many.extend(frame(0x00, b"x")));
        refused(&many, Violation::TooManyFragments);
    }
}
