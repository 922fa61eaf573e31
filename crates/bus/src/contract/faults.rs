//! How announcements get lost, doubled and reordered.

use std::sync::Arc;

use fanfare_model::Event;

/// What goes wrong, as the dice fall: of ten announcements about three are lost, two doubled and two late. The seed says
/// how they fall.
pub(super) struct Faults {
    dice: u64,
    late: Vec<Arc<Event>>,
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        Self { dice: seed.wrapping_mul(2).wrapping_add(1), late: Vec::new() }
    }

    /// One of ten sides.
    fn roll(&mut self) -> u64 {
        // xorshift: any dice will do.
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % 10
    }

    /// What of an announcement passes.
    pub(super) fn pass(&mut self, event: &Arc<Event>) -> Vec<Arc<Event>> {
        match self.roll() {
            0..3 => Vec::new(),
            3..5 => vec![Arc::clone(event); 2],
            5..7 => {
                self.late.push(Arc::clone(event));
                Vec::new()
            }
            7 => {
                let mut pass = vec![Arc::clone(event)];
                pass.append(&mut self.late);
                pass
            }
            _ => vec![Arc::clone(event)],
        }
    }
}
