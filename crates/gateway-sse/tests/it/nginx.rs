//! Case 44: nginx in front, as it is without a word about streams, and as impatient as it can be.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use fanfare_gateway_sse::Door;
use fanfare_lifecycle::TaskKind;
use http::{Request, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::server::server_with;

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nginx waits for a sign of life; 60 s by default, to the 25 s of ours.
const NGINX_WAITS: &str = "6s";
const PING: Duration = Duration::from_millis(800);

/// Stopped when dropped.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An nginx that passes everything on to `upstream`; it listens on a socket in `directory`.
fn nginx(directory: &Path, upstream: std::net::SocketAddr) -> Nginx {
    let here = directory.display();
    let temporary =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|of| format!("{of}_temp_path {here}/{of};"));
    let config = format!(
        "daemon off; master_process off; pid {here}/pid; error_log {here}/errors; events {{}}
         http {{ access_log off; {} server {{ listen unix:{here}/socket;
           location / {{ proxy_pass http://{upstream}; proxy_read_timeout {NGINX_WAITS}; }} }} }}",
        temporary.join(" ")
    );
    std::fs::write(directory.join("nginx.conf"), config).unwrap();
    let mut command = Command::new("nginx");
    command
        .arg("-p")
        .arg(directory)
        .arg("-c")
        .arg(directory.join("nginx.conf"))
        .arg("-e")
        .arg(directory.join("errors"));
    Nginx(command.spawn().expect("nginx is installed (Debian: nginx-light)"))
}

/// Serves one connection after another as the binary does: by the door on the bare socket.
async fn accept(listener: TcpListener, door: Door, life: fanfare_lifecycle::Lifecycle) {
    while let Ok((mut socket, _)) = listener.accept().await {
        let text = read_head(&mut socket).await;
        let mut lines = text.split("\r\n");
        let first: Vec<&str> = lines.next().unwrap().split(' ').collect();
        let version = if first[2] == "HTTP/1.0" { Version::HTTP_10 } else { Version::HTTP_11 };
        let mut request = Request::builder().method(first[0]).uri(first[1]).version(version);
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            request = request.header(name, value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        assert!(door.takes(&head), "{text}");
        life.spawn(TaskKind::Connection, "behind nginx", door.serve(socket, head));
    }
}

async fn read_head(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(socket.read_u8().await.unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn case_44_events_pass_at_once_and_silence_does_not_end_a_stream() {
    let session = fanfare_session::Options {
        ping_interval: fanfare_model::Duration(PING),
        ..fanfare_session::Options::default()
    };
    let server = server_with(fanfare_gateway_sse::Options::default(), session);
    let directory = tempfile::tempdir().unwrap();
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = upstream.local_addr().unwrap();
    let accepting = accept(upstream, server.door.clone(), server.node.life.clone());
    server.node.life.spawn(TaskKind::Background, "accept", accepting);
    let _nginx = nginx(directory.path(), address);
    let mut client = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Ok(client) = UnixStream::connect(directory.path().join("socket")).await {
                return client;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("nginx listens");
    let token = server.token("alice");
    let ask = format!("GET /v1/sse?topic=a HTTP/1.1\r\nHost: push.example\r\nAuthorization: Bearer {token}\r\n\r\n");
    client.write_all(ask.as_bytes()).await.unwrap();

    let mut seen = String::new();
    let mut until = async |part: &str| {
        while !seen.contains(part) {
            let mut bytes = [0; 4096];
            let count = tokio::time::timeout(PATIENCE, client.read(&mut bytes)).await.expect("in time").unwrap();
            assert!(count > 0, "nginx ended the stream: {seen}");
            seen += std::str::from_utf8(&bytes[..count]).unwrap();
        }
        std::mem::take(&mut seen)
    };
    // Nothing follows what is waited for, so it is there because it was not held back.
    let head = until("retry: 3000\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    server.publish("a", &["at once"]).await;
    until("data: at once\n\n").await;
    // Longer than nginx waits, with nothing but signs of life.
    let quiet_since = tokio::time::Instant::now();
    while quiet_since.elapsed() < Duration::from_secs(9) {
        assert!(!until(":\n").await.contains("data:"));
    }
    server.publish("a", &["still here"]).await;
    until("data: still here\n\n").await;
}
