//! Questions → a matrix: each who on a thread, as many at a time as there are cores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use crate::decide::{Circumstances, Decide, Question};
use crate::identify::{Imagined, Proof};
use crate::review::{Cell, Matrix, Questions, Who};

/// How many threads a matrix is asked on.
#[must_use]
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Matrix {
    /// Asks a policy every question; `progress` is told after each who how many are done.
    pub fn ask(
        decide: &Decide,
        questions: &Arc<Questions>,
        circumstances: &Circumstances,
        progress: &mut dyn FnMut(usize),
    ) -> Self {
        let (next, (done, rows)) = (AtomicUsize::new(0), mpsc::channel());
        let work = |done: mpsc::Sender<(usize, Vec<Option<Cell>>)>| {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(who) = questions.who.get(index) else { return };
                // The receiver outlives the threads.
                let _ = done.send((index, row(decide, questions, who, circumstances)));
            }
        };
        let mut numbered = std::thread::scope(|scope| {
            for _ in 0..threads().min(questions.who.len()) {
                let (done, work) = (done.clone(), &work);
                scope.spawn(move || work(done));
            }
            drop(done);
            let mut numbered = Vec::new();
            for row in rows {
                numbered.push(row);
                progress(numbered.len());
            }
            numbered
        });
        numbered.sort_by_key(|(index, _)| *index);
        let rows = numbered.into_iter().map(|(_, row)| row).collect();
        Self { questions: Arc::clone(questions), rows, revision: decide.revision().clone() }
    }
}

fn row(
    decide: &Decide,
    questions: &Questions,
    who: &Who,
    circumstances: &Circumstances,
) -> Vec<Option<Cell>> {
    let imagined = Imagined::new(&who.caller, Proof::ApiKey);
    let cell = |what: &crate::review::What| {
        let method = what.subject.used_by().filter(|_| questions.reach(who, what))?;
        let said = decide.explain(&Question {
            caller: imagined.caller(),
            server: &what.server,
            method,
            subject: &what.subject,
            arguments: None,
            circumstances,
        });
        Some(Cell::from(said))
    };
    questions.what.iter().map(cell).collect()
}
