//! Servers, nodes and listeners for tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fanfare_bus::{Broker, Budget, Bus, Delivery, Error, Hub, HubOptions, Policies, PolicyOptions, Reader, Subscribe};
use fanfare_engine_postgres::{Engine, Options};
use fanfare_history::Appended;
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{
    Clock, Data, Draft, Event, EventId, Gap, GapReason, StartFrom, SystemClock, Tenant, Topic, TopicKey,
};
use fanfare_test_engines::Postgres;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::OnceCell;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server that tests share which do not harm it, and so need not wait for the disk. It ends with the process.
pub(crate) async fn shared() -> &'static Postgres {
    static SERVER: OnceCell<Postgres> = OnceCell::const_new();
    SERVER.get_or_init(|| Postgres::start_with(&["fsync=off", "full_page_writes=off"])).await
}

/// Whether servers have to run as another user, because they refuse to run as root.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Gives a folder to the user that servers run as then.
pub(crate) fn give_to_postgres(folder: &std::path::Path) {
    if is_root() {
        let given = std::process::Command::new("chown").args(["-R", "postgres:postgres"]).arg(folder).status();
        assert!(given.is_ok_and(|status| status.success()), "root may give a folder away");
    }
}

/// Few connections, because many tests share the server.
pub(crate) fn options(url: &str, schema: &str) -> Options {
    Options { url: url.into(), schema: schema.to_owned(), connections: 4, writers: 2, ..Options::default() }
}

pub(crate) async fn engine(url: &str, schema: &str, clock: Arc<dyn Clock>, life: &Lifecycle) -> Arc<Engine> {
    Engine::connect(&options(url, schema), clock, life).await.expect("the engine connects")
}

/// `passing` keeps nothing; everything else is kept as policies do unless they say otherwise.
pub(crate) fn policies() -> Arc<Policies> {
    let policy = |json: &str| serde_json::from_str::<PolicyOptions>(json).expect("a valid policy");
    Arc::new(Policies::new(&BTreeMap::from([
        ("passing".to_owned(), policy(r#"{"history":"none"}"#)),
        ("few".to_owned(), policy(r#"{"history":{"max_events":3,"max_age":"0s"},"event_bytes_max":"1KiB"}"#)),
        ("forever".to_owned(), policy(r#"{"history":{"max_events":0,"max_age":"0s"}}"#)),
    ])))
}

/// A node: a hub over the engine.
pub(crate) struct Node {
    pub(crate) bus: Bus,
    pub(crate) broker: Arc<dyn Broker>,
    life: Lifecycle,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.life.stop();
    }
}

impl Node {
    pub(crate) async fn start(url: &str, schema: &str) -> Self {
        Self::start_with(&options(url, schema), Arc::new(SystemClock)).await
    }

    pub(crate) async fn start_with(options: &Options, clock: Arc<dyn Clock>) -> Self {
        let life = Lifecycle::new();
        let engine = Engine::connect(options, Arc::clone(&clock), &life).await.expect("the engine connects");
        // Heads are compared when the engine says that something may be lost, and hardly without.
        let hub_options =
            HubOptions { head_check_interval: fanfare_model::Duration::from_secs(3600), ..HubOptions::default() };
        let hub = Hub::new(hub_options, policies(), 1);
        let broker = engine.broker(policies(), Arc::clone(&hub) as _);
        let bus = Bus::new(hub, Arc::clone(&broker));
        bus.start_worker(&life);
        bus.start_upkeep(&life, clock);
        Self { bus, broker, life }
    }

    /// Publishes text under an id that is the same.
    pub(crate) async fn try_publish(&self, topic: &str, text: &str) -> Result<Appended, Error> {
        let draft = Draft { id: EventId::new(text).expect("a valid id"), ..Draft::new(Data::text(text)) };
        let batch = vec![(Topic::new(topic).expect("a valid topic"), draft)];
        let mut answers = self.bus.publish(&Tenant::default(), batch).await.expect("the batch is well-formed");
        answers.remove(0)
    }

    pub(crate) async fn publish(&self, topic: &str, text: &str) -> Appended {
        self.try_publish(topic, text).await.expect("the event is accepted")
    }

    /// Listens to topics from now on.
    pub(crate) async fn listen(&self, topics: &[&str]) -> Listener {
        let mut listener = Listener { reader: self.bus.reader(), got: Vec::new() };
        for topic in topics {
            let request = Subscribe { topic: key(topic), start: StartFrom::Now, on_slow: None, history: true };
            listener.reader.subscribe(request).await.expect("the subscription is accepted");
        }
        listener
    }
}

pub(crate) fn key(topic: &str) -> TopicKey {
    TopicKey::new(Tenant::default(), Topic::new(topic).expect("a valid topic"))
}

/// What a listener got.
#[derive(Debug, Clone)]
pub(crate) enum Got {
    Event(Arc<Event>),
    Gap(Gap),
}

pub(crate) struct Listener {
    reader: Reader,
    pub(crate) got: Vec<Got>,
}

impl Listener {
    /// Takes what comes until `done` says so.
    pub(crate) async fn until(&mut self, done: impl Fn(&[Got]) -> bool) {
        let whole = tokio::time::timeout(PATIENCE, async {
            while !done(&self.got) {
                let mut out = Vec::new();
                let budget = Budget { deliveries: 100, bytes: 1 << 20 };
                std::future::poll_fn(|cx| self.reader.poll(cx, budget, &mut out)).await;
                for delivery in out {
                    match delivery {
                        Delivery::Event { entry, .. } => self.got.push(Got::Event(Arc::clone(&entry.event))),
                        Delivery::Gap { gap, .. } => self.got.push(Got::Gap(gap)),
                        Delivery::Ended { why, .. } => panic!("the subscription ended: {why:?}"),
                    }
                }
            }
        });
        assert!(whole.await.is_ok(), "not in time; got {:?}", self.texts());
    }

    /// Takes what comes until the event with this text has come.
    pub(crate) async fn until_text(&mut self, text: &str) {
        self.until(|got| {
            got.iter().any(|got| matches!(got, Got::Event(event) if event.draft.data.as_text() == Some(text)))
        })
        .await;
    }

    pub(crate) fn events(&self) -> Vec<Arc<Event>> {
        let event = |got: &Got| if let Got::Event(event) = got { Some(Arc::clone(event)) } else { None };
        self.got.iter().filter_map(event).collect()
    }

    /// The texts of the events of one topic, in order.
    pub(crate) fn texts_of(&self, topic: &str) -> Vec<String> {
        let events = self.events();
        let of = events.iter().filter(|event| event.topic.topic.as_str() == topic);
        of.map(|event| event.draft.data.as_text().unwrap_or("?").to_owned()).collect()
    }

    /// Everything: texts, and reasons of gaps.
    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |got: &Got| match got {
            Got::Event(event) => event.draft.data.as_text().unwrap_or("?").to_owned(),
            Got::Gap(gap) => format!("gap {:?} {}..{}", gap.reason, gap.from, gap.to),
        };
        self.got.iter().map(text).collect()
    }

    pub(crate) fn gaps(&self) -> Vec<GapReason> {
        let gap = |got: &Got| if let Got::Gap(gap) = got { Some(gap.reason) } else { None };
        self.got.iter().filter_map(gap).collect()
    }
}

/// A connection of an application to the database.
pub(crate) async fn application(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the application connects")
}

/// Carries out statements of an application; `Err` has the server's message.
pub(crate) async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), String> {
    let statement = sqlx::AssertSqlSafe(sql.to_owned());
    match sqlx::raw_sql(statement).execute(connection).await {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned()))
        }
    }
}

/// What a statement answers, as text.
pub(crate) async fn ask(connection: &mut PgConnection, sql: &str) -> String {
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(connection).await.expect("it is answered")
}

/// Asks until the answer is as expected.
pub(crate) async fn until(connection: &mut PgConnection, sql: &str, expected: &str) {
    let whole = tokio::time::timeout(PATIENCE, async {
        while ask(connection, sql).await != expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(whole.await.is_ok(), "{sql} did not become {expected}");
}
