//! Charts: SVG without inline style, with the same numbers in a table below. Gaps in the data are gaps in the line.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::number;
use crate::visit::Visit;

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 140.0;
/// Room for the labels: of the scale at the left, of the times below.
const LEFT: f64 = 44.0;
const BOTTOM: f64 = 18.0;
const TOP: f64 = 8.0;

/// A line of a chart. `None`: nothing is known of that moment.
pub struct Series {
    pub name: String,
    pub values: Vec<Option<f64>>,
}

impl Series {
    /// What went wrong is red; the others take the next colour.
    fn tone(&self, at: usize) -> usize {
        if matches!(self.name.as_str(), "dead" | "failed") { 4 } else { at }
    }
}

pub struct Chart<'a> {
    pub title: &'a str,
    /// What the numbers are, such as `jobs a minute`.
    pub unit: &'a str,
    pub times: Vec<DateTime<Utc>>,
    pub series: Vec<Series>,
    /// Filled to the ground, for counts.
    pub filled: bool,
}

impl Chart<'_> {
    pub fn show(&self, visit: &Visit) -> Markup {
        let top = nice(self.series.iter().flat_map(|series| &series.values).flatten().copied().fold(0.0, f64::max));
        let x = |at: usize| {
            let steps = self.times.len().saturating_sub(1).max(1);
            LEFT + (WIDTH - LEFT) * count(at) / count(steps)
        };
        let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - value / top);
        html! {
            figure.chart {
                figcaption { b { (self.title) } " " span.quiet { (self.unit) } (self.legend()) }
                @if self.series.iter().all(|series| series.values.iter().all(Option::is_none)) {
                    p.quiet { "Nothing is recorded for this time yet." }
                } @else {
                    svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } data-left=(LEFT) role="img" aria-label={ (self.title) ", " (self.unit) } {
                        @for share in [0.0, 0.5, 1.0] {
                            line.grid x1=(LEFT) x2=(WIDTH) y1=(round(y(top * share))) y2=(round(y(top * share))) {}
                            text.scale x=(LEFT - 6.0) y=(round(y(top * share) + 3.0)) { (label(top * share)) }
                        }
                        @for (at, series) in self.series.iter().enumerate() {
                            @for line in pieces(&series.values) {
                                @if self.filled && self.series.len() == 1 {
                                    path class={ "fill tone-" (series.tone(at)) } d=(area(&line, &x, &y)) {}
                                }
                                path class={ "line tone-" (series.tone(at)) } d=(outline(&line, &x, &y)) {}
                            }
                        }
                        @for at in ticks(self.times.len()) {
                            text.when x=(round(x(at))) y=(HEIGHT - 4.0) { (clock(visit, self.times[at], &self.times)) }
                        }
                    }
                    (self.table(visit))
                }
            }
        }
    }

    fn legend(&self) -> Markup {
        html! {
            @if self.series.len() > 1 {
                span.legend { @for (at, series) in self.series.iter().enumerate() { span class={ "tone-" (series.tone(at)) } { (series.name) } } }
            }
        }
    }

    fn table(&self, visit: &Visit) -> Markup {
        html! {
            details.numbers {
                summary { "Show the numbers" }
                div.scroll tabindex="0" role="region" aria-label=(self.title) {
                    table.table {
                        caption.hidden { (self.title) ", " (self.unit) }
                        thead { tr { th scope="col" { "Time" } @for series in &self.series { th.num scope="col" { (series.name) } } } }
                        tbody {
                            @for (at, time) in self.times.iter().enumerate() {
                                tr {
                                    th scope="row" { (super::time::time(visit, *time)) }
                                    @for series in &self.series { td.num { (series.values.get(at).copied().flatten().map_or("–".to_owned(), label)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A small line without a scale, beside a number.
pub fn sparkline(values: &[f64], words: &str) -> Markup {
    let top = nice(values.iter().copied().fold(0.0, f64::max));
    let x = |at: usize| 80.0 * count(at) / count(values.len().saturating_sub(1).max(1));
    let y = |value: f64| 1.0 + 18.0 * (1.0 - value / top);
    let line: Vec<(usize, f64)> = values.iter().copied().enumerate().collect();
    html! { svg.spark viewBox="0 0 80 20" role="img" aria-label=(words) { path class="line tone-0" d=(outline(&line, &x, &y)) {} } }
}

/// A bar that shows a share of a whole.
pub fn meter(part: i64, whole: i64, words: &str) -> Markup {
    html! { meter min="0" max=(whole.max(1)) value=(part.clamp(0, whole.max(1))) title=(words) { (words) } }
}

type Line = Vec<(usize, f64)>;

/// The parts of a line between its gaps.
fn pieces(values: &[Option<f64>]) -> Vec<Line> {
    let mut pieces: Vec<Line> = vec![Vec::new()];
    for (at, value) in values.iter().enumerate() {
        match value {
            Some(value) => pieces.last_mut().expect("there is always one").push((at, *value)),
            None => pieces.push(Vec::new()),
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn outline(line: &[(usize, f64)], x: &impl Fn(usize) -> f64, y: &impl Fn(f64) -> f64) -> String {
    let points: Vec<String> =
        line.iter().map(|(at, value)| format!("{} {}", round(x(*at)), round(y(*value)))).collect();
    match points.as_slice() {
        // A point alone is drawn as a short dash.
        [only] => format!("M{only}h1.5"),
        points => format!("M{}", points.join("L")),
    }
}

fn area(line: &[(usize, f64)], x: &impl Fn(usize) -> f64, y: &impl Fn(f64) -> f64) -> String {
    let (first, last) = (line.first().map_or(0, |it| it.0), line.last().map_or(0, |it| it.0));
    format!("{}L{} {ground}L{} {ground}Z", outline(line, x, y), round(x(last)), round(x(first)), ground = round(y(0.0)))
}

/// The next number that reads well on a scale: 1, 2 or 5 with zeros.
fn nice(largest: f64) -> f64 {
    let power = 10_f64.powf(largest.max(1.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= largest).unwrap_or(10.0 * power)
}

fn label(value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "a label shows at most a few digits")]
    match value {
        ..1e-9 => "0".to_owned(),
        ..10.0 if value.fract() > 0.001 => format!("{value:.1}"),
        ..10_000.0 => number(value.round() as i64),
        ..10_000_000.0 => format!("{} k", number((value / 1e3).round() as i64)),
        _ => format!("{} M", number((value / 1e6).round() as i64)),
    }
}

/// Up to five places for the time below a chart.
fn ticks(points: usize) -> Vec<usize> {
    let last = points.saturating_sub(1);
    (1..=4).map(|tick| last * tick / 4).map(|at| at.saturating_sub(last / 24)).filter(|at| *at < points).collect()
}

fn clock(visit: &Visit, at: DateTime<Utc>, times: &[DateTime<Utc>]) -> String {
    let long =
        times.last().zip(times.first()).is_some_and(|(last, first)| *last - *first > chrono::TimeDelta::hours(36));
    at.with_timezone(&visit.zone).format(if long { "%-d %b" } else { "%H:%M" }).to_string()
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[expect(clippy::cast_precision_loss, reason = "a chart has hundreds of points")]
fn count(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        for (largest, top) in [(0.0, 1.0), (1.0, 1.0), (3.0, 5.0), (12.0, 20.0), (99.0, 100.0), (501.0, 1000.0)] {
            assert!((nice(largest) - top).abs() < 1e-9, "{largest}");
        }
    }

    #[test]
    fn a_gap_ends_a_line() {
        assert_eq!(pieces(&[Some(1.0), None, Some(2.0), Some(3.0)]), [vec![(0, 1.0)], vec![(2, 2.0), (3, 3.0)]]);
    }
}
