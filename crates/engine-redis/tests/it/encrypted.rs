//! A Cluster whose nodes are reached by TLS, and whose servers also speak so to each other.

use fanfare_engine_redis::{Mode, Options};
use fanfare_lifecycle::Lifecycle;
use fanfare_test_engines::{Port, RedisCluster};

use crate::access::Certificate;
use crate::failover::{PATIENT, a_key_of};
use crate::reader::{Node, events, topic};
use crate::support::brokers;

/// Starts it, and the options for whoever trusts its authority.
async fn encrypted(certificate: &Certificate, ports: &[Port]) -> (RedisCluster, Options) {
    let file = |name: &str| certificate.file(name).display().to_string();
    let servers = RedisCluster::start_with(|number| {
        let port = ports[number].number().to_string();
        let (ca, crt, key) = (file("ca"), file("crt"), file("key"));
        let settings = [
            ["--tls-port", &port],
            ["--tls-cluster", "yes"],
            ["--tls-replication", "yes"],
            ["--tls-cert-file", &crt],
            ["--tls-key-file", &key],
            ["--tls-ca-cert-file", &ca],
            ["--tls-auth-clients", "no"],
        ];
        settings.as_flattened().iter().map(|&word| word.to_owned()).collect()
    });
    let urls = ports.iter().map(|port| format!("rediss://{}", port.address()).into()).collect();
    let options = Options { urls, mode: Mode::Cluster, ca_file: Some(certificate.file("ca")), ..Options::default() };
    (servers.await, options)
}

fn ports() -> Vec<Port> {
    (0..6).map(|_| Port::reserve()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_speaks_tls_keeps_the_contract() {
    let (certificate, ports) = (Certificate::make(), ports());
    let (_servers, options) = encrypted(&certificate, &ports).await;
    let life = Lifecycle::new();
    brokers(options, &life).run().await;
    life.stop();
    life.ended().await;
}

/// The one that takes over, and those that know who does, are reached by TLS as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_survived_by_tls() {
    let (certificate, ports) = (Certificate::make(), ports());
    let (servers, options) = encrypted(&certificate, &ports).await;
    let node = Node::start(&Options { timeout: PATIENT, ..options }).await;
    let topics: Vec<_> = (0..12).map(|n| topic(&format!("a:{n}"))).collect();
    let mut listeners = Vec::new();
    for topic in &topics {
        listeners.push(node.listen(topic).await);
        node.publish(topic, 1..=3).await;
    }
    let old = &servers.servers()[0];
    let key = a_key_of(old).await;
    let old = servers.owner_of(&key).await;
    old.until_replicated().await;
    old.kill();
    servers.until_promoted(old, &key).await;
    for (topic, listener) in topics.iter().zip(&mut listeners) {
        node.publish(topic, 4..=5).await;
        assert_eq!(listener.until_event(5).await, events(1..=5));
    }
}
