//! Why there is no answer.

use std::fmt;

/// The closed set of reasons, for metrics and logs. Clients are not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// Too many questions are being asked.
    Busy,
    /// The hook failed too often and is not asked for a while.
    Open,
    /// There is no connection, or it broke.
    Unreachable,
    /// It took too long.
    Timeout,
    /// It answered with another status than 200, or with an error.
    Status,
    /// Its answer has too many bytes.
    TooLarge,
    /// Its answer is not one.
    Unreadable,
}

impl What {
    pub(crate) const ALL: [Self; 7] =
        [Self::Busy, Self::Open, Self::Unreachable, Self::Timeout, Self::Status, Self::TooLarge, Self::Unreadable];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Open => "open",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Status => "status",
            Self::TooLarge => "too_large",
            Self::Unreadable => "unreadable",
        }
    }
}

/// A question without an answer.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) what: What,
    /// For the log.
    pub(crate) detail: String,
}

impl Fault {
    pub(crate) fn new(what: What, detail: impl fmt::Display) -> Self {
        Self { what, detail: detail.to_string() }
    }
}

/// The texts of an error and of what caused it: the outermost of a transport says little.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
