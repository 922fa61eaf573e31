//! What types cannot say: rules between keys.

use std::path::Path;
use std::sync::Arc;

use fanfare_auth::Auth;
use fanfare_bus::Durability;
use fanfare_hooks::Application;
use fanfare_model::{SystemClock, Topic};
use rustix::fs::{Access, access};

use super::problem::Problem;
use super::{Config, Engine, Serves, TlsOptions, engines};
use crate::tls;

/// More workers than any machine has cores.
const WORKERS_MAX: usize = 1024;
const API_KEYS: &str = "auth.api_keys_file";
const REVOCATIONS: &str = "auth.revocations_file";

impl Config {
    /// Fills in what depends on another key: the memory engine keeps nothing on a disk, so that a policy that
    /// says nothing about durability does not ask for it.
    pub(super) fn adapt(&mut self, dev: bool) {
        self.auth.dev = dev;
        self.auth.shared = self.is_cluster();
        self.engine.adapt();
        for listener in self.listeners.values_mut() {
            // Naming a part twice means no more than naming it once.
            listener.serves.sort_unstable();
            listener.serves.dedup();
        }
        self.session.drain_window = self.drain.window;
        self.session.resume_window = self.auth.resume.window;
        self.consumers.path = self.engine.path.join("consumers");
        if self.engine.parts().is_some_and(|parts| parts.log == Engine::Memory) {
            self.topics.entry("*".to_owned()).or_default().durability.get_or_insert(Durability::None);
        }
    }
}

/// Everything that is wrong with `config`.
pub(super) fn problems(config: &Config, dev: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(parts(config, dev));
    problems.extend(topics(config));
    problems.extend(engines::problems(config));
    problems.extend(replaced_files(config));
    let sections = [
        ("engine.memory", config.engine.memory.validate()),
        ("engine.embedded", config.engine.embedded.validate()),
        ("auth", config.auth.validate()),
        ("session", config.session.validate()),
        ("limits", config.limits.validate()),
        ("cluster", config.cluster.validate()),
        ("presence", config.presence.validate()),
        ("consumers", config.consumers.validate()),
        ("api", config.api.validate()),
        ("sse", config.sse.validate()),
        ("ws", config.ws.validate()),
        ("grpc", config.grpc.validate()),
        ("hooks", config.hooks.validate()),
        ("http", config.http.validate()),
        ("drain", config.drain.validate()),
        ("telemetry", config.telemetry.validate()),
    ];
    problems.extend(
        sections
            .iter()
            .filter_map(|(section, result)| result.as_ref().err().map(|text| Problem::in_section(section, text))),
    );
    problems
}

/// Roles, listeners and workers.
fn parts(config: &Config, dev: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    if config.roles.is_empty() && !config.lends_engine() {
        problems.push(Problem::about(
            "roles",
            "is empty, so this process would do nothing",
            "name at least one of `api`, `sse`, `ws`, `grpc`, or leave it out for all; a node that only lends its log to \
             others needs a listener that serves \"engine\"",
        ));
    }
    for role in &config.roles {
        if !config.listeners.values().any(|listener| listener.serves.contains(&role.served_as())) {
            let name = role.as_str();
            problems.push(Problem::about(
                "listeners",
                format!("no listener serves the role `{name}`"),
                format!("add \"{name}\" to a listener's `serves`, or take it out of `roles`"),
            ));
        }
    }
    let listeners: Vec<_> = config.listeners.iter().collect();
    for (at, (name, listener)) in listeners.iter().enumerate() {
        if listener.serves.is_empty() {
            problems.push(Problem::about(
                format!("listeners.{name}.serves"),
                "is empty, so every request there would be refused",
                "name what it serves, e.g. [\"sse\", \"ws\"], or remove the listener",
            ));
        }
        if listener.serves.contains(&Serves::Demo) && !dev {
            problems.push(Problem::about(
                format!("listeners.{name}.serves"),
                "serves `demo`, which exists only with --dev because it can mint tokens",
                "take \"demo\" out of `serves`, or start with --dev on your own machine",
            ));
        }
        if let Some(Err(text)) = listener.tls.as_ref().map(TlsOptions::validate) {
            problems.push(Problem::in_section(&format!("listeners.{name}.tls"), &text));
        }
        if let Some((other, _)) = listeners[..at].iter().find(|(_, other)| other.clashes_with(listener)) {
            problems.push(Problem::about(
                format!("listeners.{name}.bind"),
                format!("{} is taken by the listener `{other}` already", listener.bind),
                "give one of them another port, or let one listener serve both",
            ));
        }
    }
    if config.workers > WORKERS_MAX {
        problems.push(Problem::about(
            "workers",
            format!("{} is more than {WORKERS_MAX}", config.workers),
            "write 0 for one for each core",
        ));
    }
    problems
}

/// Whether the files can be used that only a node needs which is run.
pub(super) fn files(config: &Config) -> Vec<Problem> {
    let listeners = config.listeners.iter().filter_map(|(name, listener)| Some((name, listener.tls.as_ref()?)));
    let wrong = |(name, options)| {
        let unusable = tls::server(options).err()?;
        Some(Problem::about(format!("listeners.{name}.tls.{}", unusable.key), unusable.what, unusable.fix))
    };
    listeners.filter_map(wrong).chain(hooks(config)).collect()
}

fn hooks(config: &Config) -> Option<Problem> {
    match Application::new(&config.hooks, Arc::new(SystemClock)).err()? {
        fanfare_hooks::Error::Options(text) => Some(Problem::in_section("hooks", &text)),
        fanfare_hooks::Error::File { key, path, source } => Some(Problem::about(
            key,
            format!("{} cannot be read ({source})", path.display()),
            "see that it exists and that this user may read it",
        )),
        other => Some(Problem::about("hooks", other.to_string(), "")),
    }
}

/// Kinds, and what their policies ask of the engine.
fn topics(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    for kind in config.topics.keys().filter(|kind| *kind != "*") {
        let wrong = match Topic::new(kind) {
            Ok(topic) if topic.id().is_none() => continue,
            Ok(_) => "is a topic, not a kind".to_owned(),
            Err(error) => format!("is not a kind of topic: {}", error.problem),
        };
        problems.push(Problem::about(
            format!("topics.{kind}"),
            wrong,
            "a kind is 1 to 50 of A-Z a-z 0-9 _ . - and ends before the first `:`, e.g. [topics.chat]; `*` is for all others",
        ));
    }
    // What other engines can do is known when they are connected to.
    if config.engine.parts().is_none_or(|parts| parts.log != Engine::Memory) {
        return problems;
    }
    for (kind, policy) in &config.topics {
        if policy.durability.is_some_and(|asked| asked > Durability::None) {
            problems.push(Problem::about(
                format!("topics.{kind}.durability"),
                "asks for more than the memory engine can give, which forgets everything at the stop",
                "write durability = \"none\", or engine.kind = \"embedded\"",
            ));
        }
    }
    problems
}

/// Files that are written by replacing them, so that their directories must be writable.
fn replaced_files(config: &Config) -> impl Iterator<Item = Problem> {
    let auth = &config.auth;
    let files = [(API_KEYS, &auth.api_keys_file), (REVOCATIONS, &auth.revocations_file)];
    files.into_iter().filter_map(|(key, file)| {
        let file = file.as_ref()?;
        let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if directory == config.engine.path && config.engine.is_embedded() && !directory.exists() {
            // The engine makes it.
            return None;
        }
        let error = access(directory, Access::WRITE_OK | Access::EXEC_OK).err()?;
        Some(Problem::about(
            key,
            format!("{} cannot be written, because its directory cannot ({error})", file.display()),
            format!("make {} a directory that this user may write to, or name another file", directory.display()),
        ))
    })
}

/// Whether the keys that `auth` names can be read and used.
pub(super) fn keys(config: &Config) -> Result<(), Problem> {
    use fanfare_auth::Error;
    let fix = "see that the file exists and that this user may read it";
    match Auth::new(config.auth.clone(), Arc::new(SystemClock)) {
        Ok(_) => Ok(()),
        Err(Error::Configuration(text)) => Err(Problem::in_section("auth", &text)),
        Err(Error::File { doing, path, source }) => {
            let key = if config.auth.revocations_file.as_ref() == Some(&path) { REVOCATIONS } else { API_KEYS };
            Err(Problem::about(key, format!("cannot {doing} {} ({source})", path.display()), fix))
        }
        Err(other @ Error::RevocationsFile { .. }) => Err(Problem::about(REVOCATIONS, other.to_string(), "")),
        Err(other) => Err(Problem::about(API_KEYS, other.to_string(), "")),
    }
}
