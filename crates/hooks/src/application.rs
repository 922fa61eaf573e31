//! The application, as sessions see it.

use std::path::Path;
use std::sync::Arc;

use fanfare_model::{Clock, Topic};
use fanfare_session::{Allow, Ask, Hook, Hooks, Verdict};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};

use crate::line::Line;
use crate::signature::{self, Signer};
use crate::{Error, Options};

/// The application that is asked. Cheap to clone; connections are shared and made when they are needed.
#[derive(Clone)]
pub struct Application {
    /// In the order of [`Hook::ALL`].
    lines: [Option<Arc<Line>>; Hook::ALL.len()],
}

impl Application {
    /// Checks the options and reads the files that they name (it blocks). `None` if nothing is to be asked. Nothing is
    /// sent: the application may be started later.
    pub fn new(options: &Options, clock: Arc<dyn Clock>) -> Result<Option<Self>, Error> {
        options.validate().map_err(Error::Options)?;
        if options.is_empty() {
            return Ok(None);
        }
        let authorities = options.ca_file.as_deref().map(|path| read("hooks.ca_file", path)).transpose()?;
        let signer = Arc::new(Signer::new(keys(options)?, clock));
        let mut lines = [const { None }; Hook::ALL.len()];
        for hook in Hook::ALL {
            if let Some(of_hook) = options.of(hook) {
                let line = Line::new(hook, of_hook, options, authorities.as_deref(), Arc::clone(&signer))?;
                lines[hook as usize] = Some(Arc::new(line));
            }
        }
        Ok(Some(Self { lines }))
    }
}

impl Hooks for Application {
    fn wants(&self, hook: Hook, topic: Option<&Topic>) -> bool {
        self.lines[hook as usize].as_ref().is_some_and(|line| line.wants(topic))
    }

    fn ask(&self, ask: Ask) -> BoxFuture<'static, Verdict> {
        match &self.lines[ask.hook as usize] {
            None => ready(Verdict::Allow(Allow::default())).boxed(),
            Some(line) => {
                let line = Arc::clone(line);
                async move { line.decide(&ask).await }.boxed()
            }
        }
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::File { key, path: path.to_owned(), source })
}

/// Every secret, first those of the configuration.
fn keys(options: &Options) -> Result<Vec<aws_lc_rs::hmac::Key>, Error> {
    let mut keys = Vec::new();
    for (at, secret) in options.secrets.iter().enumerate() {
        let key = signature::key(secret.reveal());
        keys.push(key.map_err(|problem| Error::Options(format!("`hooks.secrets[{at}]` {problem}")))?);
    }
    let Some(path) = &options.secrets_file else { return Ok(keys) };
    let text = read("hooks.secrets_file", path)?;
    let text = String::from_utf8_lossy(&text);
    for (at, line) in text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty()) {
        let problem = |problem| Error::Options(format!("`hooks.secrets_file`, line {}: it {problem}", at + 1));
        keys.push(signature::key(line).map_err(problem)?);
    }
    if keys.is_empty() {
        return Err(Error::Options(
            "`hooks.secrets_file` holds no secret; write one a line, or remove the key".to_owned(),
        ));
    }
    Ok(keys)
}
