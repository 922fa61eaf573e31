//! Text that must not be shown.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// What stands in place of a secret wherever it would be shown.
pub(crate) const REDACTED: &str = "redacted";

/// Text that must not be shown: both `Debug` and `Serialize` give `redacted`, so neither a log line nor
/// `fanfare config print` can hold it.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one who must have it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

/// An address that may hold a password: both `Debug` and `Serialize` show it with `redacted` in the place of that.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Keeps the password in `url` from being shown.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The whole address, for the one who must have it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The address with its host, but without its password.
    fn redacted(&self) -> String {
        let (address, query) = self.0.split_once('?').map_or((&*self.0, None), |(url, query)| (url, Some(query)));
        let (scheme, rest) = address.split_at(address.find("://").map_or(0, |at| at + 3));
        // The last `@`, because a password that was not encoded may have some itself.
        let login = rest.rsplit_once('@').and_then(|(login, host)| Some((login.split_once(':')?.0, host)));
        let place = login.map_or(rest.to_owned(), |(user, host)| format!("{user}:{REDACTED}@{host}"));
        let parameter = |parameter: &str| match parameter.split_once('=') {
            Some((key, _)) if key.to_ascii_lowercase().contains("password") => format!("{key}={REDACTED}"),
            _ => parameter.to_owned(),
        };
        let query = query.map(|query| query.split('&').map(parameter).collect::<Vec<_>>().join("&"));
        let query = query.map_or(String::new(), |query| format!("?{query}"));
        format!("{scheme}{place}{query}")
    }
}

impl<T: Into<String>> From<T> for SecretUrl {
    fn from(url: T) -> Self {
        Self::new(url)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.redacted())
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.redacted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (url, shown) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("redis://:hush@h:6379/1", "redis://:redacted@h:6379/1"),
            ("postgres://u:hush@h/d?sslmode=require", "postgres://u:redacted@h/d?sslmode=require"),
            ("postgres://u@h/d?user=v&password=hush", "postgres://u@h/d?user=v&password=redacted"),
            ("postgres://u:hu/s:h@hush@h/d", "postgres://u:redacted@h/d"),
            ("u:hush@h:6379", "u:redacted@h:6379"),
        ] {
            let secret = SecretUrl::new(url);
            assert_eq!(serde_json::to_value(&secret).unwrap(), shown);
            assert_eq!(format!("{secret:?}"), format!("{shown:?}"));
            assert_eq!(secret.reveal(), url);
        }
    }
}
