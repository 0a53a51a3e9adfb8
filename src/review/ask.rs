//! Questions → a matrix: each who on a thread, as many at a time as there are cores.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use crate::decide::{Circumstances, Decide, Question};
use crate::identify::{Imagined, Proof};
use crate::name::TenantId;
use crate::review::{Cell, Matrix, Questions, What, Who};

/// How many threads a matrix is asked on.
#[must_use]
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Who judges: one policy for everybody, or another one for some tenants.
#[derive(Debug)]
pub struct Bench {
    usual: Decide,
    apart: Option<(BTreeSet<TenantId>, Decide)>,
}

impl Bench {
    /// One policy for everybody.
    #[must_use]
    pub fn of(policy: Decide) -> Self {
        Self { usual: policy, apart: None }
    }

    /// The same, with another policy for these tenants.
    #[must_use]
    pub fn with(self, tenants: BTreeSet<TenantId>, policy: Decide) -> Self {
        Self { apart: Some((tenants, policy)), ..self }
    }

    fn judge(&self, tenant: &TenantId) -> &Decide {
        let apart = self.apart.as_ref().filter(|(tenants, _)| tenants.contains(tenant));
        apart.map_or(&self.usual, |(_, policy)| policy)
    }
}

impl Matrix {
    /// Asks every question; `progress` is told after each who how many are done.
    pub fn ask(
        bench: &Bench,
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
                let _ =
                    done.send((index, row(bench.judge(&who.caller.tenant), questions, who, circumstances)));
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
        Self { questions: Arc::clone(questions), rows, revision: bench.usual.revision().clone() }
    }
}

fn row(
    decide: &Decide,
    questions: &Questions,
    who: &Who,
    circumstances: &Circumstances,
) -> Vec<Option<Cell>> {
    let imagined = Imagined::new(&who.caller, Proof::ApiKey);
    let cell = |what: &What| {
        let method = what.subject.used_by().filter(|_| questions.reach(who, what))?;
        let question = Question {
            caller: imagined.caller(),
            server: &what.server,
            method,
            subject: &what.subject,
            arguments: None,
            circumstances,
        };
        let said = Cell::from(decide.explain(&question));
        let unlisted = said.outcome.allows().then(|| what.offered.unlisted(decide, question)).flatten();
        // Whether a schema takes what stands in for an attribute says nothing of the attribute itself.
        let known = unlisted.filter(|why| why.refuses() || !who.stands_in(&said.constraints));
        Some(match known {
            Some(unlisted) => said.but(unlisted),
            None => said,
        })
    };
    questions.what.iter().map(cell).collect()
}
