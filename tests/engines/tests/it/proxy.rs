//! The network between a node and its engine.

use std::time::Duration;

use fanfare_test_engines::{Cut, FaultProxy, Mistreatment, Protocol, Redis, RedisKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is silent for so long is taken to be parted.
const SILENCE: Duration = Duration::from_millis(200);

async fn ask(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"PING\r\n").await?;
    answer(stream).await
}

async fn answer(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut answer = [0; 7];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("an answer")?;
    assert_eq!(&answer, b"+PONG\r\n");
    Ok(())
}

#[tokio::test]
async fn it_parts_delays_cuts_and_refuses() {
    let redis = Redis::start_with(RedisKind::Redis70, &[]).await;
    let proxy = FaultProxy::start(redis.address()).await;
    let connect = || TcpStream::connect(proxy.address());
    let mut stream = connect().await.unwrap();
    ask(&mut stream).await.unwrap();

    proxy.latency(Duration::from_millis(150));
    let asked = Instant::now();
    ask(&mut stream).await.unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(300), "{:?}", asked.elapsed());
    proxy.latency(Duration::ZERO);

    proxy.part(true);
    stream.write_all(b"PING\r\n").await.unwrap();
    let mut newcomer = connect().await.unwrap();
    newcomer.write_all(b"PING\r\n").await.unwrap();
    assert!(timeout(SILENCE, stream.peek(&mut [0])).await.is_err());
    assert!(timeout(SILENCE, newcomer.peek(&mut [0])).await.is_err());
    proxy.part(false);
    answer(&mut stream).await.unwrap();
    answer(&mut newcomer).await.unwrap();

    proxy.cut(Cut::Reset);
    assert!(stream.read_u8().await.is_err());
    let mut stream = connect().await.unwrap();
    ask(&mut stream).await.unwrap();
    proxy.cut(Cut::Fin);
    assert_eq!(stream.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);

    proxy.refuse(true);
    if let Ok(mut stream) = connect().await {
        assert!(ask(&mut stream).await.is_err());
    }
    proxy.refuse(false);
    ask(&mut connect().await.unwrap()).await.unwrap();
    redis.kill();
    if let Ok(mut stream) = connect().await {
        assert!(ask(&mut stream).await.is_err());
    }
}

#[tokio::test]
async fn it_drops_what_is_announced_and_answers_all() {
    let redis = Redis::start_with(RedisKind::Redis70, &[]).await;
    let proxy = FaultProxy::start(redis.address()).await;
    let protocol = Protocol::Redis;
    proxy.mistreat(Some(Mistreatment { protocol, seed: 7, dropped: 30, doubled: 0, moved: 0 }));
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.write_all(b"SUBSCRIBE c\r\n").await.unwrap();
    let mut confirmed = [0; b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n".len()];
    stream.read_exact(&mut confirmed).await.unwrap();
    let all = redis.cli(&["EVAL", "for n = 1, 200 do redis.call('PUBLISH', 'c', n) end return 200", "0"]).await;
    assert_eq!(all, "200");
    // The answer to it comes after all that was announced before.
    stream.write_all(b"UNSUBSCRIBE c\r\n").await.unwrap();
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("unsubscribe") {
        timeout(PATIENCE, stream.read_buf(&mut heard)).await.expect("more").unwrap();
    }
    let arrived = String::from_utf8_lossy(&heard).matches("message").count();
    assert_eq!(arrived + proxy.mistreated(), 200);
    assert!((110..=170).contains(&arrived), "{arrived} of 200 arrived");
}
