//! The report as one HTML page without other files: the table, and the curves as SVG.

use super::{Curve, HEAD, Plot, Report, Row, number};

const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1rem; color: #1c2430 }
h2 { margin: 2.5rem 0 .5rem; text-transform: capitalize }
table { border-collapse: collapse; width: 100%; font-size: 13px }
th, td { text-align: left; padding: .3rem .5rem; border-bottom: 1px solid #dde3ea; vertical-align: top }
th:nth-child(2), td:nth-child(2), th:nth-child(4), td:nth-child(4)
{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
td:first-child { width: 26% } td:nth-child(5) { white-space: nowrap } td:last-child { width: 34%; color: #5a6472; font-size: 12px }
.missed { background: #fdecea } .met { background: #eaf6ec } pre { font: inherit; white-space: pre-wrap }
figure { display: inline-block; margin: 1rem 1rem 0 0 } svg text { font: 12px system-ui, sans-serif; fill: #46505e }
";

const COLOURS: [&str; 6] = ["#1464b4", "#c8501e", "#2d8a4e", "#8a3fa0", "#8c6d1f", "#5a6472"];

pub fn html(report: &Report) -> String {
    let setting: Vec<String> = report.setting.iter().map(|line| format!("<li>{}</li>", escape(line))).collect();
    let mut parts: Vec<&str> = report.rows.iter().map(|row| row.part).collect();
    parts.dedup();
    let parts: Vec<String> = parts.into_iter().map(|part| section(report, part)).collect();
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Millrace: measurements</title>\
         <style>{STYLE}</style><h1>Millrace: measurements</h1><ul>{}</ul><pre>{}</pre>{}</html>\n",
        setting.concat(),
        escape(&report.verdict()),
        parts.concat(),
    )
}

fn section(report: &Report, part: &str) -> String {
    // Without the first column: the part is the heading.
    let head: Vec<String> = HEAD.iter().skip(1).map(|name| format!("<th>{name}</th>")).collect();
    let rows: Vec<String> = report.rows.iter().filter(|row| row.part == part).map(row).collect();
    let plots: Vec<String> = report.plots.iter().filter(|plot| plot.part == part).map(plot).collect();
    format!("<h2>{part}</h2><table><tr>{}</tr>\n{}</table>{}", head.concat(), rows.concat(), plots.concat())
}

fn row(row: &Row) -> String {
    let class = match row.is_met() {
        Some(true) => " class=\"met\"",
        Some(false) => " class=\"missed\"",
        None => "",
    };
    let cells = row.cells().into_iter().skip(1).map(|cell| format!("<td>{}</td>", escape(&cell.replace("**", ""))));
    format!("<tr{class}>{}</tr>\n", cells.collect::<String>())
}

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;

/// Draws curves over a logarithmic x axis, because connections and rows grow by factors. The y axis begins at zero.
fn plot(plot: &Plot) -> String {
    let points = || plot.curves.iter().flat_map(|curve| &curve.points);
    let mut xs: Vec<f64> = points().map(|point| point.0).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    let (Some(first), Some(last)) = (xs.first(), xs.last()) else { return String::new() };
    let scale = |x: f64| (x + 1.0).ln(); // Plus 1, so that zero has a place on the axis.
    let (first, width) = (scale(*first), (scale(*last) - scale(*first)).max(f64::EPSILON));
    let top = round_up(points().map(|point| point.1).fold(0.0, f64::max));
    let at_x = |x: f64| LEFT + (scale(x) - first) / width * (WIDTH - LEFT - RIGHT);
    let at_y = |y: f64| HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM);

    let mut svg = Vec::new();
    for step in 0..=4 {
        let y = top * f64::from(step) / 4.0;
        let (height, label) = (at_y(y), number(y));
        svg.push(format!("<path d=\"M{LEFT} {height:.1}H{}\" stroke=\"#dde3ea\"/>", WIDTH - RIGHT));
        svg.push(format!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", LEFT - 6.0, height + 4.0));
    }
    for x in &xs {
        let label = number(*x);
        svg.push(format!("<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", at_x(*x), HEIGHT - 26.0));
    }
    svg.push(format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        WIDTH / 2.0,
        HEIGHT - 8.0,
        escape(plot.x)
    ));
    let mut legend = Vec::new();
    for (Curve { name, points }, colour) in plot.curves.iter().zip(COLOURS.iter().cycle()) {
        let line: Vec<String> = points.iter().map(|(x, y)| format!("{:.1},{:.1}", at_x(*x), at_y(*y))).collect();
        svg.push(format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            line.join(" ")
        ));
        for (x, y) in points {
            let title = format!("{}: {} at {}", escape(name), number(*y), number(*x));
            svg.push(format!(
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{colour}\"><title>{title}</title></circle>",
                at_x(*x),
                at_y(*y)
            ));
        }
        legend.push(format!("<span style=\"color:{colour}\">■</span> {} &nbsp;", escape(name)));
    }
    format!(
        "<figure><figcaption><b>{}</b> ({})<br>{}</figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">{}</svg></figure>\n",
        escape(&plot.title),
        escape(plot.y),
        legend.concat(),
        svg.concat(),
    )
}

/// Rounds up to 1, 2, 4 or 5 times a power of ten, for the end of an axis.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let ten = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 10.0].into_iter().map(|digit| digit * ten).find(|end| *end >= value).unwrap_or(value)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::{Curve, Plot};

    #[test]
    fn a_curve_is_drawn_from_corner_to_corner() {
        let curves = vec![Curve { name: "a < b".into(), points: vec![(0.0, 0.0), (1000.0, 20.0)] }];
        let svg = super::plot(&Plot { part: "p", title: "t".into(), x: "x", y: "y", curves });
        assert!(svg.contains("points=\"64.0,276.0 548.0,12.0\""), "{svg}");
        assert!(svg.contains("a &lt; b"), "{svg}");
    }
}
