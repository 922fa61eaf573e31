//! Who has limits.

use std::net::IpAddr;

use fanfare_model::{Tenant, UserId};

use super::Scope;

/// A user, an address or a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    User(Tenant, UserId),
    Address(Network),
    Tenant(Tenant),
}

/// The part of an address that counts; the rest is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Network {
    V4(u32),
    V6(u128),
}

impl Subject {
    pub(super) fn scope(&self) -> Scope {
        match self {
            Self::User(..) => Scope::User,
            Self::Address(_) => Scope::Address,
            Self::Tenant(_) => Scope::Tenant,
        }
    }

    pub(super) fn address(address: IpAddr, ipv4_prefix: u8, ipv6_prefix: u8) -> Self {
        // An IPv4 client of a socket that takes both looks like ::ffff:a.b.c.d, and all of those are in one /64.
        Self::Address(match address.to_canonical() {
            IpAddr::V4(v4) => Network::V4(v4.to_bits() & leading_ones(ipv4_prefix, u32::BITS, u32::MAX)),
            IpAddr::V6(v6) => Network::V6(v6.to_bits() & leading_ones(ipv6_prefix, u128::BITS, u128::MAX)),
        })
    }
}

/// The highest `prefix` bits of `bits`.
fn leading_ones<T>(prefix: u8, bits: u32, all: T) -> T
where
    T: std::ops::Shl<u32, Output = T> + Default,
{
    let rest = bits.saturating_sub(prefix.into());
    if rest == bits { T::default() } else { all << rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str, v4: u8, v6: u8) -> bool {
        let of = |text: &str| Subject::address(text.parse().unwrap(), v4, v6);
        of(a) == of(b)
    }

    #[test]
    fn an_address_counts_as_far_as_its_prefix() {
        assert!(!same("192.0.2.1", "192.0.2.2", 32, 64));
        assert!(same("192.0.2.1", "192.0.2.200", 24, 64));
        assert!(!same("192.0.2.1", "192.0.3.1", 24, 64));
        assert!(same("2001:db8::1", "2001:db8::ffff:0:0:1", 32, 64));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1", 32, 64));
        assert!(same("2001:db8::1", "2001:db8:0:1::1", 32, 48));
        assert!(!same("2001:db8::1", "2001:db8::2", 32, 128));
        assert!(same("1.2.3.4", "255.0.0.1", 0, 0) && same("::1:0:0:0:5", "ff::", 0, 0));
    }

    #[test]
    fn an_ipv4_address_is_the_same_through_either_socket() {
        assert!(same("192.0.2.1", "::ffff:192.0.2.1", 32, 64));
        assert!(!same("::ffff:192.0.2.1", "::ffff:192.0.2.2", 32, 64));
    }
}
