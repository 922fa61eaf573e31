//! Errors.

use fanfare_model::Kind;

use crate::v1;

impl v1::Error {
    /// An error of this kind with the kind's own code. `message` is a sentence for people, without the text of an
    /// inner error.
    pub fn new(kind: Kind, message: impl std::fmt::Display) -> Self {
        Self { code: kind.code().to_owned(), message: message.to_string(), retryable: kind.retryable() }
    }

    /// The same with a code that says more.
    #[must_use]
    pub fn with_code(mut self, code: &str) -> Self {
        code.clone_into(&mut self.code);
        self
    }
}
