//! One message of a batch.

use fanfare_model::json::Message;
use fanfare_model::{Draft, Headers, Invalid};
use serde_json::value::RawValue;

use super::json::{Place, members, string};
use crate::fault::Fault;

/// What the value of a member must be.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Any,
    String,
    Integer,
    Encoding,
    Headers,
}

/// The members of a message, what they must be, and the word that the model's errors have for them.
const MEMBERS: [(&str, Shape, &str); 9] = [
    ("id", Shape::String, "event id"),
    ("name", Shape::String, "event name"),
    ("data", Shape::Any, "data"),
    ("encoding", Shape::Encoding, ""),
    ("key", Shape::String, "key"),
    ("occurred_at", Shape::Integer, ""),
    ("headers", Shape::Headers, "headers"),
    ("schema", Shape::String, "schema"),
    ("source", Shape::String, "source"),
];

/// Makes a draft of a message. What is wrong is only looked for when something is.
pub(super) fn parse(value: &RawValue, place: &Place) -> Result<Draft, Fault> {
    match serde_json::from_str::<Message<'_>>(value.get()) {
        Ok(message) => message.into_draft().map_err(|invalid| explain(value, place, Some(&invalid))),
        Err(_) => Err(explain(value, place, None)),
    }
}

/// What is wrong with a message that was refused, and where in it. `invalid` is what the model said if the members
/// have their types.
fn explain(value: &RawValue, place: &Place, invalid: Option<&Invalid>) -> Fault {
    if let Err(fault) = check(value, place) {
        return fault;
    }
    let Some(invalid) = invalid else { return place.fault("is not a message") };
    match MEMBERS.iter().find(|(_, _, what)| *what == invalid.what) {
        Some((name, ..)) => place.member(name).fault(invalid),
        None => place.fault(invalid),
    }
}

/// Checks which members there are, and the type of each.
fn check(value: &RawValue, place: &Place) -> Result<(), Fault> {
    let members = members(value, place)?;
    for (name, value) in &members {
        let here = place.member(name);
        let Some((_, shape, _)) = MEMBERS.iter().find(|(known, ..)| known == name) else {
            let known = MEMBERS.map(|(known, ..)| known).join("`, `");
            return Err(here.fault(format_args!("is not a member of a message; those are `{known}`")));
        };
        check_shape(*shape, value, &here)?;
    }
    if !members.iter().any(|(name, _)| name == "data") {
        return Err(place.member("data").fault("is missing; a message needs it, `null` will do"));
    }
    Ok(())
}

fn check_shape(shape: Shape, value: &RawValue, here: &Place) -> Result<(), Fault> {
    // As if it were not there, in all but `data`.
    if value.get() == "null" {
        return Ok(());
    }
    match shape {
        Shape::Any => Ok(()),
        Shape::String => string(value, here).map(drop),
        Shape::Integer => match serde_json::from_str::<i64>(value.get()) {
            Ok(_) => Ok(()),
            Err(_) => Err(here.wrong_type(value, "a whole number of microseconds since 1970")),
        },
        Shape::Encoding => match &*string(value, here)? {
            "text" | "base64" => Ok(()),
            _ => Err(here.fault("is neither \"text\" nor \"base64\"")),
        },
        Shape::Headers => {
            let mut headers = Headers::new();
            for (name, value) in members(value, here)? {
                let place = here.member(&name);
                headers.insert(&name, &string(value, &place)?).map_err(|invalid| place.fault(invalid))?;
            }
            Ok(())
        }
    }
}
