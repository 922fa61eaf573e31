//! The section `limits` of the configuration.

use fanfare_model::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Scope;

/// How much a user, a tenant and an address may have and do on this node. Each node counts for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// For each user of each tenant. Sessions without a user have no limits of this sort.
    pub user: Limits,
    /// For each tenant, its backends included. Default: no limits, because most have one tenant, and limits of the
    /// node (`session.sessions_max`, `engine`) protect the node.
    pub tenant: Limits,
    /// For each address that clients come from. Default: no limits, because behind a proxy, or a company's or an
    /// operator's NAT, very many clients have one address.
    pub address: Limits,
    /// How many bits of an IPv4 address count: those that share them share the limits. Default 32: each address by
    /// itself.
    pub ipv4_prefix: u8,
    /// The same for IPv6. Default 64: what one household or server is given; who has that can use any address in it.
    pub ipv6_prefix: u8,
    /// Of how many users, addresses and tenants (each) the rates are kept at a time. Those who have their whole
    /// allowance need not be kept; beyond this number, who has nearly all of it is forgotten first. Default 100000:
    /// about 20 MB each at the worst.
    pub tracked_max: usize,
}

/// The limits of one user, tenant or address on this node. For each, 0 is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Sessions at a time. Default: no limit (users have `session.sessions_per_user_max`).
    pub connections: Option<u32>,
    /// Subscriptions at a time, over all sessions. Default: no limit (sessions have `session.subscriptions_max`).
    pub subscriptions: Option<u32>,
    /// Events published a second in the long run. Default: 1000 for a user, which is 20 times what one WebSocket
    /// connection may send, so that a token in wrong hands does not fill the store; else no limit.
    pub publishes_per_second: Option<u32>,
    /// Events published at once. A batch that is larger is let through when nothing else was published for a while, and
    /// is paid for afterwards. Default: five seconds' worth.
    pub publishes_burst: Option<u32>,
    /// Bytes of events published a second in the long run. Default: no limit.
    pub bytes_per_second: Option<ByteSize>,
    /// Bytes of events published at once; larger ones as with `publishes_burst`. Default: five seconds' worth.
    pub bytes_burst: Option<ByteSize>,
}

/// Of a user, unless the configuration says otherwise.
const USER_PUBLISHES_PER_SECOND: u32 = 1000;

impl Default for Options {
    fn default() -> Self {
        Self {
            user: Limits::default(),
            tenant: Limits::default(),
            address: Limits::default(),
            ipv4_prefix: 32,
            ipv6_prefix: 64,
            tracked_max: 100_000,
        }
    }
}

impl Options {
    /// The limits of a scope, with defaults filled in.
    pub(super) fn of(&self, scope: Scope) -> Limits {
        let limits = match scope {
            Scope::User => &self.user,
            Scope::Address => &self.address,
            Scope::Tenant => &self.tenant,
        };
        let default = (scope == Scope::User).then_some(USER_PUBLISHES_PER_SECOND);
        Limits { publishes_per_second: limits.publishes_per_second.or(default), ..limits.clone() }
    }

    /// Whether the values make sense together. The text names the key and what to do.
    pub fn validate(&self) -> Result<(), String> {
        if !(8..=32).contains(&self.ipv4_prefix) {
            return Err(format!("`limits.ipv4_prefix` is {}; write 8 to 32 (bits)", self.ipv4_prefix));
        }
        if !(16..=128).contains(&self.ipv6_prefix) {
            return Err(format!("`limits.ipv6_prefix` is {}; write 16 to 128 (bits)", self.ipv6_prefix));
        }
        if self.tracked_max < TRACKED_MIN {
            return Err(format!(
                "`limits.tracked_max` is {}; with less than {TRACKED_MIN} limits would be forgotten at once",
                self.tracked_max
            ));
        }
        for scope in Scope::ALL {
            self.of(scope)
                .validate()
                .map_err(|(key, problem)| format!("`limits.{}.{key}` {problem}", scope.as_str()))?;
        }
        Ok(())
    }
}

/// Below this there are fewer entries than users who publish at a time on the smallest node.
const TRACKED_MIN: usize = 1000;

impl Limits {
    fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        if self.publishes_burst.is_some() && self.publishes_per_second.unwrap_or(0) == 0 {
            return Err(("publishes_burst", "has no effect without `publishes_per_second`; set that, or remove this"));
        }
        if self.publishes_burst == Some(0) {
            return Err(("publishes_burst", "is 0, so that nothing could be published; write at least 1"));
        }
        if self.bytes_burst.is_some() && self.bytes_per_second.unwrap_or_default().0 == 0 {
            return Err(("bytes_burst", "has no effect without `bytes_per_second`; set that, or remove this"));
        }
        if self.bytes_burst.is_some_and(|burst| burst.0 == 0) {
            return Err(("bytes_burst", "is 0, so that nothing could be published; write a size like \"64KiB\""));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: serde_json::Value) -> Result<Options, String> {
        let options: Options = serde_json::from_value(json).map_err(|error| error.to_string())?;
        options.validate().map(|()| options)
    }

    #[test]
    fn a_user_may_not_fill_the_store_and_nothing_else_is_limited() {
        let options = read(serde_json::json!({ "user": { "connections": 3 } })).unwrap();
        let user = options.of(Scope::User);
        assert_eq!((user.connections, user.publishes_per_second), (Some(3), Some(USER_PUBLISHES_PER_SECOND)));
        assert_eq!(options.of(Scope::Tenant), Limits::default());
        assert_eq!(options.of(Scope::Address), Limits::default());
        let off = read(serde_json::json!({ "user": { "publishes_per_second": 0 } })).unwrap();
        assert_eq!(off.of(Scope::User).publishes_per_second, Some(0));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (json, key) in [
            (serde_json::json!({ "ipv4_prefix": 33 }), "limits.ipv4_prefix"),
            (serde_json::json!({ "ipv6_prefix": 8 }), "limits.ipv6_prefix"),
            (serde_json::json!({ "tracked_max": 1 }), "limits.tracked_max"),
            (serde_json::json!({ "tenant": { "publishes_burst": 5 } }), "limits.tenant.publishes_burst"),
            (serde_json::json!({ "user": { "publishes_burst": 0 } }), "limits.user.publishes_burst"),
            (serde_json::json!({ "address": { "bytes_burst": "1KiB" } }), "limits.address.bytes_burst"),
            (serde_json::json!({ "user": { "conections": 5 } }), "conections"),
        ] {
            let refused = read(json).unwrap_err();
            assert!(refused.contains(key), "{refused}");
        }
    }
}
