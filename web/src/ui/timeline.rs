//! What happened, in order, with who did it.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::Tone;
use super::icon::{Icon, icon};
use super::time;
use crate::reader::Reader;

pub struct Moment {
    pub at: DateTime<Utc>,
    pub tone: Tone,
    pub sign: Icon,
    /// What happened: a sentence, or the rest of one that begins with the name.
    pub what: String,
    /// The person or service account; none is the system itself.
    pub by: Option<String>,
    /// Words that somebody wrote.
    pub words: Option<String>,
    /// The event as it is stored.
    pub data: Option<String>,
    /// Counts without gaps.
    pub sequence: i32,
}

/// Under a heading for each day, times with seconds.
pub fn timeline(reader: &Reader, moments: &[Moment]) -> Markup {
    let mut last_day = None;
    html! {
        ol class="timeline" {
            @for moment in moments {
                @let day = moment.at.with_timezone(&reader.zone).date_naive();
                @if last_day.replace(day) != Some(day) {
                    li class="day" { (time::day(reader, moment.at)) }
                }
                li class=(moment.tone.name()) {
                    time datetime=(moment.at.format("%Y-%m-%dT%H:%M:%SZ")) title=(moment.at.format("%Y-%m-%d %H:%M:%S UTC")) {
                        (moment.at.with_timezone(&reader.zone).format("%H:%M:%S"))
                    }
                    span class="dot" { (icon(moment.sign)) }
                    div {
                        p {
                            span class="sequence" title="Number of the event" { (moment.sequence) }
                            @if let Some(by) = &moment.by { span class="by" { (by) } " " }
                            (moment.what)
                        }
                        @if let Some(words) = &moment.words { blockquote { (words) } }
                        @if let Some(data) = &moment.data {
                            details class="details" { summary { (icon(Icon::Chevron)) "Data" } pre tabindex="0" { (data) } }
                        }
                    }
                }
            }
        }
    }
}
