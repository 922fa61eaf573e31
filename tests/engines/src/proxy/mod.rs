//! A TCP proxy that breaks the network between a node and its engine on command.

mod carry;
mod hints;
mod nats;
mod postgres;
mod redis;

pub use hints::{Mistreatment, Protocol};

use hints::Hints;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
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

/// What the proxy does now.
#[derive(Debug, Clone, Copy)]
struct Orders {
    /// Connections of an earlier generation are broken.
    generation: u64,
    how: Cut,
    refuses: bool,
    parted: bool,
    latency: Duration,
    bytes_per_second: Option<u32>,
}

#[derive(Debug)]
struct Shared {
    target: Mutex<SocketAddr>,
    orders: watch::Sender<Orders>,
    mistreatment: Mutex<Option<Mistreatment>>,
    accepted: AtomicUsize,
    mistreated: AtomicUsize,
}

/// Stands between a node and a server. Dropping it breaks everything.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl FaultProxy {
    /// Listens on a port of its own and passes connections on to `target`, for as long as this runtime runs.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (orders, _) = watch::channel(Orders {
            generation: 0,
            how: Cut::Fin,
            refuses: false,
            parted: false,
            latency: Duration::ZERO,
            bytes_per_second: None,
        });
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            orders,
            mistreatment: Mutex::new(None),
            accepted: AtomicUsize::new(0),
            mistreated: AtomicUsize::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, _tasks: tasks }
    }

    /// Where the node connects.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes new connections on to another server, as a virtual address does after a failover.
    pub fn retarget(&self, target: SocketAddr) {
        *self.shared.target.lock() = target;
    }

    /// Breaks every connection that is open. New ones are let in.
    pub fn cut(&self, how: Cut) {
        self.order(|orders| {
            orders.generation += 1;
            orders.how = how;
        });
    }

    /// While `true`, new connections are reset at once, as by a machine where no server listens.
    pub fn refuse(&self, refuses: bool) {
        self.order(|orders| orders.refuses = refuses);
    }

    /// While `true`, no byte passes in either direction: a partition. Connections stay, new ones are accepted and
    /// nothing answers. What was sent meanwhile arrives when it heals, as TCP has it, unless [`FaultProxy::cut`] comes
    /// first.
    pub fn part(&self, parted: bool) {
        self.order(|orders| orders.parted = parted);
    }

    /// Every byte arrives so much later, in each direction.
    pub fn latency(&self, latency: Duration) {
        self.order(|orders| orders.latency = latency);
    }

    /// No connection carries more than this in a direction.
    pub fn bytes_per_second(&self, rate: Option<u32>) {
        self.order(|orders| orders.bytes_per_second = rate);
    }

    /// Drops, doubles and reorders the server's live announcements on connections made from now on; answers to requests
    /// are left alone. `None` ends it for connections made after.
    pub fn mistreat(&self, mistreatment: Option<Mistreatment>) {
        *self.shared.mistreatment.lock() = mistreatment;
    }

    /// Announcements that were dropped, doubled or moved so far: what shows that a test tested something.
    pub fn mistreated(&self) -> usize {
        self.shared.mistreated.load(Ordering::Relaxed)
    }

    /// Connections that were ever accepted.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    fn order(&self, change: impl FnOnce(&mut Orders)) {
        self.shared.orders.send_modify(change);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                let number = shared.accepted.fetch_add(1, Ordering::Relaxed);
                connections.spawn(serve(client, Arc::clone(&shared), number));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection until either side ends it or an order breaks it.
async fn serve(mut client: TcpStream, shared: Arc<Shared>, number: usize) {
    let mut orders = shared.orders.subscribe();
    let born = orders.borrow().generation;
    if orders.borrow().refuses {
        // An error here and below means that the socket is gone already.
        let _ = client.set_zero_linger();
        return;
    }
    let broken = async {
        match orders.wait_for(|orders| orders.generation > born || orders.refuses).await {
            Ok(orders) => orders.how,
            Err(_) => Cut::Fin,
        }
    };
    let mut server = None;
    let carried = async {
        carry::until_whole(&mut shared.orders.subscribe()).await;
        let target = *shared.target.lock();
        // A server that is down shows as a connection that ends at once.
        let Ok(stream) = TcpStream::connect(target).await else { return Cut::Reset };
        let server = server.insert(stream);
        // Delays are ours to add, not the kernel's.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let hints = shared.mistreatment.lock().map(|mistreatment| Hints::new(mistreatment, number as u64));
        carry::both(&mut client, server, &shared, hints).await
    };
    let how = tokio::select! { how = broken => how, how = carried => how };
    if how == Cut::Reset {
        let _ = client.set_zero_linger();
        let _ = server.map(|server| server.set_zero_linger());
    }
}
