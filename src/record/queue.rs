//! The way from a call to whoever writes: bounded for what may be refused, never dropping what may not.
//!
//! # Why calls are gathered
//! Waking a thread and writing a file cost more than the line. The first call that brings an intent therefore lets the
//! other tasks that are ready go first, and then sees to all of them with its [`Wake`]: it writes them itself, or wakes the
//! writer. Outcomes and refusals, for which nobody waits, ride along, for [`NAP`] at most. An idle gate's writer sleeps.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// How long an outcome may wait for company.
const NAP: Duration = Duration::from_millis(5);

/// So many intents are company enough.
const MANY: usize = 32;

/// After so long without a line the writer looks whether all is well.
const SLEEP: Duration = Duration::from_secs(1);

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The bodies, one after the other.
    text: Vec<u8>,
    /// One for each body.
    pub(super) items: Vec<Item>,
}

impl Batch {
    /// Adds a line.
    pub(super) fn push(&mut self, body: &[u8], waiter: Option<oneshot::Sender<()>>) {
        self.text.extend_from_slice(body);
        self.items.push(Item { end: self.text.len(), waiter });
    }

    /// The bodies in order.
    pub(super) fn bodies(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.items.iter().map(|item| item.end));
        starts.zip(&self.items).map(|(start, item)| self.text.get(start..item.end).unwrap_or_default())
    }

    /// Empties it; who still waits learns that nothing was written.
    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.text.clear();
    }
}

/// One line that waits.
#[derive(Debug)]
pub(super) struct Item {
    end: usize,
    /// Who waits for it; an outcome or a refusal has nobody.
    pub(super) waiter: Option<oneshot::Sender<()>>,
}

/// The line was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// As many lines wait as may.
    Full,
    /// The record is closed.
    Closed,
}

/// What the writer is told when it asks for more.
pub(super) enum More {
    /// There may be lines.
    Lines,
    /// There will be none.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    Busy,
    Naps,
    Sleeps,
}

#[derive(Debug)]
struct State {
    batch: Batch,
    writer: Writer,
    /// How many of the lines are intents.
    intents: usize,
    /// The writer is to take what there is.
    due: bool,
    closed: bool,
    /// Lines that the writer has taken and keeps for better times.
    kept: usize,
}

/// Wakes the writer when it is dropped, and so also when the call that holds it is given up; unless somebody has written
/// what waits.
#[derive(Debug)]
#[must_use]
pub(super) struct Wake<'q>(&'q Queue);

impl Wake<'_> {
    /// Nobody needs to be woken: what waited is written.
    pub(super) fn spare(self) {
        std::mem::forget(self);
    }
}

impl Drop for Wake<'_> {
    fn drop(&mut self) {
        let state = self.0.lock();
        if !state.batch.items.is_empty() {
            self.0.call(state);
        }
    }
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    capacity: usize,
}

impl Queue {
    /// A queue in which at most `capacity` lines wait; outcomes always find room, for each was preceded by an intent.
    pub(super) fn new(capacity: usize) -> Self {
        let state = State {
            batch: Batch::default(),
            writer: Writer::Busy,
            intents: 0,
            due: false,
            closed: false,
            kept: 0,
        };
        Self { state: Mutex::new(state), wake: Condvar::new(), capacity }
    }

    /// Takes an intent; what is returned first resolves when it is written, and fails when it is not. Whoever gets a
    /// [`Wake`] holds it while others that are ready bring theirs, and no longer.
    pub(super) fn intent(&self, body: &[u8]) -> Result<(oneshot::Receiver<()>, Option<Wake<'_>>), NotTaken> {
        let (waiter, written) = oneshot::channel();
        let mut state = self.room()?;
        state.intents += 1;
        let intents = state.intents;
        state.batch.push(body, Some(waiter));
        if intents == MANY {
            self.call(state);
        }
        Ok((written, (intents == 1).then(|| Wake(self))))
    }

    /// Takes a refusal.
    pub(super) fn refusal(&self, body: &[u8]) -> Result<(), NotTaken> {
        let state = self.room()?;
        self.add(state, body);
        Ok(())
    }

    /// Takes an outcome.
    pub(super) fn outcome(&self, body: &[u8]) -> Result<(), NotTaken> {
        let state = self.lock();
        if state.closed {
            return Err(NotTaken::Closed);
        }
        self.add(state, body);
        Ok(())
    }

    /// How many lines wait.
    pub(super) fn waiting(&self) -> usize {
        let state = self.lock();
        state.batch.items.len().saturating_add(state.kept)
    }

    /// Whether as many lines wait as may.
    pub(super) fn is_full(&self) -> bool {
        self.waiting() >= self.capacity
    }

    /// Has the writer look at once, also where no line waits.
    pub(super) fn rouse(&self) {
        self.call(self.lock());
    }

    /// No more lines after those that wait.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    /// Waits until the writer is called for, until lines have waited long enough, or for a while.
    pub(super) fn wait(&self) {
        let state = self.lock();
        let mut state = match state.batch.items.is_empty() {
            true => self.rest(state, Writer::Sleeps, SLEEP),
            false => state,
        };
        if !state.batch.items.is_empty() {
            state = self.rest(state, Writer::Naps, NAP);
        }
        state.writer = Writer::Busy;
    }

    /// As [`Queue::wait`], for so long where nobody calls. `kept`: lines that the writer holds back.
    pub(super) fn wait_for(&self, patience: Duration, kept: usize) {
        let mut state = self.lock();
        state.kept = kept;
        self.rest(state, Writer::Naps, patience).writer = Writer::Busy;
    }

    /// Exchanges the empty `batch` for what waits, which may be nothing.
    pub(super) fn take(&self, batch: &mut Batch) -> More {
        let mut state = self.lock();
        state.due = false;
        state.intents = 0;
        std::mem::swap(&mut state.batch, batch);
        if state.closed && batch.items.is_empty() { More::End } else { More::Lines }
    }

    /// So many lines that were taken are held back.
    pub(super) fn keeps(&self, kept: usize) {
        self.lock().kept = kept;
    }

    fn rest<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        as_one_who: Writer,
        at_most: Duration,
    ) -> MutexGuard<'a, State> {
        let until = Instant::now() + at_most;
        let stirred = |state: &State| as_one_who == Writer::Sleeps && !state.batch.items.is_empty();
        while !state.due && !state.closed && !stirred(&state) {
            state.writer = as_one_who;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    /// Adds a line for which nobody waits. A writer that sleeps begins to nap.
    fn add(&self, mut state: MutexGuard<'_, State>, body: &[u8]) {
        state.batch.push(body, None);
        if state.writer == Writer::Sleeps {
            state.writer = Writer::Naps;
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Has the writer take what there is.
    fn call(&self, mut state: MutexGuard<'_, State>) {
        state.due = true;
        if state.writer != Writer::Busy {
            state.writer = Writer::Busy;
            drop(state);
            self.wake.notify_one();
        }
    }

    /// The state, where one more line may wait.
    fn room(&self) -> Result<MutexGuard<'_, State>, NotTaken> {
        let state = self.lock();
        if state.batch.items.len().saturating_add(state.kept) >= self.capacity {
            return Err(NotTaken::Full);
        }
        if state.closed { Err(NotTaken::Closed) } else { Ok(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_refuses_intents_and_refusals_but_takes_outcomes() {
        let queue = Queue::new(1);
        let _waits = queue.intent(b"{}").unwrap();
        assert_eq!(queue.intent(b"{}").err(), Some(NotTaken::Full));
        assert_eq!(queue.refusal(b"{}"), Err(NotTaken::Full));
        assert_eq!((queue.outcome(b"{}"), queue.waiting()), (Ok(()), 2));
    }

    #[test]
    fn the_first_of_a_batch_wakes_the_writer_also_when_it_is_given_up() {
        let (queue, mut batch) = (Queue::new(9), Batch::default());
        let (_first, wake) = queue.intent(b"{}").unwrap();
        let (_second, none) = queue.intent(b"{}").unwrap();
        assert!(wake.is_some() && none.is_none() && !queue.lock().due);
        drop(wake);
        assert!(queue.lock().due);
        assert!(matches!(queue.take(&mut batch), More::Lines));
        assert_eq!(batch.items.len(), 2);
        assert!(queue.intent(b"{}").unwrap().1.is_some(), "the first of the next batch");
    }

    #[test]
    fn what_waited_when_it_closed_is_still_handed_out() {
        let (queue, mut batch) = (Queue::new(9), Batch::default());
        queue.outcome(b"{}").unwrap();
        queue.close();
        assert!(matches!(queue.take(&mut batch), More::Lines));
        assert_eq!((batch.items.len(), queue.outcome(b"{}")), (1, Err(NotTaken::Closed)));
        batch.items.clear();
        assert!(matches!(queue.take(&mut batch), More::End));
    }
}
