//! Nodes on one bus.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fanfare_auth::{Auth, Door, Issuer, KeySource, MintRequest, Pattern, Principal, Resume, Secret};
use fanfare_bus::{Bus, Hub, HubOptions, LocalBroker, Policies};
use fanfare_cluster::{Handle as Cluster, Leases as _, MemoryLeases, NodeInfo};
use fanfare_history::memory::{MemoryLog, Options as LogOptions};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Clock, ManualClock, Timestamp, UserId};
use fanfare_session::access::{self, Entered, Visitor};
use fanfare_session::{Goodbye, Node, Nudge, Options, Protocol, Registry, Session, quota};

pub(crate) const NOW: i64 = 1_800_000_000;

/// What the nodes share.
pub(crate) struct Nodes {
    pub(crate) bus: Bus,
    pub(crate) clock: Arc<ManualClock>,
    leases: MemoryLeases,
    life: Lifecycle,
}

impl Nodes {
    pub(crate) fn new() -> Self {
        let (life, clock) = (Lifecycle::new(), Arc::new(ManualClock::new(Timestamp::from_seconds(NOW))));
        let bus = bus(&clock, &life);
        Self { bus, clock, leases: MemoryLeases::new(), life }
    }

    /// The lease `name` ends, as by the passing of a week.
    pub(crate) async fn a_week_passes_for(&self, name: &str) {
        for lease in self.leases.list(name).await.expect("a list") {
            self.leases.release(&lease.name, lease.fence).await.expect("a release");
        }
    }

    pub(crate) fn node(&self, name: &str) -> TestNode {
        self.node_with(name, Options::default(), self.bus.clone())
    }

    /// A node that can do nothing but be there: nothing reaches it.
    pub(crate) fn deaf_node(&self, name: &str) -> TestNode {
        let life = Lifecycle::new();
        let node = self.node_with(name, Options::default(), bus(&self.clock, &life));
        life.stop();
        node
    }

    pub(crate) fn node_with(&self, name: &str, options: Options, bus: Bus) -> TestNode {
        let (life, clock) = (Lifecycle::new(), Arc::clone(&self.clock) as Arc<dyn Clock>);
        life.started();
        let info = NodeInfo::new(name, vec!["ws".to_owned()], clock.now(), "1.0.0").expect("a node");
        let leases = Arc::new(self.leases.clone());
        let cluster = Cluster::new(leases, bus.clone(), info, fanfare_cluster::Options::default());
        let presence = fanfare_presence::Handle::new(
            Arc::new(fanfare_presence::memory::MemoryPresence::new()),
            bus.clone(),
            &cluster,
            Arc::clone(&clock),
            fanfare_presence::Options::default(),
        );
        let consumers = fanfare_consumer::Handle::new(
            Arc::new(fanfare_consumer::MemoryCursors::new(10)),
            bus.clone(),
            Arc::clone(&clock),
            fanfare_consumer::Options::default(),
        );
        let auth = Auth::new(auth_options(), Arc::clone(&clock)).expect("valid options");
        let sessions = Registry::new(options.clone(), Arc::clone(&clock));
        let quotas = quota::Quotas::new(quota::Options::default(), Arc::clone(&clock));
        let node = Node {
            auth,
            bus,
            presence,
            cluster,
            consumers,
            sessions,
            quotas,
            hooks: None,
            options: Arc::new(options),
            clock,
            life,
        };
        node.cluster.start(&node.life);
        node.sessions.start(&node.life, &node.auth);
        // Not all of `start_worker`: the bus has its worker.
        node.start_worker();
        TestNode(node)
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.life.stop();
    }
}

fn bus(clock: &Arc<ManualClock>, life: &Lifecycle) -> Bus {
    let policies = Arc::new(Policies::new(&BTreeMap::new()));
    let hub = Hub::new(HubOptions::default(), Arc::clone(&policies), 1);
    let log = || Arc::new(MemoryLog::new(Arc::clone(clock) as _, Arc::clone(&hub) as _, LogOptions::default()));
    let broker = LocalBroker::new(log(), log(), policies);
    let bus = Bus::new(hub, Arc::new(broker));
    bus.start_worker(life);
    bus
}

pub(crate) fn auth_options() -> fanfare_auth::Options {
    let secret = |text: &str| Secret::new(text);
    let key =
        KeySource { secret: Some(secret("a secret of the tests that has more than 32 bytes")), ..KeySource::default() };
    let issuer = Issuer { keys: vec![key], ..Issuer::default() };
    let keys = vec![secret("another secret of the tests, of the same length or so")];
    fanfare_auth::Options {
        issuers: [("app".to_owned(), issuer)].into(),
        resume: Resume { keys, ..Resume::default() },
        shared: true,
        ..fanfare_auth::Options::default()
    }
}

pub(crate) struct TestNode(pub(crate) Node);

impl std::ops::Deref for TestNode {
    type Target = Node;
    fn deref(&self) -> &Node {
        &self.0
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.0.life.stop();
    }
}

impl TestNode {
    pub(crate) fn token(&self, user: &str) -> String {
        let topics = vec![Pattern::parse("chat:*").expect("a pattern")];
        let user = Some(UserId::new(user).expect("a user"));
        self.auth.mint(MintRequest { user, topics, ..MintRequest::default() }).expect("a token")
    }

    pub(crate) fn principal(&self, user: &str) -> Principal {
        self.auth.authenticate(Door::Client, &self.token(user)).expect("it is good")
    }

    pub(crate) async fn enter(&self, user: &str) -> Entered {
        self.enter_as(self.principal(user)).await
    }

    pub(crate) async fn enter_as(&self, principal: Principal) -> Entered {
        let visitor = Visitor { protocol: Protocol::WebSocket, address: None, client: Some("web/1".into()) };
        access::enter(&self.0, principal, visitor).await.expect("it is let in")
    }

    /// Waits until this node and all others know of `count` nodes that answer.
    pub(crate) async fn sees(&self, count: usize) {
        for _ in 0..1000 {
            let nodes = self.everywhere().nodes(&fanfare_model::Tenant::default()).await;
            if nodes.len() == count && nodes.iter().all(|(_, sessions)| sessions.is_some()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{count} nodes are not there");
    }
}

/// Why a session ended; `None` if it has not a moment later.
pub(crate) async fn ended(session: &Session) -> Option<Goodbye> {
    tokio::time::timeout(Duration::from_secs(1), session.ended()).await.ok()
}

/// What it is told next, within a second.
pub(crate) async fn nudged(session: &Session) -> Option<Nudge> {
    tokio::time::timeout(Duration::from_secs(1), session.nudged()).await.ok()
}
