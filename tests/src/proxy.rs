//! A TCP proxy that breaks connections on command.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How a connection is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// With a FIN to both sides.
    Fin,
    /// With a RST to both sides.
    Reset,
}

/// What the proxy does with bytes from the server now.
#[derive(Debug, Clone, Copy)]
struct Orders {
    /// Connections of an earlier generation are broken.
    generation: u64,
    how: Cut,
    stalled: bool,
}

struct Shared {
    target: Mutex<SocketAddr>,
    orders: watch::Sender<Orders>,
    /// Bytes that a new connection may carry from the server before it is broken.
    budget: AtomicU64,
    connections: AtomicUsize,
    accepted: AtomicUsize,
}

/// Stands between clients and a server. Dropping it breaks everything.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on a port of its own and passes connections on to `target`.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (orders, _) = watch::channel(Orders { generation: 0, how: Cut::Fin, stalled: false });
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            orders,
            budget: AtomicU64::new(u64::MAX),
            connections: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, _tasks: tasks }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes new connections on to another server.
    pub fn retarget(&self, target: SocketAddr) {
        *self.shared.target.lock() = target;
    }

    /// Breaks every connection that is open.
    pub fn cut(&self, how: Cut) {
        self.shared.orders.send_modify(|orders| {
            orders.generation += 1;
            orders.how = how;
        });
    }

    /// From now on nothing is read from the server, so that it sees a client that has stopped reading.
    pub fn stall(&self, stalled: bool) {
        self.shared.orders.send_modify(|orders| orders.stalled = stalled);
    }

    /// Breaks each new connection after it has carried so many bytes from the server.
    pub fn cut_new_after(&self, bytes: u64) {
        self.shared.budget.store(bytes, Ordering::SeqCst);
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections that were ever accepted.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                shared.accepted.fetch_add(1, Ordering::SeqCst);
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let guard = Open(Arc::clone(&shared));
                connections.spawn(carry(client, guard));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Carries one connection until either side ends it, an order breaks it or its budget is spent.
async fn carry(mut client: TcpStream, open: Open) {
    let mut orders = open.0.orders.subscribe();
    let born = orders.borrow().generation;
    let budget = open.0.budget.load(Ordering::SeqCst);
    let target = *open.0.target.lock();
    // A server that is down shows as a connection that ends at once.
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let mut watched = orders.clone();
    let how = tokio::select! {
        how = broken(&mut watched, born) => how,
        how = pump(&mut client, &mut server, &mut orders, budget) => how,
    };
    if how == Cut::Reset {
        // An error here means that the socket is gone already.
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
}

/// Waits for the order to break a connection that was made in generation `born`.
async fn broken(orders: &mut watch::Receiver<Orders>, born: u64) -> Cut {
    match orders.wait_for(|orders| orders.generation > born).await {
        Ok(orders) => orders.how,
        Err(_) => Cut::Fin,
    }
}

async fn pump(
    client: &mut TcpStream,
    server: &mut TcpStream,
    orders: &mut watch::Receiver<Orders>,
    mut budget: u64,
) -> Cut {
    let (mut up, mut down) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    loop {
        let stalled = orders.borrow_and_update().stalled;
        tokio::select! {
            changed = orders.changed() => if changed.is_err() { return Cut::Fin },
            read = client.read(&mut up) => match read {
                Ok(n) if n > 0 => if server.write_all(&up[..n]).await.is_err() { return Cut::Fin },
                Ok(_) => return Cut::Fin,
                Err(_) => return Cut::Reset,
            },
            read = server.read(&mut down), if !stalled => match read {
                Ok(n) if n > 0 => {
                    let allowed = n.min(usize::try_from(budget).unwrap_or(usize::MAX));
                    budget -= allowed as u64;
                    if client.write_all(&down[..allowed]).await.is_err() { return Cut::Fin }
                    // Both ways of dying happen in the field; a reset also takes back bytes not yet read.
                    if budget == 0 { return if n % 2 == 0 { Cut::Fin } else { Cut::Reset } }
                }
                Ok(_) => return Cut::Fin,
                Err(_) => return Cut::Reset,
            },
        }
    }
}
