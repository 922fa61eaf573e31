//! The commands that `serve --dev` prints, pasted into a shell as they are.

use std::process::Stdio;

use fanfare_tests::{Config, PATIENCE, Server, eventually, within};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::tls::Certificates;

/// A shell with the lines below a headline. What it has started ends with it.
struct Pasted {
    shell: Child,
    printed: Lines<BufReader<ChildStdout>>,
}

impl Pasted {
    async fn below(server: &Server, headline: &str) -> Self {
        let printed = eventually("the last line", PATIENCE, async || {
            Some(server.log().text()).filter(|text| text.contains("in a browser"))
        })
        .await;
        let below = printed.lines().skip_while(|line| line.trim() != headline).skip(1);
        // What is indented: the log may have got in between.
        let script: Vec<_> = below.take_while(|line| !line.is_empty()).filter(|line| line.starts_with("  ")).collect();
        assert!(script.len() > 1, "{headline} in {printed}");
        let mut shell = Command::new("sh")
            .args(["-c", &script.join("\n")])
            .current_dir(server.dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("there is a shell");
        let printed = BufReader::new(shell.stdout.take().expect("it is piped")).lines();
        Self { shell, printed }
    }

    async fn line(&mut self) -> String {
        within("a line", self.printed.next_line()).await.expect("text").expect("the command goes on")
    }
}

impl Drop for Pasted {
    fn drop(&mut self) {
        // The shell is waited for nowhere else, so that its number is nobody's but its group's.
        let group = self.shell.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(group) = group {
            // Fails only if all of them have ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// What the one prints hears what the other publishes.
async fn they_work(config: Config) {
    let server = Server::start(config).await;
    let mut listening = Pasted::below(&server, "# subscribe").await;
    // The stream has begun.
    assert_eq!(listening.line().await, ":");
    let mut publishing = Pasted::below(&server, "# publish").await;
    let answer = publishing.line().await;
    assert!(answer.contains("position"), "{answer}");
    loop {
        let line = listening.line().await;
        if line.starts_with("data:") {
            assert_eq!(line, r#"data: {"text":"hi"}"#);
            break;
        }
    }
}

#[tokio::test]
async fn they_work_without_tls() {
    they_work(Config::new()).await;
}

/// Both doors speak TLS, and the servers' asks for a certificate.
#[tokio::test]
async fn they_work_with_tls() {
    let certificates = Certificates::make();
    let set = |config: Config, key: &str, file: &str| {
        let value = certificates.path(file);
        config.argument("--set").argument(&format!("listeners.admin.tls.{key}={value}"))
    };
    let config = set(certificates.config(), "cert_file", "server.pem");
    let config = set(set(config, "key_file", "server.key"), "client_ca_file", "ca.pem");
    they_work(config).await;
}

/// A certificate that nobody but its owner has signed.
#[tokio::test]
async fn they_work_with_a_certificate_alone() {
    let certificates = Certificates::make();
    std::fs::remove_file(certificates.path("ca.pem")).expect("dev-cert wrote it");
    they_work(certificates.config()).await;
}
