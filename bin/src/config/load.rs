//! Puts the layers together.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::value::Value;

use super::layers::Layer;
use super::problem::Problem;
use super::{Config, check};
use crate::failure::{Code, Failure};

/// The file that is read if no other is named and it exists.
const FILE: &str = "fanfare.toml";

/// Where a configuration is to be read from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    /// The file; without one `fanfare.toml` in the working directory, if it exists.
    pub file: Option<PathBuf>,
    /// `key=value` of the command line.
    pub set: Vec<String>,
    /// Whether the defaults are those of a development machine.
    pub dev: bool,
}

/// A configuration that was read and checked.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file it came from, if there was one.
    pub file: Option<PathBuf>,
    /// Where each value came from.
    figment: Figment,
}

impl Sources {
    /// Reads the process's own environment and the file, and checks the result.
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        // A variable that is not text cannot be one of ours.
        let variables = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        self.load_with(variables.collect())
    }

    /// As [`Sources::load`], without the environment: for a command that reads several configurations.
    pub(crate) fn load_file(&self) -> Result<Loaded, Failure> {
        self.load_with(Vec::new())
    }

    fn load_with(&self, variables: Vec<(String, String)>) -> Result<Loaded, Failure> {
        let file = self.file.clone().or_else(|| Path::new(FILE).exists().then(|| PathBuf::from(FILE)));
        let (config, figment) = self.merge(file.as_deref(), variables).map_err(|problems| failure(&problems))?;
        Ok(Loaded { config, file, figment })
    }

    fn merge(&self, file: Option<&Path>, variables: Vec<(String, String)>) -> Result<(Config, Figment), Vec<Problem>> {
        let one = |problem| vec![problem];
        let defaults = Value::serialize(Config::defaults(self.dev)).ok().and_then(Value::into_dict);
        let mut layers = vec![Layer::defaults(defaults.unwrap_or_default())];
        layers.extend(file.map(Layer::file).transpose().map_err(one)?);
        layers.push(Layer::environment(variables).map_err(one)?);
        layers.push(Layer::command_line(&self.set).map_err(one)?);
        for at in 1..layers.len() {
            if layers[at].name_listeners().map_err(one)? {
                for earlier in &mut layers[..at] {
                    earlier.values.remove("listeners");
                }
            }
        }
        let figment = layers.iter().fold(Figment::new(), |figment, layer| figment.merge(layer));
        let mut config: Config = figment
            .extract()
            .map_err(|errors| errors.into_iter().map(|e| Problem::of_value(&e)).collect::<Vec<_>>())?;
        config.adapt(self.dev);
        let problems = check::problems(&config, self.dev);
        let problems = if problems.is_empty() { check::keys(&config).err().into_iter().collect() } else { problems };
        if problems.is_empty() {
            return Ok((config, figment));
        }
        Err(problems.into_iter().map(|problem| with_source(problem, &figment)).collect())
    }
}

impl Loaded {
    /// Refuses what only matters to a node that is to be run: that everybody would be refused, and files that cannot be
    /// used but which whoever makes a token here need not be able to read.
    pub(crate) fn must_be_servable(&self, dev: bool) -> Result<(), Failure> {
        self.must_let_somebody_in(dev)?;
        let problems = check::files(&self.config);
        if problems.is_empty() {
            return Ok(());
        }
        Err(failure(&problems.into_iter().map(|problem| with_source(problem, &self.figment)).collect::<Vec<_>>()))
    }

    fn must_let_somebody_in(&self, dev: bool) -> Result<(), Failure> {
        let auth = &self.config.auth;
        let anybody = !auth.issuers.is_empty()
            || !auth.api_keys.is_empty()
            || auth.api_keys_file.is_some()
            || auth.anonymous.as_ref().is_some_and(|access| !access.doors.is_empty());
        if dev || anybody {
            return Ok(());
        }
        let file = self.file.as_ref().map_or("fanfare.toml".to_owned(), |file| file.display().to_string());
        Err(Failure::new(
            Code::NoIssuer,
            format!(
                "nobody could be let in: auth.issuers is empty, and there is neither auth.api_keys_file nor \
                 auth.anonymous\n  fix: add [auth.issuers.<name>] to {file}; or, to try things on this machine, use --dev"
            ),
        ))
    }
}

/// Names where the value of the problem's key came from: of the key itself, or of what it is in.
fn with_source(problem: Problem, figment: &Figment) -> Problem {
    let mut key = problem.key().to_owned();
    loop {
        match figment.find_metadata(&key) {
            Some(metadata) if metadata.name != "the defaults" => return problem.from(metadata),
            _ => match key.rfind('.') {
                Some(end) => key.truncate(end),
                None => return problem,
            },
        }
    }
}

fn failure(problems: &[Problem]) -> Failure {
    let text = problems.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>().join("\n");
    let code = if problems.iter().all(Problem::is_about_source) { Code::ConfigUnreadable } else { Code::ConfigWrong };
    Failure::new(code, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, variables: &[(&str, &str)], set: &[&str]) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fanfare.toml");
        std::fs::write(&path, file).unwrap();
        let set = set.iter().map(ToString::to_string).collect();
        let sources = Sources { file: Some(path), set, dev: true };
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        sources.load_with(variables).map(|loaded| loaded.config).map_err(|failure| failure.to_string())
    }

    #[test]
    fn later_layers_win_key_by_key() {
        let file = "workers = 1\n[drain]\nwindow = \"1s\"\ngrace = \"1s\"\n[http]\nbacklog = 7\n";
        let config =
            load(file, &[("FANFARE__DRAIN__WINDOW", "2s"), ("FANFARE__WORKERS", "2")], &["workers=3"]).unwrap();
        assert_eq!(config.workers, 3, "the command line wins");
        assert_eq!(config.drain.window, fanfare_model::Duration::from_secs(2), "the environment wins over the file");
        assert_eq!(config.drain.grace, fanfare_model::Duration::from_secs(1), "what it does not set stays");
        assert_eq!(config.http.backlog, 7);
        assert_eq!(config.http.h2_streams_max, 250, "what nobody sets is the default");
    }

    #[test]
    fn a_table_of_listeners_changes_the_defaults_and_a_list_replaces_them() {
        let config = load("", &[("FANFARE__LISTENERS__PUBLIC__BIND", "127.0.0.1:9000")], &[]).unwrap();
        assert_eq!(config.listeners.keys().collect::<Vec<_>>(), ["admin", "public"]);
        assert_eq!(config.listeners["public"].bind.port(), 9000);
        let all =
            "[[listeners]]\nname = \"all\"\nbind = \"127.0.0.1:0\"\nserves = [\"api\", \"sse\", \"ws\", \"grpc\"]\n";
        let config = load(all, &[], &[]).unwrap();
        assert_eq!(config.listeners.keys().collect::<Vec<_>>(), ["all"]);
        let config = load(all, &[], &["listeners.all.bind=127.0.0.1:7"]).unwrap();
        assert_eq!(config.listeners["all"].bind.port(), 7, "one of a list can be changed by its name");
    }

    #[test]
    fn a_setting_is_toml_or_text() {
        let config =
            load("", &[], &["engine.path=/tmp/a b", "roles=[\"sse\"]", "topics.*.client_publish=true"]).unwrap();
        assert_eq!(config.engine.path, Path::new("/tmp/a b"));
        assert_eq!(config.roles, [crate::config::Role::Sse]);
        assert_eq!(config.topics["*"].client_publish, Some(true));
        let named = load("", &[("FANFARE__CLUSTER__NAME", "7")], &[]).unwrap();
        assert_eq!(named.cluster.name.as_deref(), Some("7"), "text may look like a number");
        let named = load("", &[], &["cluster.name=[7]"]).unwrap();
        assert_eq!(named.cluster.name.as_deref(), Some("[7]"));
    }

    #[test]
    fn kubernetes_may_name_a_service_fanfare() {
        load("", &[("FANFARE_PORT_8080_TCP", "tcp://10.0.0.1:8080"), ("FANFARE_SERVICE_HOST", "10.0.0.1")], &[])
            .unwrap();
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        let config = Config::defaults(true);
        let printed = toml::to_string(&config).unwrap();
        let read = load(&printed, &[], &[]).unwrap();
        assert_eq!(toml::to_string(&read).unwrap(), printed);
    }
}
