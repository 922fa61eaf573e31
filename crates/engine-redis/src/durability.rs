//! What an acknowledgement is worth is set at the servers. They are asked, and the log says if topics want more.

use std::collections::HashMap;

use fanfare_bus::Policies;
use fanfare_history::Durability;

use crate::servers::Link;

/// What a server has done with an event when it acknowledges it; `None` if it does not say, because `CONFIG` is refused, as
/// by many who run servers for others.
pub(crate) async fn of(link: &Link) -> Option<Durability> {
    let setting = async |name: &str| -> Option<String> {
        let mut connection = link.connection.clone();
        let found = redis::cmd("CONFIG").arg("GET").arg(name).query_async(&mut connection).await;
        let mut found: HashMap<String, String> = found.ok()?;
        found.remove(name)
    };
    if setting("appendonly").await? != "yes" {
        return Some(Durability::None);
    }
    Some(if setting("appendfsync").await? == "always" { Durability::Committed } else { Durability::Buffered })
}

/// What to tell the operator if topics ask for more than the servers give.
pub(crate) fn shortfall(policies: &Policies, given: Option<Durability>) -> Option<String> {
    let kept = policies.all().filter(|(_, policy)| policy.history);
    let wanting = kept.filter(|(_, policy)| policy.keep.durability > given.unwrap_or(Durability::None));
    let kinds: Vec<_> = wanting.map(|(kind, _)| format!("topics.\"{kind}\"")).collect();
    if kinds.is_empty() {
        return None;
    }
    let kinds = kinds.join(", ");
    Some(match given {
        None => format!(
            "the servers do not say what they write to their disks (CONFIG GET is refused): whether an acknowledged event \
             of {kinds} survives a crash, those know who run them (appendonly, appendfsync)"
        ),
        Some(Durability::None) => format!(
            "{kinds} ask for more durability than the servers give: a crash of one loses everything (appendonly no); set \
             appendonly yes there, or durability = \"none\" here"
        ),
        Some(_) => format!(
            "{kinds} ask for more durability than the servers give: a crash of a machine loses the last second or two \
             (appendfsync is not always); set appendfsync always there, or durability = \"buffered\" here"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_bus::PolicyOptions;

    #[test]
    fn only_who_asks_for_more_is_told() {
        let told = |asked, given| {
            let options = PolicyOptions { durability: Some(asked), ..PolicyOptions::default() };
            shortfall(&Policies::new(&[("*".to_owned(), options)].into()), given)
        };
        let (none, buffered, committed) = (Durability::None, Durability::Buffered, Durability::Committed);
        for (asked, given) in
            [(none, Some(none)), (none, None), (buffered, Some(buffered)), (buffered, Some(committed))]
        {
            assert_eq!(told(asked, given), None, "{asked:?} {given:?}");
        }
        for (asked, given, fix) in [
            (committed, Some(buffered), "appendfsync always"),
            (committed, Some(none), "appendonly yes"),
            (buffered, Some(none), "appendonly yes"),
            (buffered, None, "is refused"),
        ] {
            let told = told(asked, given).unwrap_or_default();
            assert!(told.contains(fix) && told.contains("topics.\"*\""), "{asked:?} {given:?}: {told}");
        }
    }
}
