//! Tells the demo on standard output as it happens; says nothing where one document comes at the end.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use super::Telling;

/// Columns that the output keeps to.
pub(super) const WIDTH: usize = 100;

/// What stands before everything that belongs to a step.
pub(super) const INDENT: &str = "     ";

/// The teller.
pub(super) struct Story {
    telling: Telling,
    colour: Colour,
    started: Instant,
    steps: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Colour {
    On,
    Off,
}

/// How a word stands out, where there is colour.
#[derive(Clone, Copy)]
pub(super) enum Ink {
    Bold,
    Dim,
    Green,
    Yellow,
    Red,
}

impl Story {
    pub(super) fn new(telling: Telling) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = if std::io::stdout().is_terminal() && !refused { Colour::On } else { Colour::Off };
        Self { telling, colour, started: Instant::now(), steps: 0 }
    }

    /// Seconds since the demo began.
    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Begins the next numbered step.
    pub(super) fn step(&mut self, title: &str) {
        self.steps += 1;
        let at = format!("{:.1} s", self.seconds());
        let number = self.ink(Ink::Bold, &format!("{:>3}", self.steps));
        let room = WIDTH - INDENT.len() - at.len();
        let title = format!("{title:<room$}");
        self.write(&format!("\n{number}  {}{}\n", self.ink(Ink::Bold, &title), self.ink(Ink::Dim, &at)));
    }

    /// Says something within a step; long sentences go on in the next line.
    pub(super) fn say(&self, text: &str) {
        let mut line = String::new();
        for word in text.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH - INDENT.len() {
                self.line(&line);
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(&line);
    }

    /// One line as it is.
    pub(super) fn line(&self, line: &str) {
        self.write(&format!("{INDENT}{}\n", line.trim_end()));
    }

    /// A word in colour, where there is colour.
    pub(super) fn ink(&self, ink: Ink, text: &str) -> String {
        let code = match (self.colour, ink) {
            (Colour::Off, _) => return text.to_owned(),
            (Colour::On, Ink::Bold) => "1",
            (Colour::On, Ink::Dim) => "2",
            (Colour::On, Ink::Green) => "32",
            (Colour::On, Ink::Yellow) => "33",
            (Colour::On, Ink::Red) => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    fn write(&self, text: &str) {
        match self.telling {
            // A reader who has gone away does not stop the demo: its end is its exit code.
            Telling::AsItHappens => {
                let mut out = std::io::stdout().lock();
                let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            }
            Telling::AtTheEnd => {}
        }
    }
}

/// `4217` as `4,217`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        assert_eq!([0, 999, 1_000, 4_217_000].map(thousands), ["0", "999", "1,000", "4,217,000"]);
    }
}
