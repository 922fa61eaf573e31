//! The worked examples of `docs/protocol/cursor.md` are what this server writes and reads.

use fanfare_model::{Cursor, Epoch, EventId, Position, Tag, Topic, TopicTag};

const CURSOR_MD: &str = include_str!("../../../../docs/protocol/cursor.md");

/// A position as the page explains it.
fn position(epoch: u32, offset: u64, event: &str) -> Position {
    let epoch = Epoch::from_u32(epoch).unwrap();
    Position { epoch, offset, tag: Tag::of(&EventId::new(event).unwrap()) }
}

#[test]
fn the_examples_of_the_cursor_page_are_true() {
    let order = position(1_234_567_890, 17, "order-1001");
    assert_eq!((order.to_string().as_str(), order.tag.as_u16()), ("1LY7VK.17.Cg3", 0xbe5f));
    let news = Position { epoch: order.epoch, offset: 300, tag: Tag::from_u16(0x220d) };
    assert_eq!(news.to_string(), "1LY7VK.300.2Gb");

    let topic = |name: &str| Topic::new(name).unwrap();
    let mut text = String::new();
    let entries = [(TopicTag::of(&topic("orders:42")), order), (TopicTag::of(&topic("news")), news)];
    Cursor::write_many(&entries, &mut text);
    let cursor: Cursor = text.parse().unwrap();
    assert_eq!(cursor.position_of(&topic("news"), false), Some(news));
    for example in [text, order.to_string(), news.to_string()] {
        assert!(CURSOR_MD.contains(&example), "the page lacks {example}");
    }
}
