//! One entry of the configuration that stands for several issuers.
//!
//! The values are taken from the configuration, before any token is seen: what a token says never becomes part of an
//! address, and each issuer has its own keys.

use std::borrow::Cow;
use std::collections::BTreeMap;

use fanfare_model::Tenant;

use super::{Issuer, Options};

/// The most issuers of a configuration. Each with published keys fetches them on its own.
const ISSUERS_MAX: usize = 256;
/// The longest value, in bytes.
const VALUE_BYTES_MAX: usize = 64;

impl Options {
    /// Every issuer, by its name; those of an entry with `each` are named after their values, `name:value`.
    pub(crate) fn each_issuer(&self) -> Result<BTreeMap<Cow<'_, str>, Cow<'_, Issuer>>, String> {
        let mut issuers = BTreeMap::new();
        for (name, issuer) in &self.issuers {
            let place = format!("auth.issuers.{name}");
            let mut made = vec![(Cow::Borrowed(name.as_str()), Cow::Borrowed(issuer))];
            for (variable, values) in &issuer.each {
                check(variable, values).map_err(|problem| format!("{place}.each.{variable} {problem}"))?;
                if made.len().saturating_mul(values.len()) > ISSUERS_MAX {
                    return Err(format!("{place}.each makes more than {ISSUERS_MAX} issuers; name fewer values"));
                }
                made = made
                    .iter()
                    .flat_map(|(name, issuer)| values.iter().map(move |value| (name, issuer, value)))
                    .map(|(name, issuer, value)| {
                        let name = format!("{name}:{value}");
                        let issuer = issuer.with(variable, value).map_err(|problem| format!("{place}.{problem}"))?;
                        Ok((Cow::Owned(name), Cow::Owned(issuer)))
                    })
                    .collect::<Result<_, String>>()?;
            }
            for (name, issuer) in made {
                if issuers.insert(name.clone(), issuer).is_some() {
                    return Err(format!("{place} makes an issuer `{name}`, and there is another of that name"));
                }
            }
        }
        if issuers.len() > ISSUERS_MAX {
            return Err(format!("auth.issuers has {} issuers; it may have at most {ISSUERS_MAX}", issuers.len()));
        }
        Ok(issuers)
    }
}

impl Issuer {
    /// This issuer with `value` in place of `{variable}`.
    fn with(&self, variable: &str, value: &str) -> Result<Self, String> {
        let place = format!("{{{variable}}}");
        let put = |text: &str| text.replace(&place, value);
        let mut issuer = self.clone();
        // What told the issuers apart would not, and all but one of them would have the same name.
        let iss = self.iss.as_ref().filter(|iss| iss.contains(&place));
        issuer.iss = Some(put(iss.ok_or_else(|| format!("each has `{variable}`, but iss has no `{place}` in it"))?));
        issuer.tenant = Tenant::new(put(self.tenant.as_str())).map_err(|e| e.to_string())?;
        issuer.audiences.client = put(&self.audiences.client);
        issuer.audiences.server = put(&self.audiences.server);
        if let Some(jwks) = &mut issuer.jwks {
            jwks.url = put(&jwks.url);
        }
        Ok(issuer)
    }
}

fn check(variable: &str, values: &[String]) -> Result<(), String> {
    let is_plain = |text: &str| {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        (1..=VALUE_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain)
    };
    if !is_plain(variable) {
        return Err("is not a name of 1 to 64 letters, digits, `-` and `_`".to_owned());
    }
    if values.is_empty() {
        return Err("has no values, so there would be no such issuer; name some, or remove it".to_owned());
    }
    match values.iter().find(|value| !is_plain(value)) {
        Some(value) => Err(format!("has the value {value:?}; values are 1 to 64 letters, digits, `-` and `_`")),
        None => Ok(()),
    }
}
