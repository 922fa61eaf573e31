//! Failures that the operator is told of, each with a code that `fanfare explain` knows.

use std::error::Error;
use std::fmt;

/// Declares the codes, their number, and their page.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)+) => {
        /// What kind of failure it is: a stable code with a page of its own in `docs/errors/`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Code { $($(#[$doc])* $name,)+ }

        impl Code {
            /// Every code.
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)+];

            /// The code as it is printed.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => concat!("FF-", $number),)+ }
            }

            /// The page that explains it, in Markdown.
            pub(crate) const fn page(self) -> &'static str {
                match self { $(Self::$name => include_str!(concat!("../../docs/errors/FF-", $number, ".md")),)+ }
            }
        }
    };
}

codes! {
    /// The configuration cannot be read.
    ConfigUnreadable = "0001",
    /// A value of the configuration is wrong.
    ConfigWrong = "0002",
    /// An address cannot be listened at.
    BindFailed = "0003",
    /// There is nobody whose tokens could be accepted.
    NoIssuer = "0004",
    /// The event store cannot be opened.
    StoreUnopened = "0005",
    /// Logs, metrics or traces cannot be started.
    TelemetryUnstarted = "0006",
    /// A key file or the development secret cannot be read or written.
    KeyFileUnusable = "0007",
    /// The system gave no thread, socket or file that is needed.
    SystemRefused = "0008",
    /// A part without which the node does not work has failed.
    PartFailed = "0009",
    /// The process was told to stop a second time.
    StoppedAtOnce = "0010",
    /// A server cannot be reached.
    Unreachable = "0011",
    /// A server refused a request.
    Refused = "0012",
    /// A token cannot be made.
    TokenUnmade = "0013",
    /// What was given on the command line cannot be used.
    Unusable = "0014",
    /// An engine outside of this process cannot be reached or used.
    EngineUnusable = "0015",
    /// The engine cannot do what the configuration asks of it.
    EngineCannot = "0016",
    /// What one engine keeps could not be moved to another.
    MoveFailed = "0017",
}

/// A failure that ends the program.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    text: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure told in `text`, a sentence without its full stop, or indented lines.
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), source: None }
    }

    /// The same, because of `source`.
    pub(crate) fn because(
        code: Code,
        text: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { code, text: text.into(), source: Some(source.into()) }
    }

    /// Its code.
    pub(crate) fn code(&self) -> Code {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.as_str();
        if self.text.starts_with(' ') {
            write!(f, "error {code}: {}\n{}", self.code.headline(), self.text)?;
        } else {
            write!(f, "error {code}: {}", self.text)?;
        }
        if let Some(source) = &self.source {
            for cause in causes(&**source) {
                write!(f, "\n  because: {cause}")?;
            }
        }
        write!(f, "\n  `fanfare explain {code}` says more")
    }
}

impl Error for Failure {}

/// What an error says, and what each says that it came from.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        // Many libraries repeat what they wrap.
        if !causes.last().is_some_and(|said| said.ends_with(&text)) {
            causes.push(text);
        }
        next = error.source();
    }
    causes
}

impl Code {
    /// The title of its page, after the code.
    pub(crate) fn headline(self) -> &'static str {
        let title = self.page().lines().next().unwrap_or_default();
        title.split_once(": ").map_or(title, |(_, headline)| headline)
    }

    /// The code that was written, with or without `FF-` and zeros.
    pub(crate) fn find(written: &str) -> Option<Self> {
        let number: u16 = written.trim().to_ascii_uppercase().trim_start_matches("FF-").parse().ok()?;
        let wanted = format!("FF-{number:04}");
        Self::ALL.iter().copied().find(|code| code.as_str() == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_with_its_parts() {
        for code in Code::ALL {
            let page = code.page();
            assert!(page.starts_with(&format!("# {}: ", code.as_str())), "{}: the title", code.as_str());
            for part in ["## What it means", "## What to do"] {
                assert!(page.contains(part), "{}: {part}", code.as_str());
            }
            assert_eq!(Code::find(&code.as_str().to_lowercase()), Some(*code));
        }
        assert_eq!(Code::find("3"), Some(Code::BindFailed));
        assert_eq!(Code::find("FF-9999"), None);
    }
}
