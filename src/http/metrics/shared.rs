//! Answers that several clients share: one query at a time, however many requests come at once.

use std::sync::Arc;
use std::time::Instant;

use actix_web::rt;
use tokio::sync::Mutex;

/// The answer to a query that is repeated often.
pub(super) struct Shared<T>(Arc<Mutex<Option<(Instant, T)>>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone + 'static> Shared<T> {
    /// Asks, unless that was begun since this was called; none where it failed.
    pub(super) async fn get(&self, ask: impl AsyncFnOnce() -> T + 'static) -> Option<T> {
        let called = Instant::now();
        let mut last = Arc::clone(&self.0).lock_owned().await;
        if let Some((_, known)) = last.as_ref().filter(|(begun, _)| *begun >= called) {
            return Some(known.clone());
        }
        // Goes on when the client hangs up, or the next would begin another beside it.
        let asking = rt::spawn(async move {
            let begun = Instant::now();
            let answer = ask().await;
            *last = Some((begun, answer.clone()));
            answer
        });
        asking.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use tokio::sync::oneshot;

    use super::*;

    #[actix_web::test]
    async fn those_that_ask_at_once_share_one_answer_and_each_is_new() {
        let shared = Shared::default();
        let (queries, running) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let get = || {
            let (queries, running) = (Rc::clone(&queries), Rc::clone(&running));
            shared.get(async move || {
                assert_eq!(running.replace(1), 0, "two at a time");
                rt::time::sleep(Duration::from_millis(20)).await;
                running.set(0);
                queries.set(queries.get() + 1);
                queries.get()
            })
        };
        let answers = join_all((0..50).map(|_| get())).await;
        assert!(answers.iter().all(Option::is_some));
        assert!(queries.get() <= 2, "{}", queries.get());
        let before = queries.get();
        assert_eq!(get().await, Some(before + 1));
        assert_eq!(get().await, Some(before + 2));
    }

    #[actix_web::test]
    async fn a_reader_that_hangs_up_does_not_block_another() {
        let shared = Shared::default();
        let (begin, begun) = oneshot::channel();
        let first = shared.get(async move || {
            begin.send(()).unwrap();
            rt::time::sleep(Duration::from_millis(50)).await;
            1
        });
        assert!(first.now_or_never().is_none());
        begun.await.unwrap();
        assert_eq!(shared.get(async || 2).await, Some(2));
    }
}
