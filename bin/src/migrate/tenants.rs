//! Whose topics there may be: no engine lists tenants, but the configuration names them.

use std::collections::BTreeSet;

use fanfare_model::Tenant;

use crate::config::Config;

/// The tenants that the configurations name, the default one, and `more`.
pub(super) fn of(configs: [&Config; 2], more: &[Tenant]) -> Vec<Tenant> {
    let named = configs.into_iter().flat_map(|config| {
        let issuers = config.auth.issuers.values().map(|issuer| issuer.tenant.clone());
        let keys = config.auth.api_keys.iter().map(|key| key.tenant.clone());
        issuers.chain(keys).collect::<Vec<_>>()
    });
    let all: BTreeSet<Tenant> = named.chain([Tenant::default()]).chain(more.iter().cloned()).collect();
    all.into_iter().collect()
}
