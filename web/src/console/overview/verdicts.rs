//! How the promises, the people, the queues and the workers stand, a sentence each.

use maud::{Markup, html};

use super::shown::{Fleet, Flow, People, Promises};
use crate::reader::Reader;
use crate::ui::icon::Icon;
use crate::ui::verdict::{Verdict, verdict};
use crate::ui::words::{self, Bounded};
use crate::ui::{Tone, layout, meter, money, rows, time};

/// A job that has been due for longer is a sign of too few workers.
const LATE_SECONDS: i64 = 5;

pub fn promises(reader: &Reader, promises: &Promises) -> Markup {
    let all = promises.held + promises.broken.len();
    let (tone, sign, word) = if promises.broken.is_empty() {
        (Tone::Good, Icon::Check, "Kept")
    } else {
        (Tone::Bad, Icon::Failures, "Broken")
    };
    let sentence = match promises.broken.as_slice() {
        [] => html! { "All " (all) " promises hold." },
        [one] => html! { (one) },
        more => html! { (more.len()) " of " (all) " promises do not hold." },
    };
    let detail = html! { "Looked at " (time::with_ago(reader, promises.looked_at)) };
    verdict(&Verdict { name: "Promises", href: "/console/audit", tone, sign, word, sentence, detail })
}

pub fn people(reader: &Reader, people: &People) -> Markup {
    if people.orders == Bounded::Exactly(0) {
        let (sentence, detail) =
            (html! { "Nobody waits for you." }, html! { "Workers take care of every open order." });
        return verdict(&Verdict {
            name: "Inbox",
            href: "/console/inbox",
            tone: Tone::Good,
            sign: Icon::Check,
            word: "Empty",
            sentence,
            detail,
        });
    }
    let sums: Vec<String> = people.money.iter().map(|sum| money::text(sum.amount, &sum.currency.to_string())).collect();
    let verb = if people.orders == Bounded::Exactly(1) { "waits" } else { "wait" };
    let sentence = html! {
        (people.orders.long("order", "orders")) " worth " (sums.join(" and ")) " " (verb) " for a person."
    };
    let detail =
        html! { @if let Some(since) = people.first_since { "The first since " (time::with_ago(reader, since)) } };
    verdict(&Verdict {
        name: "Inbox",
        href: "/console/inbox",
        tone: Tone::Warn,
        sign: Icon::Inbox,
        word: "Waiting",
        sentence,
        detail,
    })
}

pub fn flow(reader: &Reader, queues: &[Flow]) -> Markup {
    let paused = queues.iter().find(|flow| flow.queue.paused);
    let late = queues.iter().filter(|flow| !flow.queue.paused).max_by_key(|flow| flow.queue.oldest_ready_seconds);
    let late = late.filter(|flow| flow.queue.oldest_ready_seconds > LATE_SECONDS);
    let (tone, sign, word, sentence) = match (paused, late) {
        (Some(flow), _) => {
            let waits = words::count(flow.queue.ready, "job waits", "jobs wait");
            (
                Tone::Warn,
                Icon::Pause,
                "Paused",
                html! { "The queue " (words::queue(flow.queue.name)) " is paused; " (waits) "." },
            )
        }
        (None, Some(flow)) => {
            let age = time::duration(chrono::TimeDelta::seconds(flow.queue.oldest_ready_seconds));
            (
                Tone::Warn,
                Icon::Clock,
                "Late",
                html! { "The oldest job in " (words::queue(flow.queue.name)) " has been due for " (age) "." },
            )
        }
        (None, None) => (Tone::Good, Icon::Check, "Flowing", html! { "Jobs start as soon as they are due." }),
    };
    let lines: Vec<Markup> = queues.iter().map(|flow| queue_line(reader, flow)).collect();
    verdict(&Verdict { name: "Flow", href: "/console/queues", tone, sign, word, sentence, detail: rows::rows(&lines) })
}

fn queue_line(_reader: &Reader, flow: &Flow) -> Markup {
    let wait = html! {
        @if let Some(ms) = flow.wait_p95_ms { "p95 " (time::milliseconds(ms)) } @else { "nothing ran" }
    };
    rows::spread(
        html! { (words::queue(flow.queue.name)) },
        html! { (layout::quiet(html! { (words::grouped(flow.queue.ready)) " due" })) (wait) },
    )
}

pub fn fleet(reader: &Reader, fleet: &Fleet) -> Markup {
    let running: i64 = fleet.workers.iter().map(|worker| worker.running).sum();
    let workers = words::count(fleet.workers.len() as i64, "worker", "workers");
    let (tone, sign, word, sentence) = if fleet.workers.is_empty() {
        (Tone::Bad, Icon::Failures, "Gone", html! { "No worker runs, so nothing moves. Orders are kept." })
    } else {
        let versions: std::collections::BTreeSet<&str> =
            fleet.workers.iter().map(|worker| worker.version.as_str()).collect();
        let places =
            html! { (workers) ", " (words::grouped(running)) " of " (words::grouped(fleet.places)) " places in use." };
        if versions.len() > 1 {
            (Tone::Warn, Icon::Alert, "Mixed", html! { (places) " They run different versions." })
        } else {
            (Tone::Good, Icon::Check, "Working", places)
        }
    };
    let beat = fleet.workers.iter().map(|worker| worker.last_heartbeat).min();
    let detail = html! {
        (meter::bar(Tone::Info, running, fleet.places))
        @if let Some(beat) = beat { "Last heartbeat of each after " (time::exact(reader, beat)) }
    };
    verdict(&Verdict { name: "Workers", href: "/console/workers", tone, sign, word, sentence, detail })
}
