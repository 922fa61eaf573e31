//! `dev/cluster`: what a person tries first, with a real load balancer between clients and gateways.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fanfare_tests::{Api, Listen, PATIENCE, Transport, binary, eventually, fresh_topic};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The script; stopped when dropped. Not as by Ctrl-C: a shell ignores that if whoever started the tests did.
struct Script(Child);

impl Drop for Script {
    fn drop(&mut self) {
        let _ = kill_process(pid(self.0.id()), Signal::TERM);
        let _ = self.0.wait();
    }
}

fn pid(id: u32) -> Pid {
    i32::try_from(id).ok().and_then(Pid::from_raw).expect("a pid")
}

/// An address that nobody listens on, of the ports that the kernel gives to nobody who asks for any, so that no other test
/// takes it before the script does.
fn free() -> SocketAddr {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("Linux has /proc");
    let first = range.split_whitespace().next().and_then(|port| port.parse().ok()).expect("the first port");
    let bound = (0..1000).find_map(|_| TcpListener::bind(("127.0.0.1", rand::random_range(first / 2..first))).ok());
    bound.and_then(|listener| listener.local_addr().ok()).expect("a free port")
}

#[tokio::test]
async fn clients_of_a_killed_gateway_go_on_with_another() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let state = dir.path().join("state.json");
    let (clients, backends) = (free(), free());
    let script = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../dev/cluster"));
    let mut script = Script(
        Command::new(script)
            .args(["redis", "--clients", &clients.to_string(), "--backends", &backends.to_string(), "--state"])
            .arg(&state)
            .env("BIN", binary())
            .stdout(Stdio::null())
            .spawn()
            .expect("the script starts"),
    );
    let state: Value = eventually("the cluster to be ready", PATIENCE * 2, || {
        assert!(script.0.try_wait().expect("our own child").is_none(), "dev/cluster has ended");
        let written = std::fs::read(&state).ok();
        std::future::ready(written.and_then(|text| serde_json::from_slice(&text).ok()))
    })
    .await;
    let text = |key: &str| state[key].as_str().expect("a text").to_owned();
    let api = Api::with_token(backends, Some(text("server_token")));
    let topic = fresh_topic("demo");
    let ask = Listen::to(&topic, text("client_token"));

    let mut readers = Vec::new();
    for transport in Transport::ALL {
        readers.push((transport, transport.listen(clients, &ask).await, "start".to_owned()));
    }
    api.publish_numbers(&topic, 1..=3).await;
    for (transport, reader, position) in &mut readers {
        let (data, at) = reader.take(3).await;
        assert_eq!(data, [1, 2, 3], "{transport}");
        *position = at;
    }
    let gateway = state["pids"]["gateway-1"].as_u64().and_then(|id| u32::try_from(id).ok()).expect("a pid");
    kill_process(pid(gateway), Signal::KILL).expect("a child of our child");
    api.publish_numbers(&topic, 4..=6).await;
    for (transport, _, position) in readers {
        // Until the balancer has noticed, it may lead to the dead gateway.
        let ask = Listen { from: position, ..ask.clone() };
        let mut reader = eventually(format!("{transport} to be let in again"), PATIENCE, async || {
            transport.try_listen(clients, &ask).await.ok()
        })
        .await;
        assert_eq!(reader.take(3).await.0, [4, 5, 6], "{transport}");
    }
}
