//! Which limits there are: a closed set, so that metrics and clients can name them.

use std::fmt;

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One user of one tenant.
    User,
    /// One address, or a network of them.
    Address,
    /// One tenant.
    Tenant,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::User, Self::Address, Self::Tenant];

    /// The word in the configuration, `limits.<scope>`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Address => "address",
            Self::Tenant => "tenant",
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Sessions at a time.
    Connections,
    /// Subscriptions at a time.
    Subscriptions,
    /// Events published a second.
    Publishes,
    /// Bytes published a second.
    Bytes,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 4] = [Self::Connections, Self::Subscriptions, Self::Publishes, Self::Bytes];
}

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limit {
    /// Whose.
    pub scope: Scope,
    /// Of what.
    pub measure: Measure,
}

impl Limit {
    /// Every limit.
    pub fn all() -> impl Iterator<Item = Self> {
        Scope::ALL.into_iter().flat_map(|scope| Measure::ALL.map(|measure| Self { scope, measure }))
    }

    /// Its name in metrics and for clients.
    pub const fn as_str(self) -> &'static str {
        match (self.scope, self.measure) {
            (Scope::User, Measure::Connections) => "user_connections",
            (Scope::User, Measure::Subscriptions) => "user_subscriptions",
            (Scope::User, Measure::Publishes) => "user_publishes",
            (Scope::User, Measure::Bytes) => "user_bytes",
            (Scope::Address, Measure::Connections) => "address_connections",
            (Scope::Address, Measure::Subscriptions) => "address_subscriptions",
            (Scope::Address, Measure::Publishes) => "address_publishes",
            (Scope::Address, Measure::Bytes) => "address_bytes",
            (Scope::Tenant, Measure::Connections) => "tenant_connections",
            (Scope::Tenant, Measure::Subscriptions) => "tenant_subscriptions",
            (Scope::Tenant, Measure::Publishes) => "tenant_publishes",
            (Scope::Tenant, Measure::Bytes) => "tenant_bytes",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
