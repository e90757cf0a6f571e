//! Checks a JSON body against the message it should be, the way Google's own JSON reader does.

use serde_json::Value;

/// What a field may hold.
pub(super) enum Shape {
    /// A string.
    Text,
    /// A number, or a string with one in it.
    Number,
    /// A boolean.
    Flag,
    /// One of these names.
    Choice(&'static [&'static str]),
    /// Elements of one shape.
    List(&'static Shape),
    /// An object with these fields and no other.
    Fields(&'static [(&'static str, Shape)]),
    /// An object that the sandbox does not look into.
    Opaque,
}

/// A place where a body is not what it should be.
pub(super) struct Misfit {
    /// Where, in snake_case: `events[3].user_data`. Empty for the body itself.
    pub(super) at: String,
    /// Google's sentence about it.
    pub(super) message: String,
}

/// Misfits that one answer lists; the rest is more of the same.
const MISFITS_MAX: usize = 20;

/// Letters of a wrong value that its message repeats.
const SHOWN_MAX: usize = 100;

/// Every misfit of a body, in reading order. A `null` is an absent field, as protocol buffers have it.
pub(super) fn check(body: &Value, shape: &Shape) -> Vec<Misfit> {
    let mut found = Vec::new();
    walk(body, shape, &mut String::new(), &mut found);
    found
}

fn walk(value: &Value, shape: &Shape, at: &mut String, found: &mut Vec<Misfit>) {
    if value.is_null() || found.len() >= MISFITS_MAX {
        return;
    }
    let fits = match shape {
        Shape::Text => value.is_string(),
        Shape::Number => is_number(value),
        Shape::Flag => value.is_boolean(),
        Shape::Choice(names) => value.as_str().is_some_and(|name| names.contains(&name)),
        Shape::Opaque => value.is_object(),
        Shape::List(element) => value.as_array().map(|list| walk_list(list, element, at, found)).is_some(),
        Shape::Fields(fields) => {
            value.as_object().map(|object| walk_object(object, fields, at, found)).is_some()
        }
    };
    if !fits {
        let shown: String = value.to_string().chars().take(SHOWN_MAX).collect();
        found.push(Misfit { at: at.clone(), message: format!("Invalid value at '{at}', {shown}") });
    }
}

fn walk_list(list: &[Value], element: &Shape, at: &mut String, found: &mut Vec<Misfit>) {
    let length = at.len();
    for (index, value) in list.iter().enumerate() {
        at.push_str(&format!("[{index}]"));
        walk(value, element, at, found);
        at.truncate(length);
    }
}

fn walk_object(
    object: &serde_json::Map<String, Value>,
    fields: &[(&str, Shape)],
    at: &mut String,
    found: &mut Vec<Misfit>,
) {
    let length = at.len();
    for (name, value) in object {
        let Some((_, shape)) = fields.iter().find(|(known, _)| known == name) else {
            let place = if at.is_empty() { String::new() } else { format!(" at '{at}'") };
            let message =
                format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field.");
            found.push(Misfit { at: at.clone(), message });
            continue;
        };
        if !at.is_empty() {
            at.push('.');
        }
        at.push_str(&snake_case(name));
        walk(value, shape, at, found);
        at.truncate(length);
    }
}

/// A field's name as Google's error paths write it: `eventTimestamp` is `event_timestamp`.
pub(super) fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn is_number(value: &Value) -> bool {
    value.is_number() || value.as_str().is_some_and(|text| text.parse::<f64>().is_ok_and(f64::is_finite))
}

/// Letters of an id that goes into the ledger; longer ones are refused, so that the ledger's bound is one.
/// Known click ids have about a hundred.
pub(super) const ID_MAX: usize = 512;

/// The text of a field, where it has one.
pub(super) fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get(field)?.as_str()
}

/// The text of a field, where it has one that is not empty: what protocol buffers call set.
pub(super) fn filled<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    text(object, field).filter(|text| !text.is_empty())
}

/// The elements of a field, none where it is absent.
pub(super) fn list<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Whether a field is there at all.
pub(super) fn has(object: &Value, field: &str) -> bool {
    object.get(field).is_some_and(|value| !value.is_null())
}
