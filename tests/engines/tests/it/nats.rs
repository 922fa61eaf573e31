//! NATS.

use std::net::TcpStream;

use fanfare_test_engines::{Nats, NatsCluster};

#[tokio::test]
async fn it_has_jetstream_and_comes_back_after_a_kill() {
    let nats = Nats::start().await;
    assert!(nats.monitor("/jsz").await.contains("\"store_dir\""), "{}", nats.monitor("/jsz").await);
    nats.kill();
    assert!(TcpStream::connect(nats.address()).is_err());
    nats.restart().await;
    assert!(nats.monitor("/varz").await.contains("\"version\": \"2.15.1\""));
}

#[tokio::test]
async fn a_cluster_elects_and_outlives_one_server() {
    let cluster = NatsCluster::start().await;
    assert_eq!(cluster.urls().len(), 3);
    cluster.servers()[0].kill();
    cluster.servers()[0].restart().await;
    cluster.until_whole().await;
}
