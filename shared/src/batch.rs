//! Does things together: what arrives while one batch is carried out goes into the next one.
//!
//! There is no timer. An idle batcher carries a single entry out at once, and a busy one gathers what arrives meanwhile,
//! so a transaction, a commit and the lock of a hot row are shared by many. Writes no table.

use std::collections::HashSet;
use std::hash::Hash;

use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, Result};

/// So many entries may wait; further ones wait outside. A worker never has so many: each of its jobs waits for one answer.
const WAITING: usize = 4_096;

/// A step that can be taken for many at once.
pub trait Together: Send + Sync + 'static {
    type Entry: Send + Sync + 'static;
    type Answer: Send + 'static;
    type Key: Hash + Eq + Send;

    /// In a larger batch, the first entry would wait too long for the last.
    const LARGEST: usize = 128;

    /// No two entries of a batch have the same key: the second one goes into the next batch.
    fn key(entry: &Self::Entry) -> Self::Key;

    /// Takes the step for all of them, or for none. Returns an answer for each, in the same order.
    fn carry_out(&self, batch: &[Self::Entry]) -> impl Future<Output = Result<Vec<Self::Answer>>> + Send;
}

struct Waiting<T: Together> {
    entry: T::Entry,
    answer: oneshot::Sender<Result<T::Answer>>,
}

/// Sends entries to the task that carries them out. Cloning it clones a handle.
pub struct Batcher<T: Together> {
    waiting: mpsc::Sender<Waiting<T>>,
}

impl<T: Together> Clone for Batcher<T> {
    fn clone(&self) -> Self {
        Self { waiting: self.waiting.clone() }
    }
}

impl<T: Together> Batcher<T> {
    /// Starts the task. It ends when the batcher and its clones are dropped.
    pub fn start(step: T) -> Self {
        let (sender, waiting) = mpsc::channel(WAITING);
        tokio::spawn(run(step, waiting));
        Self { waiting: sender }
    }

    /// Takes the step for this entry, together with others, and waits for its answer.
    pub async fn ask(&self, entry: T::Entry) -> Result<T::Answer> {
        let (answer, answered) = oneshot::channel();
        let gone = || Error::internal("the task that does this step has stopped");
        self.waiting.send(Waiting { entry, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn run<T: Together>(step: T, mut arrivals: mpsc::Receiver<Waiting<T>>) {
    let mut left_over = Vec::new();
    loop {
        let mut gathered = std::mem::take(&mut left_over);
        if gathered.is_empty() && arrivals.recv_many(&mut gathered, T::LARGEST).await == 0 {
            return;
        }
        while gathered.len() < T::LARGEST
            && let Ok(arrival) = arrivals.try_recv()
        {
            gathered.push(arrival);
        }
        let mut keys = HashSet::new();
        let (mut batch, mut answers) = (Vec::with_capacity(gathered.len()), Vec::with_capacity(gathered.len()));
        for waiting in gathered {
            if keys.insert(T::key(&waiting.entry)) {
                batch.push(waiting.entry);
                answers.push(waiting.answer);
            } else {
                left_over.push(waiting);
            }
        }
        for (answer, result) in answers.into_iter().zip(carry_out(&step, &batch).await) {
            // Who was stopped or timed out does not wait any more. What was done is in the database.
            drop(answer.send(result));
        }
    }
}

/// Carries a batch out. If the data of one entry may be wrong, it carries them out one by one.
async fn carry_out<T: Together>(step: &T, batch: &[T::Entry]) -> Vec<Result<T::Answer>> {
    let error = match step.carry_out(batch).await {
        Ok(answers) => return answers.into_iter().map(Ok).collect(),
        Err(error) => error,
    };
    if batch.len() == 1 || !error.is_about_data() {
        return batch.iter().map(|_| Err(error.clone())).collect();
    }
    tracing::warn!(entries = batch.len(), %error, "a batch failed, so its entries are tried one by one: {error}");
    let mut results = Vec::with_capacity(batch.len());
    for entry in batch {
        let alone = step.carry_out(std::slice::from_ref(entry)).await;
        results
            .push(alone.and_then(|mut answers| answers.pop().ok_or_else(|| Error::internal("a step gave no answer"))));
    }
    results
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::Semaphore;

    use super::*;

    /// Adds one to each number; 13 is refused, and 99 finds the database away.
    struct AddOne {
        may_run: Arc<Semaphore>,
        batches: Arc<Mutex<Vec<Vec<i32>>>>,
    }

    impl Together for AddOne {
        type Entry = i32;
        type Answer = i32;
        type Key = i32;
        const LARGEST: usize = 4;

        fn key(entry: &i32) -> i32 {
            *entry
        }

        async fn carry_out(&self, batch: &[i32]) -> Result<Vec<i32>> {
            self.may_run.acquire().await.expect("it stays open").forget();
            self.batches.lock().unwrap().push(batch.to_vec());
            match batch {
                _ if batch.contains(&99) => Err(Error::Overloaded),
                _ if batch.contains(&13) => Err(Error::internal("thirteen")),
                _ => Ok(batch.iter().map(|number| number + 1).collect()),
            }
        }
    }

    async fn ask(numbers: &[i32]) -> (Vec<Option<i32>>, Vec<Vec<i32>>) {
        let (may_run, batches) = (Arc::new(Semaphore::new(0)), Arc::default());
        let batcher = Batcher::start(AddOne { may_run: may_run.clone(), batches: Arc::clone(&batches) });
        let asked = numbers.iter().map(|number| {
            let batcher = batcher.clone();
            let number = *number;
            tokio::spawn(async move { batcher.ask(number).await.ok() })
        });
        let asked: Vec<_> = asked.collect();
        // The first is alone: the others arrive while it runs.
        tokio::task::yield_now().await;
        may_run.add_permits(1000);
        let answers = futures::future::join_all(asked).await.into_iter().map(Result::unwrap).collect();
        let batches = batches.lock().unwrap().clone();
        (answers, batches)
    }

    #[tokio::test]
    async fn what_arrives_meanwhile_goes_together() {
        let (answers, batches) = ask(&[1, 2, 3, 4, 5, 6]).await;
        assert_eq!(answers, [2, 3, 4, 5, 6, 7].map(Some));
        assert!(batches.len() < 6 && batches.iter().all(|batch| batch.len() <= 4), "{batches:?}");
    }

    #[tokio::test]
    async fn the_same_key_waits_for_the_next_batch() {
        let (answers, batches) = ask(&[1, 1, 1, 2]).await;
        assert_eq!(answers, [2, 2, 2, 3].map(Some));
        for batch in batches {
            assert_eq!(batch.iter().collect::<HashSet<_>>().len(), batch.len(), "{batch:?}");
        }
    }

    #[tokio::test]
    async fn bad_data_fail_their_own_entry_and_an_outage_fails_all() {
        let (answers, _) = ask(&[1, 13, 2]).await;
        assert_eq!(answers, [Some(2), None, Some(3)]);
        let (answers, batches) = ask(&[99, 99]).await;
        assert_eq!(answers, [None, None]);
        assert_eq!(batches.len(), 2, "nothing was tried one by one: {batches:?}");
    }
}
