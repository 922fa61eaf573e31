//! The rules every name shares, and the error that says which one was broken.

use std::fmt;

/// Why a value from outside was refused: `what` it was meant to be, what is wrong with it and where.
///
/// The text is written for the person who sent the value, holds nothing but facts about that value,
/// and may be shown to them as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}")]
pub struct Invalid {
    /// The noun that the value was meant to be, e.g. `topic`.
    pub what: &'static str,
    /// What is wrong, as the rest of a sentence that begins with `what`.
    pub problem: String,
}

impl Invalid {
    /// An error about `what`; `problem` continues the sentence, e.g. `"is empty"`.
    pub fn new(what: &'static str, problem: impl fmt::Display) -> Self {
        Self { what, problem: problem.to_string() }
    }
}

/// Checks a short name: not empty, at most `bytes_max` bytes of UTF-8, and free of characters that
/// could break a line-based protocol or hide in a log.
pub(crate) fn check_name(what: &'static str, text: &str, bytes_max: usize) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid::new(what, "is empty"));
    }
    if text.len() > bytes_max {
        return Err(Invalid::new(what, format_args!("has {} bytes; at most {bytes_max} are allowed", text.len())));
    }
    check_characters(what, text)
}

/// Refuses control (C0, DEL, C1), line-separating and invisible format characters.
///
/// The last two are here because they make two names look alike (U+202E turns text around, U+200B is
/// no width at all) and because some clients end a line at U+2028, U+2029 and U+0085.
pub(crate) fn check_characters(what: &'static str, text: &str) -> Result<(), Invalid> {
    // Nearly every name is of these, and they can be told apart byte by byte.
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Ok(());
    }
    match text.char_indices().find(|(_, c)| is_forbidden(*c)) {
        None => Ok(()),
        Some((at, c)) => Err(Invalid::new(
            what,
            format_args!(
                "has the character U+{:04X} at byte {at}; control and invisible format characters are not allowed",
                c as u32
            ),
        )),
    }
}

fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{0600}'..='\u{0605}' | '\u{061C}' | '\u{06DD}' | '\u{070F}' | '\u{180E}'
            | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0001}' | '\u{E0020}'..='\u{E007F}')
}
