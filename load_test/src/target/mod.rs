//! The server under measurement: started here or running already, ours or another's, behind one adapter.

pub(crate) mod adapter;
pub(crate) mod fanfare;
pub(crate) mod process;
pub(crate) mod template;
pub(crate) mod token;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use memchr::memmem::Finder;

use crate::engine::plan::{Plan, Several};
use crate::publisher::Publisher;
use crate::transport::Transport;
use crate::verify::First;
use adapter::Adapter;
use process::{Process, Usage};
use template::{Template, fill};
use token::Tokens;

/// How long a server may take until it can be connected to.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Target {
    pub(crate) name: String,
    /// Tells this run's topics and events from others'.
    pub(crate) run: u16,
    adapter: Adapter,
    constants: BTreeMap<String, String>,
    processes: Vec<Process>,
    /// Processes that somebody else has started and that shall be watched.
    watched: Vec<u32>,
    subscribe_at: Vec<SocketAddr>,
    publish_at: Vec<SocketAddr>,
    tokens: Arc<Tokens>,
    publish_tokens: Tokens,
    /// Our own server, started here.
    fanfare: Option<fanfare::Started>,
    dir: tempfile::TempDir,
}

/// What the readers of a scenario are like.
#[derive(Clone)]
pub(crate) struct Wish {
    pub(crate) transport: Transport,
    /// Each is a user of its own, with a token of its own.
    pub(crate) distinct: bool,
    /// They read from the start of the log rather than from now on.
    pub(crate) from_start: bool,
    pub(crate) first: First,
    /// They come back when they are cut off, after so long, and resume.
    pub(crate) come_back: Option<Range<Duration>>,
    pub(crate) topics: Several,
    /// A text by which replies are counted.
    pub(crate) reply: Option<&'static str>,
}

impl Wish {
    pub(crate) fn new(transport: Transport) -> Self {
        Self {
            transport,
            distinct: false,
            from_start: false,
            first: First::Sequence(1),
            come_back: None,
            topics: Several::ONE,
            reply: None,
        }
    }

    pub(crate) fn distinct(self) -> Self {
        Self { distinct: true, ..self }
    }

    pub(crate) fn any_first(self) -> Self {
        Self { first: First::Any, ..self }
    }

    pub(crate) fn at_start(self) -> Self {
        Self { from_start: true, ..self }
    }

    pub(crate) fn come_back(self, after: Range<Duration>) -> Self {
        Self { come_back: Some(after), ..self }
    }

    pub(crate) fn of(self, topics: Several) -> Self {
        Self { topics, ..self }
    }

    pub(crate) fn counting(self, reply: &'static str) -> Self {
        Self { reply: Some(reply), ..self }
    }
}

impl Target {
    /// Makes what an adapter describes ready: starts it, if it says how, pinned to a core if one is given.
    pub(crate) fn open(adapter: Adapter, folder: &Path, core: Option<usize>) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut constants = adapter.constants.clone();
        constants.insert("dir".to_owned(), dir.path().display().to_string());
        constants.insert("adapter".to_owned(), folder.display().to_string());
        for name in &adapter.ports {
            constants.insert(name.clone(), free_port()?.to_string());
        }
        for (name, text) in &adapter.files {
            std::fs::write(dir.path().join(name), fill(text, &constants))?;
        }
        let mut target = Self::reach(adapter, constants, dir)?;
        for line in target.adapter.start.clone() {
            let line: Vec<String> = line.iter().map(|word| fill(word, &target.constants)).collect();
            target.processes.push(Process::start(&line, core, target.dir.path())?);
        }
        target.wait_until_ready()?;
        Ok(target)
    }

    /// A target whose constants are complete; nothing is started.
    fn reach(
        adapter: Adapter,
        mut constants: BTreeMap<String, String>,
        dir: tempfile::TempDir,
    ) -> anyhow::Result<Self> {
        let run = rand::random::<u16>();
        constants.insert("run".to_owned(), format!("{run:04x}"));
        let resolve = |text: &str| -> anyhow::Result<Vec<SocketAddr>> {
            let text = fill(text, &constants);
            let mut all = Vec::new();
            for one in text.split(',') {
                all.extend(one.trim().to_socket_addrs().with_context(|| format!("`{one}` is not host:port"))?);
            }
            Ok(all)
        };
        let subscribe_at = resolve(&adapter.subscribe_at)?;
        let publish_at = adapter.publish_at.as_deref().map_or_else(|| Ok(subscribe_at.clone()), resolve)?;
        Ok(Self {
            name: adapter.name.clone(),
            run,
            tokens: Arc::new(Tokens::new(adapter.jwt.as_ref(), &constants)),
            publish_tokens: Tokens::new(adapter.publish.as_ref().and_then(|p| p.jwt.as_ref()), &constants),
            adapter,
            constants,
            processes: Vec::new(),
            watched: Vec::new(),
            subscribe_at,
            publish_at,
            fanfare: None,
            dir,
        })
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let mut addresses = self.publish_at.clone();
        addresses.extend(&self.subscribe_at);
        for text in &self.adapter.ready {
            addresses.extend(fill(text, &self.constants).to_socket_addrs()?);
        }
        addresses.sort_unstable();
        addresses.dedup();
        let deadline = Instant::now() + PATIENCE;
        for address in addresses {
            while let Err(error) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
                ensure!(Instant::now() < deadline, "{} cannot be reached at {address}: {error}", self.name);
                self.pause()?;
            }
        }
        if let Some(path) = self.adapter.ready_path.clone() {
            while let Err(error) = answers(self.subscribe_at[0], &path) {
                ensure!(Instant::now() < deadline, "{} is not ready: {error:#}", self.name);
                self.pause()?;
            }
        }
        Ok(())
    }

    /// Waits a little; an error if a process has ended.
    fn pause(&mut self) -> anyhow::Result<()> {
        std::thread::sleep(Duration::from_millis(20));
        self.expect_alive()
    }

    /// An error with its last words if a process has ended.
    pub(crate) fn expect_alive(&mut self) -> anyhow::Result<()> {
        for process in &mut self.processes {
            if let Err(ended) = process.expect_alive() {
                bail!("{}: {ended}{}", self.name, process::last_words(self.dir.path()));
            }
        }
        Ok(())
    }

    /// Whether clients can read it in this way.
    pub(crate) fn speaks(&self, transport: Transport) -> bool {
        match transport {
            Transport::Sse => self.adapter.sse.is_some(),
            Transport::Ws => self.adapter.ws.is_some(),
            Transport::Grpc => self.adapter.grpc.is_some(),
        }
    }

    /// What its processes use, if they are known.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let pids: Vec<u32> = self.processes.iter().map(Process::id).chain(self.watched.iter().copied()).collect();
        (!pids.is_empty()).then(|| process::usage(&pids))
    }

    /// Whether it is our own server, started here.
    pub(crate) fn is_ours(&self) -> bool {
        self.fanfare.is_some()
    }

    pub(crate) fn publish_at(&self) -> &[SocketAddr] {
        &self.publish_at
    }

    /// The most connections that may be on their way at once.
    pub(crate) fn under_way_max(&self) -> usize {
        self.adapter.under_way_max
    }

    /// Whether it takes requests that follow each other without waiting for answers.
    pub(crate) fn is_pipelined(&self) -> bool {
        self.adapter.publish.as_ref().is_some_and(|publish| publish.pipelined)
    }

    /// The token of a publisher.
    pub(crate) fn publish_token(&self) -> anyhow::Result<String> {
        self.publish_tokens.of(0, "")
    }

    /// How its readers connect.
    pub(crate) fn plan(&self, wish: &Wish) -> anyhow::Result<Arc<Plan>> {
        let name = &self.name;
        let tokens = if wish.distinct {
            Arc::clone(&self.tokens)
        } else {
            // Signed once, not for each reader; but a token may be of one topic.
            match &*self.tokens {
                Tokens::Signed { claims, .. } if !claims.takes_topic() => {
                    Arc::new(Tokens::Same(self.tokens.of(0, "")?))
                }
                _ => Arc::clone(&self.tokens),
            }
        };
        let template = |text: &String| Template::new(text, &self.constants);
        let sign = |text: &Option<String>| {
            text.as_ref().map(|text| Finder::new(fill(text, &self.constants).as_bytes()).into_owned())
        };
        let begin = |from: &adapter::From| -> anyhow::Result<String> {
            if wish.from_start {
                from.start.clone().with_context(|| format!("{name} has no log to read from the start"))
            } else {
                Ok(from.now.clone())
            }
        };
        let mut plan = Plan {
            transport: wish.transport,
            addresses: self.subscribe_at.clone(),
            run: self.run,
            names: self.names(),
            tokens,
            distinct: wish.distinct,
            head: None,
            call: None,
            topics: wish.topics,
            also: None,
            resume: None,
            frames: Vec::new(),
            subscribed: None,
            refused: None,
            answers: Vec::new(),
            position: None,
            gap: None,
            reply: wish.reply.map(|text| Finder::new(text).into_owned()),
            subscribe: None,
            unsubscribe: None,
            publish: None,
            late_publish: None,
            from: String::new(),
            start: None,
            first: wish.first,
            retries: self.adapter.retries,
            remember: wish.come_back.is_some(),
            come_back: wish.come_back.clone(),
        };
        let no_resume = || format!("{name} does not say how readers resume");
        match wish.transport {
            Transport::Sse => {
                let sse = self.adapter.sse.as_ref().with_context(|| format!("{name} has no [sse]"))?;
                ensure!(!plan.remember || sse.resume.is_some(), no_resume());
                plan.head = Some(self.head(&sse.path, &sse.headers, ""));
                plan.also = sse.also.as_ref().map(template);
                ensure!(
                    wish.topics.count == 1 || plan.also.is_some(),
                    "{name} does not say how one stream has several topics"
                );
                plan.resume = sse.resume.as_ref().map(template);
                plan.subscribed = sign(&sse.subscribed);
                plan.gap = sign(&sse.gap);
                plan.from = begin(&sse.from)?;
                plan.start.clone_from(&sse.from.start);
            }
            Transport::Ws => {
                let ws = self.adapter.ws.as_ref().with_context(|| format!("{name} has no [ws]"))?;
                ensure!(!plan.remember || ws.position.is_some(), no_resume());
                plan.head = Some(self.head(&ws.path, &ws.headers, UPGRADE));
                plan.also = ws.also.as_ref().map(template);
                ensure!(
                    wish.topics.count == 1 || plan.also.is_some() || ws.subscribe.is_some(),
                    "{name} does not say how one connection has several topics"
                );
                plan.frames = ws.frames.iter().map(template).collect();
                plan.subscribed = sign(&ws.subscribed);
                plan.refused = sign(&ws.refused);
                plan.answers = ws.answers.iter().map(|answer| (answer.to.clone(), answer.with.clone())).collect();
                plan.position = sign(&ws.position);
                plan.gap = sign(&ws.gap);
                plan.subscribe = ws.subscribe.as_ref().map(template);
                plan.unsubscribe = ws.unsubscribe.as_ref().map(template);
                plan.publish = ws.publish.as_ref().map(template);
                plan.late_publish = ws.late_publish.as_ref().map(template);
                plan.from = begin(&ws.from)?;
                plan.start.clone_from(&ws.from.start);
            }
            Transport::Grpc => plan.call = Some(self.call(wish)?),
        }
        Ok(Arc::new(plan))
    }

    /// The method of gRPC with which a reader subscribes.
    fn call(&self, wish: &Wish) -> anyhow::Result<String> {
        let grpc = self.adapter.grpc.as_ref().with_context(|| format!("{} has no [grpc]", self.name))?;
        let is_plain = wish.topics.count == 1 && !wish.from_start && wish.come_back.is_none();
        ensure!(is_plain, "readers over gRPC have one topic each, from now on, and do not come back");
        Ok(grpc.path.clone())
    }

    fn head(&self, path: &str, headers: &[String], more: &str) -> Template {
        let mut text = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{more}", self.subscribe_at[0]);
        for line in headers {
            text.push_str(line);
            text.push_str("\r\n");
        }
        Template::new(&text, &self.constants)
    }

    fn names(&self) -> Template {
        Template::new(&self.adapter.topic.replace("{number}", "{topic}"), &self.constants)
    }

    /// The name of a topic by its number.
    pub(crate) fn topic(&self, number: u32) -> String {
        crate::engine::plan::topic(&self.names(), number)
    }

    /// Whoever publishes to it over HTTP.
    pub(crate) fn publisher(&self) -> anyhow::Result<Publisher> {
        let publish = self.adapter.publish.as_ref();
        let publish = publish.with_context(|| format!("{} cannot be published to over HTTP", self.name))?;
        let token = self.publish_token()?;
        Ok(Publisher::new(publish, &self.constants, self.names(), self.publish_at[0], self.run, token))
    }

    /// The body of the answer to a request to the API for servers.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.publish_at[0])?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let token = self.publish_token()?;
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: load\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let Some((head, body)) = crate::transport::head::whole(&answer)? else { bail!("{path}: the answer was cut") };
        ensure!(head.status == 200, "{path}: status {}: {}", head.status, String::from_utf8_lossy(&body));
        Ok(String::from_utf8(body)?)
    }

    /// How often our own server has encoded an event, over how many were published: the proof that readers share.
    pub(crate) fn encodings_per_event(&self) -> anyhow::Result<Option<f64>> {
        if !self.is_ours() {
            return Ok(None);
        }
        let text = self.get("/metrics")?;
        let sum = |name: &str| -> f64 {
            let lines = text.lines().filter(|line| line.starts_with(name));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        Ok(Some(sum("fanfare_events_encoded_total") / sum("fanfare_events_published_total")))
    }

    /// Asks our own server to stop, as an operator does.
    pub(crate) fn ask_to_stop(&self) -> anyhow::Result<()> {
        ensure!(self.is_ours(), "only a Fanfare that was started here can be restarted");
        self.processes.iter().for_each(Process::ask_to_stop);
        Ok(())
    }

    /// Whether all of it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.processes.iter_mut().all(Process::has_ended)
    }

    /// Starts our own server again, at the same addresses and with the same data.
    pub(crate) fn start_again(&mut self) -> anyhow::Result<()> {
        let started = self.fanfare.as_ref().context("only a Fanfare that was started here can be restarted")?;
        self.processes = vec![started.again(self.dir.path(), &self.subscribe_at, &self.publish_at)?];
        self.wait_until_ready()
    }
}

/// What makes a request one for a WebSocket.
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

/// An error unless a `GET` is answered with 200 soon; its body may have no end.
fn answers(at: SocketAddr, path: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes())?;
    let mut input = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(head) = crate::transport::head::parse(&input)? {
            ensure!(head.status == 200, "status {}", head.status);
            return Ok(());
        }
        let n = stream.read(&mut chunk)?;
        ensure!(n > 0, "the connection was closed");
        input.extend_from_slice(&chunk[..n]);
    }
}

/// A port that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
