//! The queues: what waits in each, for how long, and whether it is paused.

use axum::extract::Path;
use maud::{Markup, html};
use shared::error::{Error, Resource, Result};
use shared::ops::queues::{self, QueueView};
use shared::queue::Queue;
use uuid::Uuid;

use super::frame::frame;
use crate::answer::{DoneNotice, PageResult};
use crate::form::Form;
use crate::page::console::{ConsoleFrame, Screen, page};
use crate::ui::button::{self, Weight};
use crate::ui::dialog::{self, Ask};
use crate::ui::icon::Icon;
use crate::ui::table::{self, CellPlace, Row, Table};
use crate::ui::{Tone, layout, status, time, words};
use crate::visit::Visit;

pub async fn queues(visit: Visit) -> PageResult {
    let all = queues::list(&mut *visit.connection().await?).await?;
    Ok(visit.page(render(&frame(&visit)?, &all)))
}

pub async fn ask_pause(visit: Visit, Path(name): Path<String>) -> PageResult {
    let queue: Queue = name.parse().map_err(|_| Error::NotFound(Resource::Queue))?;
    let what = match queue {
        Queue::High => "Payments and cancellations wait.",
        Queue::Default => "Paid orders are not shipped.",
        Queue::Low => "Deliveries are not confirmed. The reaper, the audit and the removal of old rows wait too.",
    };
    let asked = dialog::ask(&Ask {
        title: &format!("Pause the queue {}?", words::first_upper(queue.name())),
        says: html! { p { (what) " Running jobs finish, and nothing is lost." } },
        fields: html! {},
        action: &format!("/console/queues/{}/pause", queue.name()),
        key: Uuid::now_v7(),
        weight: Weight::Danger,
        verb: "Pause the queue",
        back: "/console/queues",
    });
    Ok(visit.page(page(&frame(&visit)?, Screen::Queues, "Pause a queue", asked)))
}

pub async fn pause(visit: Visit, Path(name): Path<String>, form: Form) -> PageResult {
    set_paused(&visit, &name, &form, true).await?;
    Ok(visit.see_done("/console/queues", DoneNotice::QueuePaused))
}

pub async fn resume(visit: Visit, Path(name): Path<String>, form: Form) -> PageResult {
    set_paused(&visit, &name, &form, false).await?;
    Ok(visit.see_done("/console/queues", DoneNotice::QueueResumed))
}

async fn set_paused(visit: &Visit, name: &str, form: &Form, paused: bool) -> Result<()> {
    let Some(mut effect) = form.begin(visit).await? else { return Ok(()) };
    queues::set_paused(&mut effect.tx, visit.caller()?, name, paused).await?;
    effect.commit(visit).await
}

fn render(frame: &ConsoleFrame, all: &[QueueView]) -> Markup {
    let columns = vec![
        table::text("Queue", CellPlace::Title),
        table::number("Due", CellPlace::Meta),
        table::number("Scheduled", CellPlace::Wide),
        table::number("Running", CellPlace::Meta),
        table::number("Given up", CellPlace::Meta),
        table::text("Oldest due", CellPlace::Meta),
        table::text("State", CellPlace::End),
        table::text("", CellPlace::Meta),
    ];
    let rows = all.iter().map(row).collect();
    let content = html! {
        (layout::title("Queues", html! {}, html! {}))
        (layout::subtitle(html! { "Workers take from High first, then Default, then Low." }))
        (table::table(Table::new("The queues and what waits in them", columns, rows)))
    };
    page(frame, Screen::Queues, "Queues", content)
}

fn row(queue: &QueueView) -> Row {
    let name = queue.name.name();
    let dead = if queue.dead > 0 {
        layout::link(&format!("/console/jobs?state=dead&queue={name}"), &words::grouped(queue.dead))
    } else {
        html! { "0" }
    };
    let oldest = if queue.ready > 0 {
        html! { (time::duration(chrono::TimeDelta::seconds(queue.oldest_ready_seconds))) }
    } else {
        layout::quiet(html! { "none" })
    };
    let (state, act) = if queue.paused {
        let resume = format!("/console/queues/{name}/resume");
        (
            status::status(Tone::Warn, Icon::Pause, "Paused"),
            button::post(Weight::Plain, &resume, Uuid::now_v7(), "Resume"),
        )
    } else {
        let pause = format!("/console/queues/{name}/pause");
        (status::status(Tone::Good, Icon::Check, "Open"), button::ask(Weight::Light, &pause, "Pause…"))
    };
    let cells = vec![
        layout::strong(&words::first_upper(name)),
        html! { (words::grouped(queue.ready)) },
        html! { (words::grouped(queue.scheduled)) },
        html! { (words::grouped(queue.running)) },
        dead,
        oldest,
        state,
        act,
    ];
    Row { cells, tone: queue.paused.then_some(Tone::Warn), select: None }
}
