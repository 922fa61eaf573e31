//! The documentation's own examples, so that they can be run.

use std::path::Path;

/// The fenced blocks of `docs/<page>` whose first line after the fence is in `language`, in their order.
pub fn examples(page: &str, language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut blocks = Vec::new();
    let mut open: Option<Vec<&str>> = None;
    for line in text.lines() {
        open = match (open, line.strip_prefix("```")) {
            (None, Some(fence)) if fence == language => Some(Vec::new()),
            (Some(block), Some("")) => {
                blocks.push(block.join("\n"));
                None
            }
            (Some(mut block), _) => {
                block.push(line);
                Some(block)
            }
            (None, _) => None,
        };
    }
    blocks
}
