//! Optional parts of a conversion, which are left out where a platform refuses them: better than losing the rest.

use std::borrow::Cow;

use super::conversion::{ClickIds, Conversion, User};

/// A part that a conversion can go without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OptionalPart {
    /// The named values that the platform reports by.
    CustomVariables,
    /// Who bought, where a click id is left to match by.
    UserIdentifiers,
    /// The click, where an identifier is left to match by.
    ClickIds,
}

impl OptionalPart {
    /// Every part.
    pub const ALL: [OptionalPart; 3] =
        [OptionalPart::CustomVariables, OptionalPart::UserIdentifiers, OptionalPart::ClickIds];

    /// The word in data files and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            OptionalPart::CustomVariables => "custom_variables",
            OptionalPart::UserIdentifiers => "user_identifiers",
            OptionalPart::ClickIds => "click_ids",
        }
    }

    /// The part of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.as_str() == text)
    }

    fn bit(self) -> u8 {
        match self {
            OptionalPart::CustomVariables => 1,
            OptionalPart::UserIdentifiers => 2,
            OptionalPart::ClickIds => 4,
        }
    }
}

/// A set of optional parts; `relay.conversion_outcome.omitted` keeps its bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Omitted(u8);

impl Omitted {
    /// Nothing is left out.
    pub const NONE: Omitted = Omitted(0);

    /// One part.
    pub fn only(part: OptionalPart) -> Self {
        Self(part.bit())
    }

    /// With one part more.
    #[must_use]
    pub fn and(self, part: OptionalPart) -> Self {
        Self(self.0 | part.bit())
    }

    /// Whether the part is in it.
    pub fn contains(self, part: OptionalPart) -> bool {
        self.0 & part.bit() != 0
    }

    /// Whether it is empty.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// As the database keeps it.
    pub fn bits(self) -> i16 {
        i16::from(self.0)
    }

    /// From the database; bits of newer programs are dropped.
    pub fn from_bits(bits: i16) -> Self {
        OptionalPart::ALL
            .into_iter()
            .filter(|part| bits & i16::from(part.bit()) != 0)
            .fold(Self::NONE, Self::and)
    }

    /// Its parts' names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        OptionalPart::ALL.into_iter().filter(move |part| self.contains(*part)).map(OptionalPart::as_str)
    }
}

impl Conversion {
    /// The parts that it has and that are optional to a platform.
    pub fn optional_parts(&self) -> Omitted {
        let has = [
            (OptionalPart::CustomVariables, !self.custom_variables.is_empty()),
            (OptionalPart::UserIdentifiers, !self.user.is_empty()),
            (OptionalPart::ClickIds, !self.click_ids.is_empty()),
        ];
        has.into_iter().filter(|(_, has)| *has).fold(Omitted::NONE, |parts, (part, _)| parts.and(part))
    }

    /// The parts without which it can still be matched: a click or a person has to be left.
    pub fn parts_to_spare(&self) -> Omitted {
        let parts = self.optional_parts();
        let has_both =
            parts.contains(OptionalPart::UserIdentifiers) && parts.contains(OptionalPart::ClickIds);
        OptionalPart::ALL
            .into_iter()
            .filter(|part| match part {
                OptionalPart::CustomVariables => parts.contains(*part),
                OptionalPart::UserIdentifiers | OptionalPart::ClickIds => has_both,
            })
            .fold(Omitted::NONE, Omitted::and)
    }

    /// The conversion as it goes without these parts.
    pub fn without(&self, omitted: Omitted) -> Cow<'_, Conversion> {
        if omitted.is_none() {
            return Cow::Borrowed(self);
        }
        let mut rest = self.clone();
        for part in OptionalPart::ALL.into_iter().filter(|part| omitted.contains(*part)) {
            match part {
                OptionalPart::CustomVariables => rest.custom_variables.clear(),
                OptionalPart::UserIdentifiers => rest.user = User::default(),
                OptionalPart::ClickIds => rest.click_ids = ClickIds::default(),
            }
        }
        Cow::Owned(rest)
    }
}
