//! Readers that come and go leave nothing behind.

use std::time::Duration;

use fanfare_bus::{HubOptions, PolicyOptions, Subscribe};
use fanfare_model::StartFrom;
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::support::{bus, key};

// 33
#[tokio::test]
async fn a_hundred_thousand_subscriptions_leave_nothing() {
    const TOPICS: u32 = 1000;
    let recorder = PrometheusBuilder::new().build_recorder();
    let options = HubOptions { linger: fanfare_model::Duration(Duration::ZERO), ..HubOptions::default() };
    let test = metrics::with_local_recorder(&recorder, || bus(options, PolicyOptions::default()));
    let gauge = |name: &str| {
        let rendered = recorder.handle().render();
        let mut lines = rendered.lines();
        let number = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        number.map_or(0.0, |number| number.parse::<f64>().unwrap())
    };
    let mut reader = test.bus.reader();
    for round in 0..100 {
        let mut subscribed = Vec::new();
        for n in 0..TOPICS {
            let (topic, start) = (key(&format!("t:{n}")), StartFrom::Now);
            let request = Subscribe { topic, start, on_slow: None, history: true };
            subscribed.push(reader.subscribe(request).await.unwrap().id);
        }
        assert!(gauge("fanfare_tails") >= f64::from(TOPICS));
        if round % 10 == 0 {
            test.publish(&format!("t:{round}"), 1..=3).await;
        }
        for id in subscribed {
            reader.unsubscribe(id);
        }
    }
    let nothing = async {
        while gauge("fanfare_tails") + gauge("fanfare_ring_bytes") + gauge("fanfare_subscriptions") > 0.0 {
            // Tails are forgotten every second.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), nothing).await.is_ok(), "{}", recorder.handle().render());
}
