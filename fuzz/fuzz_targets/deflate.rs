//! Compressed WebSocket messages: any bytes are refused or understood, and no more is made of them than is allowed;
//! what we compress ourselves is read as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fanfare_gateway_ws::fuzzing::compressed(bytes));
