//! Numbers of parts: conversions that carry the same go in one request, and nobody else with them. The lowest bits say how
//! the receipt of such a request is read.

/// How a receipt is read that counts without naming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Its conversions go again in parts.
    Apart,
    /// Of a few conversions: some of them go again, and tell of the others.
    Few,
    /// Of conversions of which something was supposed before, wrongly: nothing is supposed again, so that it comes to an end.
    Proof,
}

/// A part's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartNumber(i64);

const READING: i64 = 0b11;

impl PartNumber {
    /// As the database has it; `None`: of no part.
    pub(super) fn stored(number: Option<i64>) -> Option<Self> {
        number.map(Self)
    }

    /// As the database has it.
    pub(super) fn get(self) -> i64 {
        self.0
    }

    /// The one number of all conversions of a group of which the same is supposed (FNV-1a).
    pub(super) fn of_supposed(fate: &str) -> Self {
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = fate.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
        Self(hash.cast_signed()).read_as(Reading::Proof)
    }

    /// How the receipt of its request is read.
    pub(super) fn reading(self) -> Reading {
        match self.0 & READING {
            1 => Reading::Few,
            2 => Reading::Proof,
            _ => Reading::Apart,
        }
    }

    fn read_as(self, reading: Reading) -> Self {
        let bits = match reading {
            Reading::Apart => 0,
            Reading::Few => 1,
            Reading::Proof => 2,
        };
        Self(self.0 & !READING | bits)
    }
}

/// Numbers that nobody has.
#[derive(Debug)]
pub(super) struct PartNumbers(i64);

impl PartNumbers {
    /// From a number that was drawn.
    pub(super) fn from(drawn: i64) -> Self {
        Self(drawn)
    }

    /// The next one.
    pub(super) fn next(&mut self, reading: Reading) -> PartNumber {
        self.0 = self.0.wrapping_add(READING + 1);
        PartNumber(self.0).read_as(reading)
    }
}
