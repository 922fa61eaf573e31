//! Errors that are to be expected, as one sentence that says what to do.

use std::io::{Error, ErrorKind};

use rustix::io::Errno;

use crate::machine;

/// The error with its causes and, where it is known, what helps.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let cause = error.chain().find_map(|cause| cause.downcast_ref::<Error>());
    match cause.and_then(remedy) {
        Some(remedy) => format!("{text}; {remedy}"),
        None => text,
    }
}

/// Whether it says that too many files are open.
pub(crate) fn is_about_files(error: &Error) -> bool {
    is(error, Errno::MFILE) || is(error, Errno::NFILE)
}

fn is(error: &Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn remedy(error: &Error) -> Option<String> {
    if is_about_files(error) {
        let limit = machine::open_files_max();
        return Some(format!("the limit is {limit}: raise it with `ulimit -n`, as root, or hold fewer connections"));
    }
    let remedy = match error.kind() {
        ErrorKind::ConnectionRefused => "is the server running, and is this its address?",
        ErrorKind::TimedOut => "the server does not answer: is it overloaded, or is a firewall in between?",
        ErrorKind::AddrNotAvailable => "all ports are taken: wait a minute for those of earlier runs, or hold fewer",
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "the server hung up: its log says why",
        _ => return None,
    };
    Some(remedy.to_owned())
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    fn said(error: Error) -> String {
        sentence(&Err::<(), _>(error).context("a reader cannot connect").unwrap_err())
    }

    #[test]
    fn what_helps_is_said_in_one_line() {
        let text = said(Errno::MFILE.into());
        assert!(text.starts_with("a reader cannot connect: Too many open files"), "{text}");
        assert!(text.contains("ulimit -n") && !text.contains('\n'), "{text}");
        assert!(said(ErrorKind::ConnectionRefused.into()).contains("is the server running"));
    }

    #[test]
    fn what_is_not_known_stays_as_it_is() {
        assert_eq!(sentence(&anyhow::anyhow!("inner").context("outer")), "outer: inner");
    }
}
