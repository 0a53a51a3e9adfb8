//! A matrix → sections by server, rows by tool, columns by who, and the notes that cells point to.

use std::collections::HashMap;

use crate::review::{Cell, Matrix, Standing, Who, plain};

/// A matrix laid out for reading.
pub(in crate::review) struct Grid {
    /// The names of the columns.
    pub(in crate::review) columns: Vec<String>,
    /// One for each server.
    pub(in crate::review) sections: Vec<Section>,
    /// What cells point to by number, from 1.
    pub(in crate::review) notes: Vec<String>,
}

/// One server.
pub(in crate::review) struct Section {
    /// Its name.
    pub(in crate::review) server: String,
    /// Each tool with its cells.
    pub(in crate::review) rows: Vec<(String, Vec<String>)>,
}

/// What the words in cells mean.
pub(in crate::review) const LEGEND: &str =
    "yes: allowed · no: seen, and refused · -: hidden · error: policy could not decide · [n]: see the note";

/// Notes by their text, in the order in which they are first needed.
#[derive(Default)]
struct Notes {
    numbers: HashMap<String, usize>,
    texts: Vec<String>,
}

impl Grid {
    /// Lays out a matrix.
    pub(in crate::review) fn of(matrix: &Matrix) -> Self {
        let (mut notes, mut sections) = (Notes::default(), Vec::<Section>::new());
        for (index, what) in matrix.questions.what.iter().enumerate() {
            let cells: Vec<Option<&Cell>> =
                matrix.rows.iter().map(|row| row.get(index).and_then(Option::as_ref)).collect();
            if cells.iter().all(Option::is_none) {
                continue;
            }
            let row = (what.label(), cells.into_iter().map(|cell| notes.word(cell)).collect());
            match sections.last_mut().filter(|section| section.server == what.server.name.as_str()) {
                Some(section) => section.rows.push(row),
                None => {
                    sections.push(Section { server: what.server.name.as_str().to_owned(), rows: vec![row] });
                }
            }
        }
        let name = |who: &Who| plain::text(&who.name);
        Self { columns: matrix.questions.who.iter().map(name).collect(), sections, notes: notes.texts }
    }
}

impl Notes {
    fn word(&mut self, cell: Option<&Cell>) -> String {
        let Some(cell) = cell else { return String::new() };
        let word = match cell.outcome {
            Standing::Allowed | Standing::Constrained => "yes",
            Standing::Refused => "no",
            Standing::Hidden => "-",
            Standing::Failed => "error",
        };
        match cell.remark() {
            remark if remark.is_empty() => word.to_owned(),
            remark => format!("{word} [{}]", self.number(remark)),
        }
    }

    fn number(&mut self, remark: String) -> usize {
        if let Some(number) = self.numbers.get(&remark) {
            return *number;
        }
        self.texts.push(remark.clone());
        self.numbers.insert(remark, self.texts.len());
        self.texts.len()
    }
}
