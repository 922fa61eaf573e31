//! Names as tokens of subjects.
//!
//! A token is made of `[A-Za-z0-9_:/-]`; any other byte of a name is `=` and two hexadecimal digits. So a token holds
//! no `.`, `*`, `>` or space, two names never share one, and a prefix of a name is a prefix of its token.

use std::fmt::Write as _;

/// Writes the token of `name` to the end of `out`.
pub(crate) fn write(name: &str, out: &mut String) {
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b':' | b'/' | b'-' => out.push(char::from(byte)),
            // Writing to a string does not fail.
            other => drop(write!(out, "={other:02X}")),
        }
    }
}

/// The token of `name`.
pub(crate) fn of(name: &str) -> String {
    let mut token = String::with_capacity(name.len() + 8);
    write(name, &mut token);
    token
}

/// The name of a token; `None` if it is not one.
pub(crate) fn name(token: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'=' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            plain => plain,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_tokens_are_clean() {
        for text in
            ["a", "chat:room:7", "a.b", "a:*", "a:>", "a b", "a=b", "=", "ä€😀", "\u{1}a", "\u{2}revocations", "$JS"]
        {
            let token = of(text);
            assert!(
                !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic() && !b".*>$".contains(&b)),
                "{token}"
            );
            assert_eq!(name(&token).as_deref(), Some(text));
        }
        for text in ["=", "=4", "=ZZ", "=FF"] {
            assert_eq!(name(text), None, "{text}");
        }
    }
}
