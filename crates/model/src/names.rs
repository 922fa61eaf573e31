//! Short names that travel with events and connections.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::text::{Invalid, check_name};

/// Declares a checked, cheaply cloned name.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $bytes_max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// The most bytes of UTF-8 that this name may have.
            pub const BYTES_MAX: usize = $bytes_max;

            /// Checks `text` and makes the name of it.
            pub fn new(text: impl AsRef<str>) -> Result<Self, Invalid> {
                let text = text.as_ref();
                check_name($what, text, Self::BYTES_MAX)?;
                Ok(Self(Arc::from(text)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.as_str().to_owned()
            }
        }

        impl std::str::FromStr for $type {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::new(text)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// The isolation boundary: topics of two tenants never meet.
    Tenant, "tenant", 64
}
name! {
    /// Identity of an event within its topic, and the idempotency key: publishing the same id again
    /// within the window stores it once.
    EventId, "event id", 128
}
name! {
    /// What kind of thing an event says, e.g. `message`. Becomes SSE's `event:`, so it must not begin
    /// with `fanfare.`, which is kept for control events.
    EventName, "event name", 128
}
name! {
    /// The user behind a connection or a publish.
    UserId, "user", 255
}
name! {
    /// What an event is about; `conflate` keeps the latest event of each key.
    Key, "key", 255
}
name! {
    /// Where an event came from, e.g. `api`, `ws`, or what the publisher says.
    Source, "source", 255
}
name! {
    /// Name of the schema that an event's data follows.
    Schema, "schema", 255
}
name! {
    /// One client connection in any protocol.
    SessionId, "session id", 64
}

/// The prefix of event names that only the server may use.
pub(crate) const RESERVED_EVENT_NAME_PREFIX: &str = "fanfare.";

impl EventName {
    /// As [`EventName::new`], and refuses the names that are kept for the server's control events.
    pub fn from_publisher(text: impl AsRef<str>) -> Result<Self, Invalid> {
        let name = Self::new(text)?;
        if name.as_str().starts_with(RESERVED_EVENT_NAME_PREFIX) {
            return Err(Invalid::new(
                "event name",
                "begins with `fanfare.`, which is kept for the server's own events",
            ));
        }
        Ok(name)
    }
}

impl EventId {
    /// A fresh `UUIDv7`.
    pub fn generate() -> Self {
        let mut text = uuid::Uuid::encode_buffer();
        Self(Arc::from(&*uuid::Uuid::now_v7().hyphenated().encode_lower(&mut text)))
    }
}

impl SessionId {
    /// A fresh random id (`UUIDv4`: it must not be guessable from another).
    pub fn generate() -> Self {
        Self(Arc::from(uuid::Uuid::new_v4().simple().to_string()))
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self(Arc::from("default"))
    }
}
