//! How values are laid out: little-endian numbers, strings with their length before them, and a
//! checksum of everything at the end. Each kind of value begins with its own version.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Why stored or carried bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// They end before the value does.
    #[error("the bytes end before the value does")]
    Short,
    /// Another version of this program has written them.
    #[error("the value has version {0}, which this program does not know")]
    Version(u8),
    /// They were changed, or belong elsewhere.
    #[error("the checksum does not match")]
    Checksum,
    /// A part has a value that it cannot have.
    #[error("{0} is not allowed")]
    Field(&'static str),
    /// They go on after the value's end.
    #[error("there are bytes after the end of the value")]
    Surplus,
}

const SUM_BYTES: usize = 4;

/// The checksum also covers where a value belongs, so that one in a wrong place is noticed.
fn sum(bytes: &[u8], place: u64) -> [u8; SUM_BYTES] {
    let [a, b, c, d, ..] = xxh3_64_with_seed(bytes, place).to_le_bytes();
    [a, b, c, d]
}

/// Writes the parts of a value at the end of some bytes.
pub(crate) struct Encoder<'a>(&'a mut Vec<u8>);

impl<'a> Encoder<'a> {
    pub(crate) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn u8(&mut self, number: u8) {
        self.0.push(number);
    }

    pub(crate) fn u16(&mut self, number: u16) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, number: i64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn u128(&mut self, number: u128) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// At most 65535 bytes: names are far shorter.
    pub(crate) fn text(&mut self, text: &str) {
        self.u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Bytes without a length.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// A part of any size, with its length before it.
    pub(crate) fn part(&mut self, write: impl FnOnce(&mut Encoder<'_>)) {
        let at = self.0.len();
        self.u32(0);
        write(self);
        // No event is that large; see the limit of the options.
        let length = u32::try_from(self.0.len() - at - 4).unwrap_or(u32::MAX);
        self.0[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }
}

/// Makes a value that can be checked: its version, what `write` writes, and a checksum.
pub(crate) fn seal(version: u8, place: u64, capacity: usize, write: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(capacity + 1 + SUM_BYTES);
    seal_onto(&mut bytes, version, place, write);
    bytes
}

/// The same at the end of some bytes.
pub(crate) fn seal_onto(bytes: &mut Vec<u8>, version: u8, place: u64, write: impl FnOnce(&mut Encoder<'_>)) {
    let start = bytes.len();
    bytes.push(version);
    write(&mut Encoder(bytes));
    let sum = sum(&bytes[start..], place);
    bytes.extend_from_slice(&sum);
}

/// Checks version and checksum of a value, and begins to read it.
pub(crate) fn unseal(bytes: &[u8], version: u8, place: u64) -> Result<Decoder<'_>, Damage> {
    let (value, found) = bytes.split_last_chunk::<SUM_BYTES>().ok_or(Damage::Short)?;
    if sum(value, place) != *found {
        return Err(Damage::Checksum);
    }
    match value.split_first() {
        Some((found, rest)) if *found == version => Ok(Decoder(rest)),
        Some((found, _)) => Err(Damage::Version(*found)),
        None => Err(Damage::Short),
    }
}

/// Reads the parts of a value.
pub(crate) struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Damage::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Damage> {
        self.take::<1>().map(|[b]| b)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Damage> {
        self.take().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Damage> {
        self.take().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Damage> {
        self.take().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Damage> {
        self.take().map(i64::from_le_bytes)
    }

    pub(crate) fn text(&mut self, field: &'static str) -> Result<&'a str, Damage> {
        let length = usize::from(self.u16()?);
        let (text, rest) = self.0.split_at_checked(length).ok_or(Damage::Short)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| Damage::Field(field))
    }

    /// A part that was written with its length.
    pub(crate) fn part(&mut self) -> Result<&'a [u8], Damage> {
        let length = usize::try_from(self.u32()?).map_err(|_| Damage::Short)?;
        let (part, rest) = self.0.split_at_checked(length).ok_or(Damage::Short)?;
        self.0 = rest;
        Ok(part)
    }

    /// Everything that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn end(self) -> Result<(), Damage> {
        if self.0.is_empty() { Ok(()) } else { Err(Damage::Surplus) }
    }
}
