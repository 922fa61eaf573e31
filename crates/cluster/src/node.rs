//! Who a node is.

use std::fmt;
use std::sync::Arc;

use fanfare_model::{Invalid, Timestamp};
use serde::{Deserialize, Serialize};

/// Identity of one life of a node: a node that starts again is another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// A fresh random id, of letters and digits.
    pub fn generate() -> Self {
        Self(Arc::from(format!("{:016x}", rand::random::<u64>())))
    }

    /// The node whose id is this text.
    pub(crate) fn named(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a node says of itself to the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// This life of it.
    pub id: NodeId,
    /// How people call it; two nodes may have the same name.
    pub name: String,
    /// The parts that it runs.
    pub roles: Vec<String>,
    /// When it started.
    pub started: Timestamp,
    /// The version of the program.
    pub version: String,
}

/// The most bytes of a node's name: that of a host.
const NAME_BYTES_MAX: usize = 255;
/// The most bytes of the words for its roles together, and of its version; with the name they fit in a lease's holder.
const WORDS_BYTES_MAX: usize = 256;

impl NodeInfo {
    /// A node that starts now. The text of an error is about what the configuration says.
    pub fn new(
        name: impl Into<String>,
        roles: Vec<String>,
        started: Timestamp,
        version: impl Into<String>,
    ) -> Result<Self, Invalid> {
        let (name, version) = (name.into(), version.into());
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            let problem = format_args!("has {} bytes; 1 to {NAME_BYTES_MAX} are allowed", name.len());
            return Err(Invalid::new("node name", problem));
        }
        // Each has to be written twice as long at most, in JSON.
        if let Some(c) = name.chars().find(|c| c.is_control()) {
            return Err(Invalid::new("node name", format_args!("has the control character {c:?}")));
        }
        let words = roles.iter().map(String::len).sum::<usize>() + version.len();
        if words > WORDS_BYTES_MAX {
            let problem = format_args!("have {words} bytes together; at most {WORDS_BYTES_MAX} are allowed");
            return Err(Invalid::new("roles and version", problem));
        }
        Ok(Self { id: NodeId::generate(), name, roles, started, version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_fits_in_a_lease() {
        let long = NodeInfo::new("\"".repeat(255), vec!["r".repeat(25); 10], Timestamp::default(), "v1.2.3").unwrap();
        let text = serde_json::to_string(&long).unwrap();
        crate::check_holder(&text).unwrap();
        assert_eq!(serde_json::from_str::<NodeInfo>(&text).unwrap(), long);
        assert!(NodeInfo::new("", Vec::new(), Timestamp::default(), "1").is_err());
        assert!(NodeInfo::new("a\nb", Vec::new(), Timestamp::default(), "1").is_err());
        crate::check_name(&format!("in/presence/{}", long.id)).unwrap();
    }
}
