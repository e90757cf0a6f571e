//! JSON as it is read at every door: a name that stands twice in one object is a mistake, and never the last one wins.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Doubled names that are told of one document; a document with more of them is not worth a longer answer.
const TWICE_MAX: usize = 1_000;

/// Letters that are kept of a name: a document of one endless name with many that stand twice below it must not grow in
/// memory, for each of them keeps its way.
const NAME_MAX: usize = 60;

/// Where a value stands in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Under this name of an object, or one that begins so.
    Name(String),
    /// At this place of an array.
    Place(usize),
}

/// The way to a name that stands more than once in its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twice(pub Vec<Step>);

/// What is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotJson {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
}

/// Reads a document, and says which names stand twice in it, in their order.
pub fn read_json(text: &[u8]) -> Result<(Value, Vec<Twice>), NotJson> {
    let not_json = |error: serde_json::Error| NotJson { line: error.line(), column: error.column() };
    let value = serde_json::from_slice(text).map_err(not_json)?;
    let mut search = Search { way: Vec::new(), found: Vec::new() };
    Look(&mut search).deserialize(&mut serde_json::Deserializer::from_slice(text)).map_err(not_json)?;
    Ok((value, search.found))
}

impl fmt::Display for Twice {
    /// `redrive.codes`, `conversions[3].value`: names without control characters, and not too long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Place(place) => write!(f, "[{place}]")?,
                Step::Name(name) => {
                    let name: String = name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
                    write!(f, "{}{name}", if index == 0 { "" } else { "." })?;
                }
            }
        }
        Ok(())
    }
}

/// The walk through a document.
struct Search {
    way: Vec<Step>,
    found: Vec<Twice>,
}

/// Looks at one value.
struct Look<'a>(&'a mut Search);

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(search) = self;
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            search.way.push(Step::Name(name.chars().take(NAME_MAX).collect()));
            if !names.insert(name) && search.found.len() < TWICE_MAX {
                search.found.push(Twice(search.way.clone()));
            }
            map.next_value_seed(Look(search))?;
            search.way.pop();
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self(search) = self;
        search.way.push(Step::Place(0));
        while seq.next_element_seed(Look(search))?.is_some() {
            if let Some(Step::Place(place)) = search.way.last_mut() {
                *place += 1;
            }
        }
        search.way.pop();
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
