//! Which engines may be combined, and what they need of the rest of the configuration.

use super::problem::Problem;
use super::{Config, Engine, EngineKind, Parts};

/// Everything that is wrong with the choice of engines.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut problems = sections(config);
    let Some(parts) = config.engine.parts() else {
        problems.push(Problem::about(
            "engine.composed",
            "does not say what is composed",
            "set log and fanout, e.g. log = \"postgres\" and fanout = \"redis\", or another engine.kind",
        ));
        return problems;
    };
    problems.extend(absent(parts));
    if config.engine.kind == EngineKind::Composed {
        problems.extend(composed(config, parts));
    }
    problems.extend(lending(config, parts));
    #[cfg(feature = "remote")]
    problems.extend(hub_mode(config));
    problems.extend(revocations(config));
    problems
}

/// The sections of the engines that are used.
fn sections(config: &Config) -> Vec<Problem> {
    let engine = &config.engine;
    let checks: &[(Engine, Result<(), String>)] = &[
        #[cfg(feature = "redis")]
        (Engine::Redis, engine.redis.validate()),
        #[cfg(feature = "nats")]
        (Engine::Nats, engine.nats.validate()),
        #[cfg(feature = "postgres")]
        (Engine::Postgres, engine.postgres.validate()),
        #[cfg(feature = "remote")]
        (Engine::Remote, engine.remote.validate()),
    ];
    let used = |kind| engine.uses(kind) || kind == Engine::Remote && config.lends_engine();
    let wrong = |(kind, check): &(Engine, Result<(), String>)| {
        let text = check.as_ref().err().filter(|_| used(*kind))?;
        Some(Problem::in_section(&format!("engine.{}", kind.as_str()), text))
    };
    checks.iter().filter_map(wrong).collect()
}

/// An engine that this build lacks.
fn absent(parts: Parts) -> Option<Problem> {
    let engine = parts.all().find(|engine| !engine.is_built())?.as_str();
    Some(Problem::about(
        "engine.kind",
        format!("this build has no engine \"{engine}\""),
        format!("use a build with the feature `{engine}`, or another engine"),
    ))
}

/// What goes with what.
fn composed(config: &Config, parts: Parts) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut wrong = |key: &str, what: String, fix: String| {
        problems.push(Problem::about(format!("engine.composed.{key}"), what, fix));
    };
    let Some(fanout) = parts.fanout else { return problems };
    let name = fanout.as_str();
    if !matches!(fanout, Engine::Redis | Engine::Nats) {
        wrong(
            "fanout",
            format!("\"{name}\" carries nothing between nodes by itself"),
            "write \"redis\" or \"nats\"".to_owned(),
        );
    } else if fanout == parts.log {
        wrong(
            "fanout",
            "is the engine of the log, which carries its news better itself: in the same step".to_owned(),
            format!("write engine.kind = \"{name}\", or another engine here"),
        );
    }
    if parts.log == Engine::Nats {
        wrong(
            "log",
            "\"nats\" carries the news of its log itself, always".to_owned(),
            "write engine.kind = \"nats\", or another engine here".to_owned(),
        );
    }
    for (key, engine) in [("presence", parts.presence), ("leases", parts.leases), ("cursors", parts.cursors)] {
        // A hub's own leases and cursors are what its gateways use.
        let of_the_hub = key != "presence" && engine == parts.log && config.lends_engine();
        if engine.is_local() && !of_the_hub {
            wrong(
                key,
                format!("\"{}\" is in this node alone, and others would not see it", engine.as_str()),
                "name an engine that nodes share, or lend it to the others with a listener that serves \"engine\""
                    .to_owned(),
            );
        }
    }
    if parts.log.is_local() && !config.lends_engine() {
        wrong(
            "log",
            format!("\"{}\" is in this node alone, so that no other node could read it", parts.log.as_str()),
            "add \"engine\" to a listener's `serves`, and give the other nodes log = \"remote\"; or drop the fan-out: \
             engine.kind = \"embedded\""
                .to_owned(),
        );
    }
    problems
}

/// What lending its engine to others asks of a node.
fn lending(config: &Config, parts: Parts) -> Option<Problem> {
    if !config.lends_engine() {
        return None;
    }
    let (name, _) = config.listeners.iter().find(|(_, listener)| listener.serves.contains(&super::Serves::Engine))?;
    let key = format!("listeners.{name}.serves");
    if !Engine::Remote.is_built() {
        let fix = "take \"engine\" out, or use a build with the feature `remote`";
        return Some(Problem::about(key, "serves `engine`, which this build cannot", fix));
    }
    if !parts.log.is_local() {
        let what =
            format!("serves `engine`, but the log is in \"{}\", which other nodes can use as well", parts.log.as_str());
        return Some(Problem::about(key, what, "take \"engine\" out, and give the others the same engine"));
    }
    None
}

/// How a hub and its gateways find and trust each other.
#[cfg(feature = "remote")]
fn hub_mode(config: &Config) -> Vec<Problem> {
    let fanfare_engine_remote::Options { url, secret, secret_file, .. } = &config.engine.remote;
    let (uses, lends) = (config.engine.uses(Engine::Remote), config.lends_engine());
    let mut problems = Vec::new();
    if uses && url.is_none() {
        problems.push(Problem::about(
            "engine.remote.url",
            "is not set, so this node does not know where its log is",
            "write where the hub serves `engine`, e.g. \"https://hub.internal:8082\"",
        ));
    }
    if (uses || lends) && secret.is_none() && secret_file.is_none() {
        let what = if lends {
            "is not set, and a listener serves `engine`: everybody could read and write everything"
        } else {
            "is not set, so the hub would not let this node in"
        };
        let fix = "set secret or secret_file to the same on the hub and its gateways, e.g. to what `openssl rand -hex 32` prints";
        problems.push(Problem::about("engine.remote.secret", what, fix));
    }
    problems
}

/// What was revoked must be known to every node, so a file of one will not do.
fn revocations(config: &Config) -> Option<Problem> {
    (config.is_cluster() && config.auth.revocations_file.is_some()).then(|| {
        Problem::about(
            "auth.revocations_file",
            "is set, but where nodes share a log, that keeps what was revoked for all of them",
            "remove it",
        )
    })
}
