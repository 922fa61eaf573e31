//! WebSocket frames and the requests in them: any bytes are refused or understood, whatever the chunks they come in.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fanfare_gateway_ws::fuzzing::frames(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        fanfare_gateway_ws::fuzzing::requests(text);
    }
});
