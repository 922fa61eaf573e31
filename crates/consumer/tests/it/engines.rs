//! Both engines pass the suite.

use std::sync::Arc;

use fanfare_consumer::{Cursors, EmbeddedCursors, MemoryCursors, OpenError, Options, contract};

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_what_every_engine_must() {
    contract::run(|setting| async move { Arc::new(MemoryCursors::new(setting.consumers_max)) as Arc<dyn Cursors> })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_does_what_every_engine_must() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    contract::run(move |setting| {
        let path = dir.path().join(setting.place.to_string());
        async move {
            let options = Options { path, consumers_max: setting.consumers_max, ..Options::default() };
            Arc::new(EmbeddedCursors::open(&options).unwrap()) as Arc<dyn Cursors>
        }
    })
    .await;
}

#[test]
fn a_store_is_opened_by_one_process_and_refuses_what_it_does_not_know() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { path: dir.path().join("consumers"), ..Options::default() };
    let first = EmbeddedCursors::open(&options).unwrap();
    assert!(matches!(EmbeddedCursors::open(&options), Err(OpenError::InUse { .. })));
    drop(first);
    EmbeddedCursors::open(&options).unwrap();
    let bad = Options { leases_max: 0, ..options.clone() };
    assert!(matches!(EmbeddedCursors::open(&bad), Err(OpenError::Options(_))));
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(matches!(EmbeddedCursors::open(&Options { path: file, ..options }), Err(OpenError::Unusable { .. })));
}
