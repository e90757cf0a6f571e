//! The columns of a CSV file: each leads to a field of the JSON that a conversion is read from.

use csv::ByteRecord;
use serde_json::{Map, Value};

use super::record::REJECT_REASON;

/// A column by its flat name, and the field that it fills. The dotted path is a name, too.
const COLUMNS: [(&str, &str); 19] = [
    ("site_id", "site_id"),
    ("provider_key", "provider_key"),
    ("external_id", "external_id"),
    ("kind", "kind"),
    ("occurred_at", "occurred_at"),
    ("clicked_at", "clicked_at"),
    ("value", "value"),
    ("currency", "currency"),
    ("order_id", "order_id"),
    ("gclid", "click_ids.gclid"),
    ("gbraid", "click_ids.gbraid"),
    ("wbraid", "click_ids.wbraid"),
    ("email", "user.email"),
    ("phone", "user.phone"),
    ("hashed_email", "user.hashed_email"),
    ("hashed_phone", "user.hashed_phone"),
    ("consent_ad_user_data", "consent.ad_user_data"),
    ("consent_ad_personalization", "consent.ad_personalization"),
    ("conversion_action", "conversion_action"),
];

/// What stands before the name of a custom variable.
const VARIABLES: &str = "custom_variables.";

/// Columns without which no row could go in.
const REQUIRED: [&str; 3] = ["site_id", "external_id", "occurred_at"];

/// Letters of a name from outside that a message repeats.
const NAME_SHOWN: usize = 60;

/// The header of a CSV file.
pub(crate) struct Header {
    /// As it was, for the file of rejects.
    pub(super) names: ByteRecord,
    pub(super) delimiter: u8,
    columns: Vec<Column>,
}

enum Column {
    /// The name as it stands in the file, and the field's path.
    Field(String, String),
    /// The reason of an earlier refusal.
    Reason,
}

impl Header {
    /// Reads the names; all that is wrong with them is told at once.
    pub(super) fn parse(names: ByteRecord, delimiter: u8) -> Result<Self, Vec<String>> {
        let mut wrong = Vec::new();
        let mut columns: Vec<Column> = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let name = String::from_utf8_lossy(name).trim().to_owned();
            let shown: String = name.chars().take(NAME_SHOWN).filter(|c| !c.is_control()).collect();
            if name == REJECT_REASON {
                columns.push(Column::Reason);
                continue;
            }
            match path(&name) {
                Some(path) if columns.iter().any(|column| column.leads_to(&path)) => {
                    wrong.push(format!("{shown} stands for {path}, which another column fills"));
                }
                Some(path) => columns.push(Column::Field(name, path)),
                None if name.is_empty() => wrong.push(format!("column {} has no name", index + 1)),
                None => wrong.push(format!("{shown} is no column")),
            }
        }
        for path in REQUIRED {
            if !columns.iter().any(|column| column.leads_to(path)) {
                wrong.push(format!("{path} is missing"));
            }
        }
        if wrong.is_empty() { Ok(Self { names, delimiter, columns }) } else { Err(wrong) }
    }

    /// What there is, for a message.
    pub(super) fn known() -> String {
        let mut names: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
        names.push("custom_variables.NAME");
        names.join(", ")
    }

    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// The name under which the file has a field.
    pub(super) fn name_of(&self, path: &str) -> Option<&str> {
        self.columns.iter().find_map(|column| match column {
            Column::Field(name, field) if field == path => Some(name.as_str()),
            Column::Field(..) | Column::Reason => None,
        })
    }

    /// Whether a column holds no more than the reason of an earlier refusal.
    pub(super) fn is_reason(&self, index: usize) -> bool {
        matches!(self.columns.get(index), Some(Column::Reason))
    }

    /// The JSON of one row. A cell that is empty is a field that is absent; where there is no column `kind`, every
    /// row is a conversion.
    ///
    /// # Errors
    /// The name of the first column whose cell is not UTF-8.
    pub(super) fn to_json(&self, row: &ByteRecord) -> Result<Value, &str> {
        let mut object = Map::new();
        if !self.columns.iter().any(|column| column.leads_to("kind")) {
            object.insert("kind".to_owned(), Value::from("conversion"));
        }
        for (column, cell) in self.columns.iter().zip(row) {
            let Column::Field(name, path) = column else { continue };
            let cell = std::str::from_utf8(cell).map_err(|_| name.as_str())?;
            if cell.trim().is_empty() {
                continue;
            }
            match path.split_once('.') {
                None => object.insert(path.clone(), Value::from(cell)),
                Some((outer, inner)) => {
                    let outer = object.entry(outer).or_insert_with(|| Value::Object(Map::new()));
                    outer.as_object_mut().and_then(|outer| outer.insert(inner.to_owned(), Value::from(cell)))
                }
            };
        }
        Ok(Value::Object(object))
    }
}

impl Column {
    fn leads_to(&self, path: &str) -> bool {
        match self {
            Column::Field(_, field) => field == path,
            Column::Reason => false,
        }
    }
}

fn path(name: &str) -> Option<String> {
    let is_variable = name.strip_prefix(VARIABLES).is_some_and(|variable| !variable.is_empty());
    let column = COLUMNS.iter().find(|(flat, path)| name == *flat || name == *path);
    column.map(|(_, path)| (*path).to_owned()).or_else(|| is_variable.then(|| name.to_owned()))
}
