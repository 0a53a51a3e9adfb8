//! Which of two neighbours was changed, when the second does not name the hash of the first.
//!
//! # Why wait for a third
//! If the next line still knows the second one, the second is intact and the first was changed; if not, the second was.

/// A line by file, line in the file, and number in the chain.
type Spot = (String, u64, u64);

/// What is still to be settled.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    last: Option<Spot>,
    open: Option<(Spot, Spot)>,
    excused: bool,
}

impl Doubt {
    /// The line that was read last does not name the hash of the one before it.
    pub(super) fn raise(&mut self, file: &str, line: u64, seq: u64) {
        let second = (file.to_owned(), line, seq);
        let first = self.last.clone().unwrap_or_else(|| second.clone());
        self.open = Some((first, second));
    }

    /// The line that was read last.
    pub(super) fn last(&mut self, file: &str, line: u64, seq: u64) {
        let spot = self.last.get_or_insert_default();
        if spot.0 != file {
            file.clone_into(&mut spot.0);
        }
        (spot.1, spot.2) = (line, seq);
    }

    /// The next line has been read. `links`: it knows the line before it. Says which line was changed.
    pub(super) fn settle(&mut self, links: bool) -> Option<Spot> {
        let (first, second) = self.open.take()?;
        if links {
            return Some(first);
        }
        self.excused = true;
        Some(second)
    }

    /// The next line cannot know this one: that is already told.
    pub(super) fn excuse(&mut self) {
        self.excused = true;
    }

    /// Whether it was told already why a line does not know the one before it.
    pub(super) fn take_excuse(&mut self) -> bool {
        std::mem::take(&mut self.excused)
    }
}
