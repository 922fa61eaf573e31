//! The tables of days, and what a log without a broker tells.

use std::sync::Arc;

use fanfare_history::{Admin, Announce, Append, Keep, Log, Reset};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Data, Draft, Event, ManualClock, SystemClock, Timestamp, TopicKey};
use tokio::sync::watch;

use crate::support::{Node, application, ask, engine, key, options, policies, run, shared};

const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_are_made_ahead_and_dropped_whole() {
    let url = shared().await.url();
    // 2027-01-15 08:00.
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_800_000_000)));
    let node = Node::start_with(&options(&url, "days"), Arc::clone(&clock) as _).await;
    let mut app = application(&url).await;
    let days = "SELECT string_agg(name, ' ' ORDER BY name) FROM days.day";
    node.broker.sweep().await.unwrap();
    assert_eq!(ask(&mut app, days).await, "log_20270115 log_20270116 log_20270117");
    // Of the default policy, which keeps a day, and of one that keeps everything.
    node.publish("young", "y").await;
    for n in 0..3 {
        node.publish("forever", &format!("f{n}")).await;
    }
    for text in ["a", "b", "c", "d", "e"] {
        node.publish("few", text).await;
    }
    clock.advance(DAY + DAY / 2);
    assert!(node.publish("few", "e").await.position.offset == 6, "the window is over");
    node.broker.sweep().await.unwrap();
    clock.advance(DAY);
    node.broker.sweep().await.unwrap();
    // Somebody keeps some of the first day: what nobody keeps of it is gone.
    assert_eq!(ask(&mut app, "SELECT count(*)::text FROM days.log_20270115").await, "5");
    assert!(ask(&mut app, days).await.ends_with("log_20270116 log_20270117 log_20270118 log_20270119"));
    let heads = node.bus.heads(["young", "forever", "few"].map(key).to_vec()).await.unwrap();
    assert_eq!(heads.iter().map(|head| head.events).collect::<Vec<_>>(), [0, 3, 3]);
    node.broker.admin(Admin::TruncateBefore(key("forever"), 100)).await.unwrap();
    node.publish("few", "f").await;
    node.publish("few", "g").await;
    node.publish("few", "h").await;
    clock.advance(DAY + DAY / 2);
    node.broker.sweep().await.unwrap();
    assert!(ask(&mut app, days).await.starts_with("log_20270117 log_20270118 "), "{}", ask(&mut app, days).await);
    // A day that nobody made is made when it is needed.
    clock.advance(30 * DAY);
    assert_eq!(node.publish("forever", "later").await.position.offset, 4);
}

/// Counts what is announced.
struct Ear(watch::Sender<Vec<Arc<Event>>>);

impl Announce for Ear {
    fn stored(&self, events: &[Arc<Event>]) {
        self.0.send_modify(|heard| heard.extend_from_slice(events));
    }
    fn reset(&self, _: &Reset) {}
}

impl Ear {
    fn count(&self, topic: &TopicKey) -> usize {
        self.0.borrow().iter().filter(|event| event.topic == *topic).count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_the_nodes_tells_what_applications_publish() {
    let url = shared().await.url();
    let life = Lifecycle::new();
    let ears = [(); 2].map(|()| Arc::new(Ear(watch::Sender::default())));
    let mut logs: Vec<Arc<dyn Log>> = Vec::new();
    for ear in &ears {
        let engine = engine(&url, "relayed", Arc::new(SystemClock), &life).await;
        logs.push(engine.log(&policies(), Arc::clone(ear) as _));
    }
    let (own, orders) = (key("own"), key("orders"));
    let item = Append { topic: own.clone(), draft: Draft::new(Data::text("x")), keep: Arc::new(Keep::default()) };
    logs[0].append(vec![item]).await.remove(0).unwrap();
    assert_eq!(ears.each_ref().map(|ear| ear.count(&own)), [1, 0], "who appends tells, before the answer");
    let mut app = application(&url).await;
    let mut heard = ears.each_ref().map(|ear| ear.0.subscribe());
    let mut count = 0;
    // The one who tells has to have begun: until then nobody hears of it.
    let whole = tokio::time::timeout(crate::support::PATIENCE, async {
        while ears.iter().all(|ear| ear.count(&orders) == 0) {
            count += 1;
            run(&mut app, &format!("SELECT relayed.publish('orders', '{count}'); SELECT relayed.bell()"))
                .await
                .unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let one = usize::from(ears[0].count(&orders) == 0);
        for n in 0..10 {
            run(&mut app, &format!("SELECT relayed.publish('orders', '\"again {n}\"')")).await.unwrap();
        }
        let is_last =
            |heard: &Vec<Arc<Event>>| heard.iter().any(|event| event.draft.data.as_text() == Some("\"again 9\""));
        heard[one].wait_for(is_last).await.unwrap();
        one
    });
    let one = whole.await.expect("somebody tells");
    assert_eq!(ears[1 - one].count(&orders), 0, "only one does");
    let offsets: Vec<u64> =
        ears[one].0.borrow().iter().filter(|event| event.topic == orders).map(|event| event.offset).collect();
    assert!(offsets.windows(2).all(|pair| pair[1] == pair[0] + 1), "{offsets:?}");
    assert_eq!(offsets.last().copied(), Some(count + 10));
    life.stop();
}
