//! Policies that fit the engine.

use std::collections::BTreeMap;

use fanfare_bus::{Policies, PolicyOptions};
use fanfare_history::{Capabilities, Durability, Window};
use fanfare_model::{ByteSize, Duration};

use crate::failure::{Code, Failure};

/// The policies of `topics`. What nobody said takes what the engine can, if that is less than the default; what somebody
/// asked for and the engine cannot is refused.
pub(super) fn policies(
    topics: &BTreeMap<String, PolicyOptions>,
    engine: Option<Capabilities>,
) -> Result<Policies, Failure> {
    let Some(engine) = engine else { return Ok(Policies::new(topics)) };
    let mut topics = topics.clone();
    let star = topics.entry("*".to_owned()).or_default();
    star.durability.get_or_insert(Durability::default().min(engine.durability_max));
    if let Window::Fixed(most) = engine.window {
        star.idempotency_window.get_or_insert(Duration(most.min(WINDOW)));
    }
    let most = u64::try_from(engine.event_bytes_max).unwrap_or(u64::MAX);
    star.event_bytes_max.get_or_insert(ByteSize(most.min(EVENT_BYTES)));
    let policies = Policies::new(&topics);
    policies.check(&engine).map_err(|refused| Failure::new(Code::EngineCannot, refused))?;
    Ok(policies)
}

/// The defaults of policies ([`PolicyOptions`]).
const WINDOW: std::time::Duration = std::time::Duration::from_secs(300);
const EVENT_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use fanfare_history::{Failover, Retention, TimeOf};
    use fanfare_model::Topic;

    use super::*;

    fn weak() -> Capabilities {
        Capabilities {
            name: "weak",
            durability_max: Durability::Buffered,
            survives_restart: true,
            failover: Failover::None,
            event_bytes_max: 1000,
            dense: true,
            retention: Retention::PerAppend,
            bounds_bytes: true,
            truncates: true,
            window: Window::Fixed(std::time::Duration::from_secs(60)),
            time: TimeOf::Engine,
        }
    }

    #[test]
    fn defaults_are_what_the_engine_can_and_wishes_are_refused() {
        let policies_of = |json: &str| policies(&serde_json::from_str(json).unwrap(), Some(weak()));
        let fitted = policies_of("{}").map(|policies| policies.of(&Topic::new("a").unwrap()).keep.durability);
        assert_eq!(fitted.unwrap(), Durability::Buffered);
        let plain = policies(&BTreeMap::new(), None).unwrap();
        let unset = plain.of(&Topic::new("a").unwrap());
        assert_eq!(unset.keep.idempotency_window, WINDOW, "the default of policies");
        assert_eq!(unset.event_bytes_max as u64, EVENT_BYTES, "the default of policies");
        let refused = policies_of(r#"{"chat":{"durability":"committed"}}"#).unwrap_err().to_string();
        assert!(refused.contains("topics.\"chat\".durability") && refused.contains("FF-0016"), "{refused}");
    }
}
