//! Limits of the API.

use fanfare_model::{ByteSize, Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The section `api`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The most events that one request may publish: topics times messages. Default 1000: one group commit, and
    /// an answer of about 200 KB.
    pub batch_max: usize,
    /// The most bytes of a request's body. Default 4MiB: room for a full batch of 4 KB messages, and for one event
    /// of the largest size that topics allow by default (1 MiB) in base64.
    pub body_bytes_max: ByteSize,
    /// How long a request's body may take to arrive. Default 10s: a body of the largest size needs 3.4 Mbit/s, which
    /// a backend has, and one that never ends is gone soon.
    pub body_timeout: Duration,
    /// How many items a page has if the request does not say. Default 100: what a person wants to see.
    pub page_default: usize,
    /// The most items of a page. Default 1000, like a batch.
    pub page_max: usize,
    /// A page of history ends after the event that brings it to this size. Default 4MiB, like a body.
    pub page_bytes_max: ByteSize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch_max: 1000,
            body_bytes_max: ByteSize::mib(4),
            body_timeout: Duration::from_secs(10),
            page_default: 100,
            page_max: 1000,
            page_bytes_max: ByteSize::mib(4),
        }
    }
}

impl Options {
    /// Whether the values make sense together; the text names the key and the fix.
    pub fn validate(&self) -> Result<(), String> {
        let at_least_one: [(&str, u128); 6] = [
            ("batch_max", self.batch_max as u128),
            ("body_bytes_max", u128::from(self.body_bytes_max.0)),
            ("body_timeout", self.body_timeout.get().as_millis()),
            ("page_default", self.page_default as u128),
            ("page_max", self.page_max as u128),
            ("page_bytes_max", u128::from(self.page_bytes_max.0)),
        ];
        if let Some((key, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Err(format!("api.{key} is 0, so the API could not work; remove it for its default"));
        }
        if self.page_default > self.page_max {
            return Err(format!(
                "api.page_default is {}, which is more than api.page_max ({}); lower it, or raise api.page_max",
                self.page_default, self.page_max
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_name_the_key_and_the_fix() {
        assert_eq!(Options::default().validate(), Ok(()));
        let small = Options { page_max: 10, ..Options::default() };
        assert!(
            small.validate().unwrap_err().starts_with("api.page_default is 100, which is more than api.page_max (10)")
        );
        let none = Options { body_timeout: Duration::from_secs(0), ..Options::default() };
        assert!(none.validate().unwrap_err().starts_with("api.body_timeout is 0"));
    }
}
