//! What all pages of the console have in common: the layout, the banners, the stream of changes.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use shared::error::Result;
use shared::principal::Permission;

use crate::WebState;
use crate::live::Topic;
use crate::page::{self, Shell};
use crate::refusal::PageResult;
use crate::rule::{PageRoutes, reads};
use crate::ui::notice::banner;
use crate::ui::time;
use crate::visit::Visit;

pub const LIVE: &str = "/console/live";

pub fn routes() -> PageRoutes {
    PageRoutes::default().page(LIVE, stream, reads(Permission::OpsRead))
}

async fn stream(State(web): State<WebState>) -> PageResult<Response> {
    Ok(web.live.stream(Topic::Everything)?)
}

/// A page that is kept up to date.
pub async fn live_page(web: &WebState, visit: &Visit, title: &str, content: Markup) -> Result<Markup> {
    show(web, visit, title, Some(LIVE.to_owned()), content).await
}

/// A page that hears of changes from a stream of its own.
pub async fn page_hearing(web: &WebState, visit: &Visit, title: &str, live: String, content: Markup) -> Result<Markup> {
    show(web, visit, title, Some(live), content).await
}

/// A page that stays as it is, such as a form.
pub async fn still_page(web: &WebState, visit: &Visit, title: &str, content: Markup) -> Result<Markup> {
    show(web, visit, title, None, content).await
}

async fn show(web: &WebState, visit: &Visit, title: &str, live: Option<String>, content: Markup) -> Result<Markup> {
    let banners = banners(web, visit).await?;
    Ok(page::console(&Shell { visit, title, live, banners }, &content))
}

/// What everybody should know, whatever page they look at.
async fn banners(web: &WebState, visit: &Visit) -> Result<Markup> {
    if !visit.may(Permission::OpsRead) {
        return Ok(html! {});
    }
    let notices = web.common.notices().await?;
    Ok(html! {
        div #banners data-region {
            @if notices.workers == 0 {
                (banner(true, html! { "No worker runs. Orders are taken, but nothing is charged or shipped." }))
            }
            @for queue in &notices.paused {
                (banner(false, html! {
                    "The queue " b { (queue.name.name()) } " is paused " (time::ago(visit, queue.since))
                    @if let Some(by) = &queue.by { " by " (by) }
                    @if let Some(reason) = &queue.reason { ": " (reason) } ". "
                    @if let Some(at) = queue.resume_at { "It resumes " (time::ago(visit, at)) ". " }
                    a href="/console/queues" { "Look at it" }
                }))
            }
        }
    })
}
