//! A hub within the process, behind a proxy that can be cut.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::serve::ListenerExt as _;
use fanfare_auth::Secret;
use fanfare_bus::{LocalBroker, Policies, Receive};
use fanfare_cluster::MemoryLeases;
use fanfare_consumer::{Cursors, EmbeddedCursors, MemoryCursors};
use fanfare_engine_remote::hub::{Followers, Hub, Lasting, Offer};
use fanfare_engine_remote::{Engine, Options};
use fanfare_history::Log;
use fanfare_history::embedded::{self, EmbeddedLog};
use fanfare_history::memory::{self, MemoryLog};
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::{Clock, SystemClock};
use fanfare_presence::memory::MemoryPresence;
use fanfare_test_engines::FaultProxy;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::ear::Ear;

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What the hub keeps its log in.
#[derive(Debug, Clone)]
pub(crate) enum Keeps {
    Memory,
    In(PathBuf),
}

/// What a hub is made of.
pub(crate) struct Plan {
    pub(crate) keeps: Keeps,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) consumers_max: usize,
    pub(crate) options: Options,
}

impl Plan {
    pub(crate) fn of(keeps: Keeps) -> Self {
        Self {
            keeps,
            clock: Arc::new(SystemClock),
            policies: fanfare_bus::contract::policies(),
            consumers_max: 50,
            options: options(),
        }
    }
}

/// Options of both sides, without an address.
pub(crate) fn options() -> Options {
    Options { secret: Some(Secret::new(SECRET)), ..Options::default() }
}

/// A hub that serves until it is dropped.
pub(crate) struct TestHub {
    offer: Offer,
    address: SocketAddr,
    life: Lifecycle,
}

impl TestHub {
    pub(crate) async fn start(plan: Plan) -> Self {
        let Plan { keeps, clock, policies, consumers_max, options } = plan;
        let local: Arc<dyn Receive> = Arc::new(Ear::default());
        let followers = Followers::new(local, &options);
        let announce = || Arc::clone(&followers) as _;
        let log: Arc<dyn Log> = match &keeps {
            Keeps::Memory => Arc::new(MemoryLog::new(Arc::clone(&clock), announce(), memory::Options::default())),
            Keeps::In(path) => {
                let options = embedded::Options::at(path.join("store"));
                Arc::new(EmbeddedLog::open(options, Arc::clone(&clock), announce()).unwrap())
            }
        };
        let passing: Arc<dyn Log> =
            Arc::new(MemoryLog::new(Arc::clone(&clock), announce(), memory::Options::default()));
        let cursors: Arc<dyn Cursors> = match &keeps {
            Keeps::Memory => Arc::new(MemoryCursors::new(consumers_max)),
            Keeps::In(path) => {
                let options = fanfare_consumer::Options {
                    path: path.join("consumers"),
                    consumers_max,
                    ..fanfare_consumer::Options::default()
                };
                Arc::new(EmbeddedCursors::open(&options).unwrap())
            }
        };
        let offer = Offer {
            broker: Arc::new(LocalBroker::new(log, passing, policies)),
            followers: Some(followers),
            leases: Arc::new(Lasting::new(MemoryLeases::new(), &SystemClock)),
            cursors,
            presence: Arc::new(Lasting::new(MemoryPresence::shared(Arc::new(SystemClock)), &SystemClock)),
        };
        let life = Lifecycle::new();
        let router = Hub::new(offer.clone(), &options, &life).unwrap().router();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // As the sockets of a node are: an answer must not wait for what comes after it.
        let listener = listener.tap_io(|socket| socket.set_nodelay(true).unwrap());
        let stop = life.soft().clone();
        life.spawn(TaskKind::Background, "serve the hub", async move {
            let serving = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
            serving.await.unwrap();
        });
        Self { offer, address, life }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Ends it as a process ends that is told to.
    pub(crate) async fn stop(self) {
        self.life.stop();
        self.life.ended().await;
        self.offer.broker.close().await.unwrap();
        self.offer.cursors.close().await.unwrap();
    }
}

impl Drop for TestHub {
    fn drop(&mut self) {
        self.life.stop();
    }
}

/// A gateway of whoever listens at `address`.
pub(crate) async fn gateway(address: SocketAddr, life: &Lifecycle) -> Arc<Engine> {
    let options = Options { url: Some(format!("http://{address}")), ..options() };
    Engine::connect(&options, life).await.unwrap()
}

/// A gateway behind a proxy before a hub that keeps its log in a directory.
pub(crate) struct Behind {
    pub(crate) hub: Option<TestHub>,
    pub(crate) proxy: FaultProxy,
    pub(crate) engine: Arc<Engine>,
    pub(crate) life: Lifecycle,
    pub(crate) dir: TempDir,
}

impl Behind {
    pub(crate) async fn start(change: impl FnOnce(&mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = options();
        change(&mut options);
        let plan = Plan { options: options.clone(), ..Plan::of(Keeps::In(dir.path().to_owned())) };
        let hub = TestHub::start(plan).await;
        let proxy = FaultProxy::start(hub.address()).await;
        let life = Lifecycle::new();
        let options = Options { url: Some(format!("http://{}", proxy.address())), ..options };
        let engine = Engine::connect(&options, &life).await.unwrap();
        Self { hub: Some(hub), proxy, engine, life, dir }
    }

    /// Stops the hub and starts it again on the same directory.
    pub(crate) async fn restart_hub(&mut self) {
        self.hub.take().unwrap().stop().await;
        let hub = TestHub::start(Plan::of(Keeps::In(self.dir.path().to_owned()))).await;
        self.proxy.retarget(hub.address());
        self.hub = Some(hub);
    }

    pub(crate) fn hub(&self) -> &TestHub {
        self.hub.as_ref().unwrap()
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.life.stop();
    }
}
