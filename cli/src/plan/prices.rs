//! AWS's list prices, from one dated file.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::Context as _;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

const FILE: &str = include_str!("prices.json");

/// Where a deployment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Region {
    /// Northern Virginia.
    #[serde(rename = "us-east-1")]
    UsEast1,
    /// Frankfurt.
    #[serde(rename = "eu-central-1")]
    EuCentral1,
}

impl Region {
    /// All whose prices are known.
    pub const ALL: [Region; 2] = [Region::UsEast1, Region::EuCentral1];

    /// AWS's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Region::UsEast1 => "us-east-1",
            Region::EuCentral1 => "eu-central-1",
        }
    }
}

impl FromStr for Region {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Region::ALL.into_iter().find(|region| region.as_str() == text);
        found.ok_or_else(|| "must be us-east-1 or eu-central-1: no other prices are known".to_owned())
    }
}

/// How a price is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Known {
    /// As somebody gives it who names AWS's page.
    Quoted,
    /// From another size of the same family.
    Reckoned,
    /// The best known; nobody looked it up.
    Remembered,
}

/// One price.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Price {
    /// US dollars for one unit.
    pub usd: Decimal,
    /// How it is known.
    pub known: Known,
}

/// The prices of one region.
#[derive(Debug, Clone, PartialEq)]
pub struct Prices {
    /// The day on which they were read.
    pub read: String,
    prices: BTreeMap<String, Price>,
}

#[derive(Deserialize)]
struct File {
    read: String,
    prices: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

impl Prices {
    /// Those of a region.
    ///
    /// # Errors
    /// Where the file is not as it must be: a fault of this program.
    pub fn of(region: Region) -> anyhow::Result<Self> {
        let file: File = serde_json::from_str(FILE).context("read the prices")?;
        let mut prices = BTreeMap::new();
        for row in file.prices {
            let price = row.rest.get(region.as_str()).with_context(|| row.name.clone())?;
            let price = serde_json::from_value(price.clone()).with_context(|| row.name.clone())?;
            prices.insert(row.name, price);
        }
        Ok(Self { read: file.read, prices })
    }

    /// The price of this name.
    ///
    /// # Panics
    /// Where there is none: a mistake of ours, which the first test of a plan sees.
    pub fn get(&self, name: &str) -> Price {
        *self.prices.get(name).unwrap_or_else(|| panic!("prices.json has no {name}"))
    }
}
