//! Where a scenario is played: the servers that were asked for, one after the other, each with a bench of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use crate::bench::Bench;
use crate::machine;
use crate::report::{Outcome, merge, print};
use crate::stamp;
use crate::target::Target;
use crate::target::adapter::Adapter;
use crate::target::fanfare::{self, Running, Setting};
use crate::transport::Transport;

/// Options of every scenario.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Common {
    /// The server to start; build it with `cargo build --release`.
    #[arg(long, global = true, default_value = "target/release/fanfare")]
    server: PathBuf,
    /// Adapter files of other servers that run beside ours, one after the other.
    #[arg(long, global = true, value_name = "ADAPTER.toml")]
    target: Vec<PathBuf>,
    /// Only the servers of `--target`, not ours.
    #[arg(long, global = true, requires = "target")]
    only_targets: bool,
    #[command(flatten)]
    running: Running,
    /// How readers get their events.
    #[arg(long, global = true, value_delimiter = ',', default_values = ["ws", "sse"])]
    transports: Vec<Transport>,
    /// Bytes of a payload; at least 45, what its stamp needs.
    #[arg(long, global = true, default_value_t = 128)]
    bytes: usize,
    /// How many runs; the medians are reported. Default: the scenario's.
    #[arg(long, global = true)]
    runs: Option<usize>,
    /// Event loops of the generator. With more than one nothing is pinned.
    #[arg(long, global = true, default_value_t = 1)]
    threads: usize,
    /// Connections that may be under way at once.
    #[arg(long, global = true, default_value_t = 256)]
    under_way: usize,
    /// Do not pin the servers that are started here to core 0 and the generator to core 1.
    #[arg(long, global = true)]
    no_pin: bool,
    /// Writes the figures as JSON.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes the plots as SVG.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

pub(crate) struct Ground {
    common: Common,
    /// The core of the servers that are started here.
    core: Option<usize>,
    bar: ProgressBar,
}

impl Ground {
    pub(crate) fn new(common: Common) -> anyhow::Result<Self> {
        anyhow::ensure!(
            (stamp::BYTES..=stamp::BYTES_MAX).contains(&common.bytes),
            "--bytes must be {} to {}",
            stamp::BYTES,
            stamp::BYTES_MAX
        );
        let pinned = !common.no_pin && !common.running.is_given() && common.threads == 1 && machine::cores() > 1;
        if pinned {
            machine::pin(1)?;
        }
        let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {elapsed:>4} {msg}")?);
        bar.enable_steady_tick(Duration::from_millis(250));
        Ok(Self { common, core: pinned.then_some(0), bar })
    }

    /// Bytes of a payload.
    pub(crate) fn bytes(&self) -> usize {
        self.common.bytes
    }

    pub(crate) fn transports(&self) -> &[Transport] {
        &self.common.transports
    }

    /// A line of text above the progress.
    pub(crate) fn line(&self, text: &str) {
        self.bar.suspend(|| print::line(text));
    }

    /// Ends the progress.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// A bench for a server that is not among those asked for, e.g. a bare loop.
    pub(crate) fn bench(&self, target: Target) -> anyhow::Result<Bench> {
        let Common { threads, under_way, bytes, .. } = self.common;
        let under_way = under_way.min(target.under_way_max());
        Bench::new(target, threads, under_way, bytes, self.bar.clone())
    }

    /// Starts what an adapter describes, as the servers that are measured are started.
    pub(crate) fn open(&self, adapter: Adapter, folder: &Path) -> anyhow::Result<Target> {
        Target::open(adapter, folder, self.core)
    }

    /// Plays a scenario without readers with every server.
    pub(crate) fn each_without_readers(
        &self,
        setting: Setting,
        runs: usize,
        mut scenario: impl FnMut(&mut Bench) -> anyhow::Result<Outcome>,
    ) -> anyhow::Result<Vec<Outcome>> {
        self.play(setting, &[None], runs, |bench, _| scenario(bench))
    }

    /// Plays `scenario` with every server, over every transport that it speaks, as many times as there are runs.
    pub(crate) fn each(
        &self,
        setting: Setting,
        transports: &[Transport],
        runs: usize,
        mut scenario: impl FnMut(&mut Bench, Transport) -> anyhow::Result<Outcome>,
    ) -> anyhow::Result<Vec<Outcome>> {
        let transports: Vec<Option<Transport>> = transports.iter().copied().map(Some).collect();
        self.play(setting, &transports, runs, |bench, transport| {
            scenario(bench, transport.context("the scenario has readers")?)
        })
    }

    fn play(
        &self,
        setting: Setting,
        transports: &[Option<Transport>],
        runs: usize,
        mut scenario: impl FnMut(&mut Bench, Option<Transport>) -> anyhow::Result<Outcome>,
    ) -> anyhow::Result<Vec<Outcome>> {
        let runs = self.common.runs.unwrap_or(runs).max(1);
        let mut outcomes = Vec::new();
        let mut servers: Vec<Option<&Path>> = self.common.target.iter().map(|path| Some(path.as_path())).collect();
        if !self.common.only_targets {
            servers.insert(0, None);
        }
        for server in servers {
            if let Some(path) = server {
                let adapter = Adapter::read(path)?;
                self.line(&format!("{}: {}", adapter.name, adapter.about));
            }
            for transport in transports {
                let mut done = Vec::new();
                for run in 0..runs {
                    self.bar.set_message(format!("run {} of {runs}", run + 1));
                    match self.once(server, setting, *transport, &mut scenario) {
                        Ok(outcome) => done.extend(outcome),
                        // Another server that cannot do it does not keep the others from it.
                        Err(error) if server.is_some() => {
                            let transport = transport.map_or("", Transport::name);
                            let path = server.unwrap_or(Path::new("")).display();
                            self.line(&format!("{path} {transport}: left out: {error:#}"));
                            break;
                        }
                        Err(error) => return Err(error),
                    }
                }
                outcomes.extend(merge(done));
            }
        }
        Ok(outcomes)
    }

    /// Plays it once; `None` if the server does not speak that.
    fn once(
        &self,
        server: Option<&Path>,
        setting: Setting,
        transport: Option<Transport>,
        scenario: &mut impl FnMut(&mut Bench, Option<Transport>) -> anyhow::Result<Outcome>,
    ) -> anyhow::Result<Option<Outcome>> {
        let target = self.server(server, setting)?;
        if transport.is_some_and(|transport| !target.speaks(transport)) {
            return Ok(None);
        }
        let name = target.name.clone();
        let mut bench = self.bench(target)?;
        let outcome = match scenario(&mut bench, transport) {
            Ok(outcome) => outcome,
            // That the server has ended says more than what was noticed of it.
            Err(error) => {
                bench.target.expect_alive().with_context(|| format!("{error:#}"))?;
                return Err(error);
            }
        };
        let transport = transport.map_or("", Transport::name).to_owned();
        Ok(Some(Outcome { target: name, transport, ..outcome }))
    }

    fn server(&self, adapter: Option<&Path>, setting: Setting) -> anyhow::Result<Target> {
        match adapter {
            Some(path) => {
                let path = path.canonicalize().with_context(|| format!("{} is not there", path.display()))?;
                self.open(Adapter::read(&path)?, path.parent().unwrap_or(Path::new("/")))
            }
            None if self.common.running.is_given() => self.common.running.open(),
            None => fanfare::start(&self.common.server, self.core, setting),
        }
    }
}
