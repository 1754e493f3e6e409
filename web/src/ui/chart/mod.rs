//! Charts: SVG from numbers, with the numbers in a table below. Labels are HTML around the drawing, so they stay
//! sharp while the drawing stretches. `chart.js` adds a crosshair that reads the table.

pub mod series;
mod shape;

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};
use shared::values::Currency;

use self::series::{ChartKind, Hue, Series};
use self::shape::{HEIGHT, WIDTH};
use super::table::{self, CellPlace, Table};
use super::{layout, money, time, words};
use crate::reader::Reader;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Count,
    Milliseconds,
    Money(Currency),
}

pub struct Chart {
    pub title: &'static str,
    /// The value that matters, in words: `$4,120 in the last hour`.
    pub headline: Markup,
    pub kind: ChartKind,
    pub unit: Unit,
    pub times: Vec<DateTime<Utc>>,
    pub series: Vec<Series>,
}

impl Unit {
    fn text(self, value: i64) -> String {
        match self {
            Self::Count => words::grouped(value),
            Self::Milliseconds => time::milliseconds(value),
            Self::Money(currency) => money::text(value, &currency.to_string()),
        }
    }

    /// For an axis: `1.2k`, `$4k`.
    fn short(self, value: i64) -> String {
        match self {
            Self::Count => thousands(value),
            Self::Milliseconds if value == 0 => "0".to_owned(),
            Self::Milliseconds => time::milliseconds(value).replace(".0 s", " s"),
            Self::Money(currency) => {
                let whole = money::text(value, &currency.to_string());
                whole.strip_suffix(".00").unwrap_or(&whole).replace(",000", "k")
            }
        }
    }
}

fn thousands(value: i64) -> String {
    match value {
        1_000_000.. if value % 1_000_000 == 0 => format!("{}M", value / 1_000_000),
        1_000.. if value % 1_000 == 0 => format!("{}k", value / 1_000),
        1_000.. if value % 100 == 0 => format!("{}.{}k", value / 1_000, value % 1_000 / 100),
        _ => words::grouped(value),
    }
}

pub fn chart(reader: &Reader, chart: &Chart) -> Markup {
    let top = shape::top(chart.kind, &chart.series);
    html! {
        figure class="chart" data-chart {
            figcaption {
                h3 { (chart.title) }
                span class="headline" { (chart.headline) }
                @if chart.series.len() > 1 { (legend(&chart.series)) }
                output class="readout" {}
            }
            div class="plot" {
                div class="axis-y" aria-hidden="true" {
                    @for value in [top, top / 2, 0] { span { (chart.unit.short(value)) } }
                }
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(summary(chart)) {
                    path class="grid" d={ "M0 .5H" (WIDTH) "M0 " (HEIGHT / 2) "H" (WIDTH) "M0 " (HEIGHT) "H" (WIDTH) } {}
                    (shape::draw(chart.kind, &chart.series, top))
                    path class="cross" d={ "M0 0V" (HEIGHT) } {}
                }
            }
            div class="axis-x" aria-hidden="true" {
                @for at in marks(&chart.times) { span { (axis_time(reader, &chart.times, at)) } }
            }
            (layout::details(html! { "Numbers" }, numbers(reader, chart)))
        }
    }
}

/// A line without axes, for a row of a table. The numbers are in the words beside it.
pub fn sparkline(hue: Hue, values: &[Option<i64>]) -> Markup {
    let series = [Series { name: "", hue, values: values.to_vec() }];
    let top = values.iter().flatten().copied().max().unwrap_or(0).max(1);
    html! {
        svg class="spark" viewBox={ "0 -4 " (WIDTH) " " (HEIGHT + 8) } preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            (shape::draw(ChartKind::Line, &series, top))
        }
    }
}

fn legend(series: &[Series]) -> Markup {
    html! {
        ul class="legend" {
            @for one in series {
                li { svg class=(one.hue.name()) viewBox="0 0 10 10" width="8" height="8" aria-hidden="true" { rect class="swatch" width="10" height="10" rx="2" {} } (one.name) }
            }
        }
    }
}

/// What a screen reader says of the drawing.
fn summary(chart: &Chart) -> String {
    let parts: Vec<String> = chart
        .series
        .iter()
        .filter_map(|one| Some((one, one.values.iter().flatten().max()?)))
        .map(|(one, most)| format!("{} at most {}", one.name, chart.unit.text(*most)))
        .collect();
    format!("{}: {}. The numbers are in the table below.", chart.title, parts.join(", "))
}

/// Five times at even distances, the first and the last among them.
fn marks(times: &[DateTime<Utc>]) -> Vec<DateTime<Utc>> {
    let Some(last) = times.len().checked_sub(1) else { return Vec::new() };
    (0..5).map(|mark| times[last * mark / 4]).collect()
}

fn axis_time(reader: &Reader, times: &[DateTime<Utc>], at: DateTime<Utc>) -> String {
    let days = times.last().zip(times.first()).is_some_and(|(last, first)| *last - *first > TimeDelta::hours(36));
    at.with_timezone(&reader.zone).format(if days { "%-d %b" } else { "%H:%M" }).to_string()
}

fn numbers(reader: &Reader, chart: &Chart) -> Markup {
    let mut columns = vec![table::text("Time", CellPlace::Title)];
    columns.extend(chart.series.iter().map(|one| table::number(one.name, CellPlace::End)));
    let rows = chart.times.iter().enumerate().map(|(place, at)| {
        let mut cells = vec![time::at(reader, *at)];
        cells.extend(chart.series.iter().map(|one| number(chart.unit, one.values.get(place).copied().flatten())));
        cells.into()
    });
    table::table(Table::new(chart.title, columns, rows.collect()))
}

fn number(unit: Unit, value: Option<i64>) -> Markup {
    let Some(value) = value else { return html! { "no data" } };
    html! { data value=(value) { (unit.text(value)) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::Theme;

    fn sample(kind: ChartKind, series: Vec<Series>) -> (Chart, Reader) {
        let now: DateTime<Utc> = "2026-11-26T14:00:00Z".parse().unwrap();
        let times = (0..4).map(|minute| now + TimeDelta::minutes(minute)).collect();
        let chart = Chart { title: "Orders", headline: html! {}, kind, unit: Unit::Count, times, series };
        (chart, Reader { now, zone: chrono_tz::UTC, theme: Theme::System })
    }

    /// Reads the y coordinates of a line back into values.
    fn values_of(path: &str, top: i64) -> Vec<i64> {
        path.split(['M', 'L'])
            .filter(|point| !point.is_empty())
            .map(|point| point.split_once(' ').unwrap().1.trim().parse::<f64>().unwrap())
            .map(|y| {
                #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small test values")]
                let value = ((f64::from(HEIGHT) - y) / f64::from(HEIGHT) * top as f64).round() as i64;
                value
            })
            .collect()
    }

    #[test]
    fn the_line_and_its_table_show_the_same_numbers() {
        let values = vec![Some(3), Some(180), None, Some(77)];
        let (chart_of, reader) = sample(ChartKind::Line, vec![Series { name: "Placed", hue: Hue::Accent, values }]);
        let page = chart(&reader, &chart_of).into_string();
        let path = page.split("hue-accent\" d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(values_of(path, 200), [3, 180, 77]);
        for value in [3, 180, 77] {
            assert!(page.contains(&format!("<data value=\"{value}\">{value}</data>")));
        }
        assert!(page.contains("no data"));
    }

    #[test]
    fn bars_stack_up_to_their_sum() {
        let series = |name, hue, values: [i64; 4]| Series { name, hue, values: values.map(Some).to_vec() };
        let parts = vec![series("Done", Hue::Good, [10, 20, 0, 4]), series("Dead", Hue::Bad, [0, 5, 5, 1])];
        let (chart_of, reader) = sample(ChartKind::Bars, parts);
        let page = chart(&reader, &chart_of).into_string();
        // 25 at most, so the axis ends at 30; the second bar's upper part is 5 high.
        assert!(page.contains(&format!("v-{}", shape::round(f64::from(HEIGHT) * 5.0 / 30.0))), "{page}");
    }

    #[test]
    fn axes_end_at_round_numbers() {
        for (most, top) in
            [(0, 2), (1, 2), (3, 4), (25, 30), (41, 60), (180, 200), (999, 1_000), (4_122_001, 6_000_000)]
        {
            assert_eq!(shape::round_up(most), top, "{most}");
        }
        assert_eq!(Unit::Count.short(1_500), "1.5k");
        assert_eq!(Unit::Money("USD".parse().unwrap()).short(400_000), "$4k");
    }
}
