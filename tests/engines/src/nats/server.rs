//! One NATS server.

use std::net::SocketAddr;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::ports::Port;
use crate::process::Process;
use crate::program::Program;
use crate::scratch;

/// A server with `JetStream` on disk. It is killed when this is dropped.
#[derive(Debug)]
pub struct Nats {
    process: Process,
    port: Port,
    monitor: Port,
    name: String,
    folder: TempDir,
}

impl Nats {
    /// Starts one.
    pub async fn start() -> Self {
        let nats = Self::launch("alone", "");
        nats.until_ready().await;
        nats
    }

    /// Starts one with more lines in its configuration, and does not wait until it is ready.
    pub(super) fn launch(name: &str, more: &str) -> Self {
        let (port, monitor, folder) = (Port::reserve(), Port::reserve(), scratch::directory());
        let file = folder.path().join("nats.conf");
        let text = format!(
            "server_name: {name}\nlisten: {}\nhttp: {}\njetstream {{ store_dir: \"{}\" }}\n{more}",
            port.address(),
            monitor.address(),
            folder.path().join("store").display()
        );
        std::fs::write(&file, text).expect("it is in our own directory");
        let arguments = vec!["--config".to_owned(), file.display().to_string()];
        let process = Process::start(&format!("NATS {name}"), Program::Nats, arguments, folder.path());
        Self { process, port, monitor, name: name.to_owned(), folder }
    }

    /// Its name, as other servers call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `nats://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// `kill -9`; returns when it is gone.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// SIGTERM; returns when it has ended.
    pub async fn stop(&self) {
        self.process.end(Signal::TERM).await;
    }

    /// Starts it again with the same port and directory, after ending it (SIGTERM) if it runs. Ready when it returns.
    pub async fn restart(&self) {
        self.stop().await;
        self.process.spawn();
        self.until_ready().await;
    }

    /// Starts it again after [`Nats::kill`] with nothing in it: what a server without a disk does.
    pub async fn restart_empty(&self) {
        std::fs::remove_dir_all(self.folder.path().join("store")).expect("it is in our own directory");
        self.restart().await;
    }

    /// Whether it was started and not ended since.
    pub fn is_up(&self) -> bool {
        self.process.is_up()
    }

    /// SIGSTOP: connections stay and nothing answers.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// The JSON that its monitoring port gives for `path`, e.g. `/jsz?streams=1`; empty if it does not answer.
    pub async fn monitor(&self, path: &str) -> String {
        monitor(self.monitor.address(), path).await.map_or_else(String::new, |(_, body)| body)
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until it is up and, of a cluster, has caught up with it.
    pub(super) async fn until_ready(&self) {
        let healthy =
            async || monitor(self.monitor.address(), "/healthz").await.is_some_and(|(status, _)| status == 200);
        self.process.until_ready(healthy).await;
    }
}

/// Status and body of `GET path`.
async fn monitor(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let status = answer.split_whitespace().nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}
