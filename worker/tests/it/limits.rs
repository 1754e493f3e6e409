//! The limits of a kind, which its line in the registry sets.

use std::sync::Arc;
use std::time::Duration;

use shared::queue::{self, Noop, Origin, Plan};
use testkit::app::TestApp;
use testkit::manual_worker::ManualWorker;
use tokio::sync::Notify;
use worker::error::Done;
use worker::jobs::registry::Registry;

#[tokio::test]
async fn a_worker_runs_as_many_of_a_kind_at_once_as_its_line_says_and_postpones_the_others() {
    let app = TestApp::new().await;
    let worker = ManualWorker::of(&app);
    let plan = Plan { delay: Duration::ZERO, max_attempts: 8, origin: Origin::default() };
    let mut conn = app.db.acquire().await.unwrap();
    drop(queue::enqueue_many(&mut conn, &[(Noop { wait_ms: 0 }, &plan), (Noop { wait_ms: 0 }, &plan)]).await.unwrap());
    let jobs = worker.take_all(&["noop"]).await;

    let (begun, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let registry = {
        let (begun, end) = (begun.clone(), end.clone());
        let handler = move |_: Noop, _, _| {
            let (begun, end) = (begun.clone(), end.clone());
            async move {
                begun.notify_one();
                end.notified().await;
                Ok(Done::NothingToDo)
            }
        };
        Arc::new(Registry::default().on::<Noop, _>(handler).at_once(1))
    };
    let first = tokio::spawn({
        let (registry, job, ctx) = (registry.clone(), jobs[0].clone(), worker.ctx.clone());
        async move { registry.run(job, ctx).await }
    });
    begun.notified().await;
    assert_eq!(registry.run(jobs[1].clone(), worker.ctx.clone()).await.unwrap(), Done::Postponed);

    end.notify_one();
    assert_eq!(first.await.unwrap().unwrap(), Done::NothingToDo);
    end.notify_one(); // The second one need not wait.
    assert_eq!(registry.run(jobs[1].clone(), worker.ctx.clone()).await.unwrap(), Done::NothingToDo);
}
