//! Carrying the bytes of one connection, late and slowly if so ordered.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::hints::Hints;
use super::{Cut, Orders, Shared};

/// Bytes that are read at once.
const CHUNK: usize = 16 * 1024;

/// Chunks on their way in one direction; after that the sender waits, as it does before a full pipe.
const IN_FLIGHT_MAX: usize = 256;

/// Waits until the network is not parted.
pub(super) async fn until_whole(orders: &mut watch::Receiver<Orders>) {
    // An error means that the proxy is being dropped, and this task with it.
    let _ = orders.wait_for(|orders| !orders.parted).await;
}

/// Carries both directions until either ends.
pub(super) async fn both(client: &mut TcpStream, server: &mut TcpStream, shared: &Shared, hints: Option<Hints>) -> Cut {
    let (client_reads, client_writes) = client.split();
    let (server_reads, server_writes) = server.split();
    tokio::select! {
        how = one(client_reads, server_writes, shared, None) => how,
        how = one(server_reads, client_writes, shared, hints) => how,
    }
}

async fn one(
    reads: impl AsyncRead + Unpin,
    writes: impl AsyncWrite + Unpin,
    shared: &Shared,
    hints: Option<Hints>,
) -> Cut {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT_MAX);
    let (read, written) = tokio::join!(read(reads, sender, shared, hints), write(writes, receiver, shared));
    if read == Cut::Reset || written == Cut::Reset { Cut::Reset } else { Cut::Fin }
}

type Chunk = (Instant, Vec<u8>);

async fn read(
    mut reads: impl AsyncRead + Unpin,
    chunks: mpsc::Sender<Chunk>,
    shared: &Shared,
    mut hints: Option<Hints>,
) -> Cut {
    let mut orders = shared.orders.subscribe();
    let mut buffer = vec![0; CHUNK];
    loop {
        until_whole(&mut orders).await;
        let bytes = match reads.read(&mut buffer).await {
            Ok(0) => return Cut::Fin,
            Ok(n) => &buffer[..n],
            Err(_) => return Cut::Reset,
        };
        let bytes = match &mut hints {
            None => bytes.to_vec(),
            Some(hints) => {
                let (kept, mistreated) = hints.pass(bytes);
                shared.mistreated.fetch_add(mistreated, Ordering::Relaxed);
                kept
            }
        };
        let (latency, rate) = {
            let orders = orders.borrow();
            (orders.latency, orders.bytes_per_second)
        };
        let length = bytes.len();
        // The writer ends only when the other side is gone.
        if chunks.send((Instant::now() + latency, bytes)).await.is_err() {
            return Cut::Fin;
        }
        if let Some(rate) = rate {
            sleep(Duration::from_secs_f64(length as f64 / f64::from(rate.max(1)))).await;
        }
    }
}

async fn write(mut writes: impl AsyncWrite + Unpin, mut chunks: mpsc::Receiver<Chunk>, shared: &Shared) -> Cut {
    let mut orders = shared.orders.subscribe();
    while let Some((at, bytes)) = chunks.recv().await {
        sleep_until(at).await;
        until_whole(&mut orders).await;
        if writes.write_all(&bytes).await.is_err() {
            return Cut::Reset;
        }
    }
    Cut::Fin
}
