//! Positions and cursors: any text is refused or means one thing.
#![no_main]

use fanfare_model::{Cursor, Position};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let position = text.parse::<Position>();
    if let Ok(position) = &position {
        assert_eq!(position.to_string(), text);
    }
    match text.parse::<Cursor>() {
        Ok(Cursor::One(one)) => assert_eq!(position, Ok(one), "a bare position is a cursor of itself"),
        Ok(many) => {
            assert!(position.is_err(), "both a position and a cursor of several");
            let written = many.to_string();
            assert_eq!(written.parse().as_ref(), Ok(&many));
            assert!(written.len() <= text.len(), "what is written is the shortest form");
            assert!(written.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"~-_".contains(&byte)), "URL-safe");
        }
        Err(_) => assert!(position.is_err(), "a position is a cursor as well"),
    }
});
