//! The promises, each as a sentence, and whether the last audit found them kept.

use axum::extract::State;
use axum::response::Response;
use chrono::Days;
use maud::{Markup, html};
use shared::audit::Finding;
use shared::audit::full::{self, AuditDay, AuditRun, AuditState};
use shared::page::Page;
use shared::principal::Permission;

use super::shell;
use crate::WebState;
use crate::once::{OnceForm, and_say};
use crate::refusal::PageResult;
use crate::rule::{PageRoutes, changes, reads};
use crate::ui::action::{self, Emphasis};
use crate::ui::icon::Icon;
use crate::ui::list::{Row, column, numbers, table};
use crate::ui::status::{self, Tone};
use crate::ui::{self, time};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    PageRoutes::default().page("/console/audit", show, reads(Permission::OpsRead)).form(
        "/console/audit/runs",
        start,
        changes(Permission::OpsWrite),
    )
}

async fn show(State(web): State<WebState>, visit: Visit) -> PageResult {
    let report = full::last(&web.db).await?;
    let mut conn = web.db.acquire().await?;
    let runs = full::list(&mut conn, &Page::parse(Some(20), None, "")?).await?.data;
    let days = full::days(&mut conn).await?;
    drop(conn);
    let is_running = runs.iter().any(|run| run.state == AuditState::Running);
    let content = html! {
        (ui::head_with("Audit", html! { "Last looked " (time::both(&visit, report.ran_at)) }, html! {
            @if is_running { span.quiet { "Looking at everything now…" } }
            @else if visit.may(Permission::OpsWrite) {
                (action::button("/console/audit/runs", "Look at everything now", Emphasis::Primary))
            }
        }))
        (ui::live("audit", html! { (strip(&visit, &days)) (promises(&report.invariants)) (ui::block("Runs", runs_table(&visit, &runs))) }))
    };
    Ok(shell::live_page(&web, &visit, "Audit", content).await?)
}

/// A small box for each of the last 30 days: all promises held, one was broken, or nobody looked.
fn strip(visit: &Visit, days: &[AuditDay]) -> Markup {
    let today = visit.now.date_naive();
    let of = |back: u64| today.checked_sub_days(Days::new(back)).unwrap_or(today);
    let broken = days.iter().filter(|day| day.violations > 0).count();
    let words = match broken {
        0 => "All promises held on every day that was looked at".to_owned(),
        broken => format!("A promise was broken on {broken} of {} days that were looked at", days.len()),
    };
    html! {
        figure.days {
            ol { @for day in (0..30).rev().map(of) {
                @let found = days.iter().find(|found| found.day == day);
                @let (class, said) = match found {
                    None => ("", "nobody looked".to_owned()),
                    Some(found) if found.violations > 0 => ("bad", ui::plural(found.violations, "violation", "violations")),
                    Some(found) => ("good", format!("all held, {}", ui::plural(found.runs, "run", "runs"))),
                };
                li class=(class) title={ (day.format("%-d %B")) ": " (said) } { span.hidden { (day.format("%-d %B")) ": " (said) } }
            } }
            figcaption { (words) ". Days in UTC." }
        }
    }
}

fn promises(found: &[Finding]) -> Markup {
    let columns = [column("Promise"), column("State"), numbers("Broken by"), column("Which")];
    let rows: Vec<Row> = found
        .iter()
        .map(|finding| Row {
            link: None,
            cells: vec![
                html! { (sentence(&finding.name)) },
                if finding.violations == 0 {
                    status::badge(Tone::Good, Icon::Check, "Holds")
                } else {
                    status::badge(Tone::Bad, Icon::Alert, "Broken")
                },
                html! { (ui::number(finding.violations)) },
                html! { @for offender in finding.offenders.iter().take(5) { code { (offender) } " " } },
            ],
        })
        .collect();
    table("Promises", &columns, &rows)
}

/// What a promise means to the shop.
fn sentence(name: &str) -> String {
    match name {
        "reserved_is_what_reservations_hold" => "What is reserved is what live reservations hold",
        "stock_is_the_sum_of_its_movements" => "Stock is the sum of its ledger",
        "no_key_of_an_inactive_account_is_usable" => "No key works whose service account was switched off",
        "stock_is_never_negative" => "Nothing is oversold",
        "rows_have_their_parents" => "Every row has the order, the product or the stock that it belongs to",
        "total_is_the_sum_of_its_items" => "The total of an order is the sum of its lines",
        "our_ledger_charged_each_sale_once" => "Our ledger has each sale charged once",
        "the_provider_charged_each_sale_once" => "The provider has charged each sale once",
        "cancelled_orders_hold_nothing" => "Cancelled orders hold neither money nor stock",
        "what_was_shipped_left_once" => "What was shipped left its warehouse once",
        "every_open_order_waits_for_somebody" => "Every open order has a next step",
        "nothing_runs_without_a_lease" => "No job runs without a lease",
        "every_pending_delivery_has_a_pump_or_waits" => "Every webhook that waits has its turn",
        "nothing_is_delivered_out_of_order" => "Webhooks arrive in order",
        "event_sequences_have_no_gaps" => "No timeline has a gap",
        "every_event_is_in_the_feed_once" => "Every event is in the feed, once",
        "feed_keeps_each_orders_order" => "The feed keeps the order of each timeline",
        other => return other.replace('_', " "),
    }
    .to_owned()
}

fn runs_table(visit: &Visit, runs: &[AuditRun]) -> Markup {
    let columns = [column("Ended"), column("State"), numbers("Violations")];
    let rows: Vec<Row> = runs
        .iter()
        .map(|run| Row {
            link: None,
            cells: vec![
                run.ran_at.map_or_else(|| html! { "not yet" }, |at| time::both(visit, at)),
                match (run.state, run.violations) {
                    (AuditState::Running, _) => status::badge(Tone::Busy, Icon::Activity, "Running"),
                    (AuditState::Done, Some(0)) => status::badge(Tone::Good, Icon::Check, "All hold"),
                    (AuditState::Done, _) => status::badge(Tone::Bad, Icon::Alert, "Broken"),
                },
                html! { (run.violations.map(ui::number).unwrap_or_default()) },
            ],
        })
        .collect();
    table("Runs", &columns, &rows)
}

async fn start(State(web): State<WebState>, mut once: OnceForm) -> PageResult<Response> {
    let principal = once.visit.principal()?.clone();
    let (_, run) = full::start(&mut once.tx, &web.db, &principal).await?;
    let left = once.leave(&and_say("/console/audit", "started")).await?;
    if let Some(run) = run {
        run.spawn(web.stopping.clone().cancelled_owned());
    }
    Ok(left)
}
