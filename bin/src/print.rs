//! Text for the person or the pipe at standard output. (What the node says about itself goes to the log.)

use std::fmt;
use std::io::{self, Write};

/// Writes one line. When the reader of the pipe has gone (`fanfare … | head`) there is nobody left to tell, so
/// the program ends quietly, as other filters do.
pub(crate) fn line(text: impl fmt::Display) {
    let mut out = io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Writes text that ends its lines itself.
pub(crate) fn text(text: impl fmt::Display) {
    let mut out = io::stdout().lock();
    if write!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Writes one line to standard error: remarks that must not get into the data.
pub(crate) fn remark(text: impl fmt::Display) {
    // Nothing can be done if even that fails.
    drop(writeln!(io::stderr().lock(), "{text}"));
}
