//! A matrix for a terminal: as many columns side by side as fit, then the next ones below.

use std::fmt::Write;

use crate::review::Matrix;
use crate::review::grid::{Grid, LEGEND, Section};

/// Between two columns.
const GAP: usize = 2;

/// The matrix in lines of about `width` characters.
#[must_use]
pub fn table(matrix: &Matrix, width: usize) -> String {
    let grid = Grid::of(matrix);
    let mut text = String::new();
    for section in &grid.sections {
        let _ = writeln!(text, "{}", section.server);
        let names = section.rows.iter().map(|(name, _)| length(name)).max().unwrap_or_default();
        for columns in fitting(&grid.columns, section, width.saturating_sub(names + GAP)) {
            block(&mut text, names, &grid.columns, section, columns);
        }
        text.push('\n');
    }
    for (number, note) in grid.notes.iter().enumerate() {
        let _ = writeln!(text, "[{}] {note}", number + 1);
    }
    let _ = write!(text, "{LEGEND}\npolicy {}", matrix.revision());
    text
}

/// A server's columns, in runs that fit, each column with its width.
fn fitting(columns: &[String], section: &Section, width: usize) -> Vec<Vec<(usize, usize)>> {
    let mut runs: Vec<Vec<(usize, usize)>> = Vec::new();
    let mut left = 0;
    for (index, name) in columns.iter().enumerate() {
        let cells = section.rows.iter().filter_map(|(_, cells)| cells.get(index));
        let Some(widest) = cells.map(|cell| length(cell)).max().filter(|widest| *widest > 0) else {
            continue;
        };
        let wide = widest.max(length(name)) + GAP;
        match runs.last_mut().filter(|_| wide <= left) {
            Some(run) => run.push((index, wide)),
            None => {
                runs.push(vec![(index, wide)]);
                left = width;
            }
        }
        left = left.saturating_sub(wide);
    }
    runs
}

fn block(text: &mut String, names: usize, columns: &[String], section: &Section, run: Vec<(usize, usize)>) {
    let mut line = |name: &str, cells: &[String]| {
        let mut line = padded(name, names + GAP);
        for (index, wide) in &run {
            line.push_str(&padded(cells.get(*index).map_or("", String::as_str), *wide));
        }
        let _ = writeln!(text, "  {}", line.trim_end());
    };
    line("", columns);
    for (name, cells) in &section.rows {
        line(name, cells);
    }
}

fn padded(text: &str, wide: usize) -> String {
    let missing = wide.saturating_sub(length(text));
    format!("{text}{}", " ".repeat(missing))
}

fn length(text: &str) -> usize {
    text.chars().count()
}
