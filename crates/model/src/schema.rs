//! How these types stand in the schema of the configuration.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{ByteSize, Duration, Tenant, Topic, UserId};

macro_rules! text_schema {
    ($type:ident, $name:literal, $($json:tt)+) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($($json)+)
            }
        }
    };
}

text_schema!(Duration, "Duration", { "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d|w)$", "format": "duration" });
text_schema!(ByteSize, "ByteSize", { "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)$", "format": "size" });
text_schema!(Tenant, "Tenant", { "type": "string", "minLength": 1, "maxLength": 64 });
text_schema!(Topic, "Topic", { "type": "string", "minLength": 1, "maxLength": 255 });
text_schema!(UserId, "UserId", { "type": "string", "minLength": 1, "maxLength": 255 });
