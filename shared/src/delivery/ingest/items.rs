//! What was sent, item by item, and what became of each: one bad item never sinks the others.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::delivery::ItemAnswer;
use crate::domain::{ConversionId, ConversionInput, FieldError, SiteId, Step, Twice};
use crate::store::EnqueueResult;

/// Most items of one call.
pub const ITEMS_MAX: usize = 1_000;

/// Longest external id that an answer repeats: longer ones are refused anyway.
const ECHO_MAX: usize = 128;

/// The items of one call, read.
pub struct Items {
    echoes: Vec<Echo>,
    inputs: Vec<Result<ConversionInput, Vec<FieldError>>>,
}

/// What an item said of itself, to be found again by it.
struct Echo {
    external_id: Option<String>,
    provider_key: Option<String>,
}

/// What became of the items of one call.
#[derive(Debug, Serialize)]
pub struct IngestAnswer {
    /// Whether any item could be read; what became of it is in `results`.
    pub ok: bool,
    /// Why not: the first item's first fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How many results there are of each kind.
    pub counts: BTreeMap<&'static str, usize>,
    /// One for each item, in order.
    results: Vec<ItemResult>,
}

#[derive(Debug, Serialize)]
struct ItemResult {
    item: usize,
    external_id: Option<String>,
    providers: Vec<ProviderResult>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dropped: Vec<FieldError>,
}

#[derive(Debug, Serialize)]
struct ProviderResult {
    provider_key: Option<String>,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversion_id: Option<ConversionId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

impl Items {
    /// Reads a body: an array of conversions, an object with nothing but `conversions`, or one conversion. `twice` are the
    /// names that stand twice in it. All must be of `site`, and need not name it.
    ///
    /// # Errors
    /// What makes it no list of 1 to [`ITEMS_MAX`] items.
    pub fn read(body: Value, twice: &[Twice], site: SiteId) -> Result<Self, FieldError> {
        let (items, depth) = match body {
            Value::Array(items) => (items, 0),
            Value::Object(mut object) if object.contains_key("conversions") => {
                if let Some(twice) = twice.iter().find(|twice| twice.0.len() == 1) {
                    return Err(FieldError::new(twice.to_string(), "is given twice"));
                }
                let items = object.remove("conversions");
                if let Some(name) = object.keys().next() {
                    let name: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
                    return Err(FieldError::new(name, "is no field here: there is conversions alone"));
                }
                (list(items)?, 1)
            }
            one @ Value::Object(_) => {
                let twice = twice.iter().map(Twice::to_string).collect();
                return Ok(Self::of([(one, twice)], Some(site)));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                let reason = "must be a JSON array of conversions, or an object with conversions";
                return Err(FieldError::new("the body", reason));
            }
        };
        check_count(items.len())?;
        let mut twice_of: HashMap<usize, Vec<String>> = HashMap::new();
        for twice in twice {
            if let Some((Step::Place(place), way)) = twice.0[depth..].split_first() {
                twice_of.entry(*place).or_default().push(Twice(way.to_vec()).to_string());
            }
        }
        let items = items.into_iter().enumerate();
        Ok(Self::of(
            items.map(|(place, item)| (item, twice_of.remove(&place).unwrap_or_default())),
            Some(site),
        ))
    }

    /// Reads `conversions` of a direct invoke; of `site`, where one is named.
    ///
    /// # Errors
    /// As [`Items::read`].
    pub fn read_list(conversions: Option<Value>, site: Option<SiteId>) -> Result<Self, FieldError> {
        let items = list(conversions)?;
        check_count(items.len())?;
        Ok(Self::of(items.into_iter().map(|item| (item, Vec::new())), site))
    }

    fn of(items: impl IntoIterator<Item = (Value, Vec<String>)>, site: Option<SiteId>) -> Self {
        let (mut echoes, mut inputs) = (Vec::new(), Vec::new());
        for (item, twice) in items {
            let (echo, input) = read_item(item, twice, site);
            echoes.push(echo);
            inputs.push(input);
        }
        Self { echoes, inputs }
    }

    /// For the producer; the rest finds its answers again.
    pub fn take_inputs(&mut self) -> Vec<Result<ConversionInput, Vec<FieldError>>> {
        std::mem::take(&mut self.inputs)
    }

    /// Tells what the producer answered, item by item.
    pub fn answer(self, answers: Vec<ItemAnswer>) -> IngestAnswer {
        let mut counts = BTreeMap::new();
        let results: Vec<ItemResult> = self
            .echoes
            .into_iter()
            .zip(answers)
            .enumerate()
            .map(|(item, (echo, answer))| result(item, echo, answer))
            .inspect(|result| {
                for provider in &result.providers {
                    *counts.entry(provider.result).or_insert(0) += 1;
                }
            })
            .collect();
        let readable = results.iter().flat_map(|item| &item.providers).any(|one| one.errors.is_empty());
        let first = || {
            let error = results.first()?.providers.first()?.errors.first()?;
            Some(format!("no item is valid: in the first, {} {}", error.field, error.reason))
        };
        IngestAnswer { ok: readable, error: if readable { None } else { first() }, counts, results }
    }
}

fn list(items: Option<Value>) -> Result<Vec<Value>, FieldError> {
    match items {
        Some(Value::Array(items)) => Ok(items),
        _ => Err(FieldError::new("conversions", "must be a JSON array of conversions")),
    }
}

fn check_count(count: usize) -> Result<(), FieldError> {
    if (1..=ITEMS_MAX).contains(&count) {
        return Ok(());
    }
    let reason = format!("must hold 1 to {ITEMS_MAX} items, not {count}");
    Err(FieldError::new("conversions", reason))
}

fn read_item(
    item: Value,
    twice: Vec<String>,
    site: Option<SiteId>,
) -> (Echo, Result<ConversionInput, Vec<FieldError>>) {
    let Value::Object(mut object) = item else {
        let error = FieldError::new("(item)", "must be a JSON object, one conversion");
        return (Echo { external_id: None, provider_key: None }, Err(vec![error]));
    };
    let echo =
        Echo { external_id: echo(&object, "external_id"), provider_key: echo(&object, "provider_key") };
    let mut errors: Vec<FieldError> =
        twice.into_iter().map(|name| FieldError::new(name, "is given twice")).collect();
    if let Some(site) = site {
        let named = object.entry("site_id").or_insert(Value::Null);
        if named.is_null() {
            *named = Value::String(site.to_string());
        } else if named.as_str().and_then(|text| text.parse().ok()).is_some_and(|other: SiteId| other != site)
        {
            errors.push(FieldError::new("site_id", "is another site than the one that this call is for"));
        }
    }
    let input = match ConversionInput::parse(&Value::Object(object)) {
        Ok(input) if errors.is_empty() => Ok(input),
        Ok(_) => Err(errors),
        Err(more) => {
            errors.extend(more);
            Err(errors)
        }
    };
    (echo, input)
}

/// A text as its sender wrote it, where it can be one that we take.
fn echo(object: &Map<String, Value>, name: &str) -> Option<String> {
    let text = object.get(name)?.as_str()?.trim();
    let fit = !text.is_empty() && text.len() <= ECHO_MAX && !text.chars().any(char::is_control);
    fit.then(|| text.to_owned())
}

fn result(item: usize, echo: Echo, answer: ItemAnswer) -> ItemResult {
    let Echo { external_id, provider_key } = echo;
    let (providers, dropped) = match answer {
        ItemAnswer::Taken { providers, dropped } => {
            let removed = || FieldError::new("site_id", "was removed: nothing is taken in for it");
            let providers = providers.into_iter().map(|answer| {
                let is_removed = answer.result == EnqueueResult::SiteRemoved;
                ProviderResult {
                    provider_key: Some(answer.provider_key.to_string()),
                    result: word(answer.result),
                    conversion_id: answer.conversion_id.filter(|_| !is_removed),
                    errors: is_removed.then(removed).into_iter().collect(),
                }
            });
            (providers.collect(), dropped)
        }
        ItemAnswer::Invalid(errors) => (
            vec![ProviderResult { provider_key, result: "invalid", conversion_id: None, errors }],
            Vec::new(),
        ),
    };
    ItemResult { item, external_id, providers, dropped }
}

fn word(result: EnqueueResult) -> &'static str {
    match result {
        EnqueueResult::Queued => "queued",
        EnqueueResult::Held => "held",
        EnqueueResult::Duplicate => "duplicate",
        EnqueueResult::Conflict => "conflict",
        EnqueueResult::Expired => "expired",
        EnqueueResult::Superseded => "superseded",
        EnqueueResult::OrderDelivered => "order_delivered",
        EnqueueResult::OriginalFailed => "original_failed",
        EnqueueResult::SiteRemoved => "invalid",
    }
}
