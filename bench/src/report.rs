//! The report of a bench run: a table and curves. It is printed, and written as JSON and as an HTML page.

mod page;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use chrono::Utc;
use serde::Serialize;
use serde_json::{Value, json};

/// Prints the current step to standard error. The table goes to standard output.
pub fn say(what: impl std::fmt::Display) {
    eprintln!("{}  {what}", Utc::now().format("%H:%M:%S"));
}

/// The results of a run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The machine and the settings.
    pub setting: Vec<String>,
    pub rows: Vec<Row>,
    pub plots: Vec<Plot>,
}

/// A figure beside another one of the same run.
#[derive(Debug, Serialize)]
pub struct Row {
    pub part: &'static str,
    pub what: String,
    pub value: f64,
    pub unit: &'static str,
    pub beside: Option<Beside>,
    pub aim: Option<Aim>,
    /// Explains the figure in words.
    pub note: String,
    /// Explains the figure in numbers, for programs.
    pub details: Value,
}

#[derive(Debug, Serialize)]
pub struct Beside {
    pub what: String,
    pub value: f64,
}

/// A limit for the ratio, or for the figure if it has no other beside it.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

#[derive(Debug, Serialize)]
pub struct Plot {
    pub part: &'static str,
    pub title: String,
    pub x: &'static str,
    pub y: &'static str,
    pub curves: Vec<Curve>,
}

#[derive(Debug, Serialize)]
pub struct Curve {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

impl Row {
    pub fn new(part: &'static str, what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            part,
            what: what.into(),
            value,
            unit,
            beside: None,
            aim: None,
            note: String::new(),
            details: Value::Null,
        }
    }

    pub fn beside(self, what: impl Into<String>, value: f64) -> Self {
        Self { beside: Some(Beside { what: what.into(), value }), ..self }
    }

    pub fn aim(self, aim: Aim) -> Self {
        Self { aim: Some(aim), ..self }
    }

    pub fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    pub fn details(self, details: Value) -> Self {
        Self { details, ..self }
    }

    pub fn ratio(&self) -> Option<f64> {
        self.beside.as_ref().filter(|beside| beside.value != 0.0).map(|beside| self.value / beside.value)
    }

    /// Is the aim met? None if there is no aim.
    pub fn is_met(&self) -> Option<bool> {
        let value = if self.beside.is_some() { self.ratio()? } else { self.value };
        Some(match self.aim? {
            Aim::AtLeast(least) => value >= least,
            Aim::AtMost(most) => value <= most,
        })
    }

    /// The cells of the table: part, what, figure, beside it, ratio, aim, note.
    fn cells(&self) -> [String; 7] {
        let aim = match self.aim {
            Some(Aim::AtLeast(least)) => format!("≥ {}", number(least)),
            Some(Aim::AtMost(most)) => format!("≤ {}", number(most)),
            None => String::new(),
        };
        let met = match self.is_met() {
            Some(true) => ", met",
            Some(false) => ", **missed**",
            None => "",
        };
        [
            self.part.to_owned(),
            self.what.clone(),
            format!("{} {}", number(self.value), self.unit).trim_end().to_owned(),
            self.beside
                .as_ref()
                .map(|beside| format!("{} ({})", number(beside.value), beside.what))
                .unwrap_or_default(),
            self.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            format!("{aim}{met}"),
            self.note.clone(),
        ]
    }
}

const HEAD: [&str; 7] = ["part", "what", "figure", "beside it", "ratio", "aim", "note"];
const RULE: [&str; 7] = ["---", "---", "--:", "---", "--:", "---", "---"];
/// The column of the notes, which is the last.
const NOTE: usize = HEAD.len() - 1;

impl Report {
    /// The table in Markdown, as `docs/performance.md` has it. The notes are only on the page.
    pub fn table(&self) -> String {
        let mut rows: Vec<Vec<String>> = vec![HEAD.map(str::to_owned).to_vec(), RULE.map(str::to_owned).to_vec()];
        rows.extend(self.rows.iter().map(|row| row.cells().to_vec()));
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths: [usize; NOTE] = std::array::from_fn(width);
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(widths).zip(RULE).map(|((cell, width), rule)| {
                if rule.ends_with(':') { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
        };
        rows.iter().map(line).collect()
    }

    /// The number of aims, and which are missed.
    pub fn verdict(&self) -> String {
        let aims = self.rows.iter().filter_map(|row| Some((row, row.is_met()?)));
        let (met, missed): (Vec<_>, Vec<_>) = aims.partition(|(_, met)| *met);
        if met.is_empty() && missed.is_empty() {
            return "no aims were measured".to_owned();
        }
        let list: Vec<String> =
            missed.iter().map(|(row, _)| format!("\n  missed: {}, {}", row.part, row.what)).collect();
        format!("{} of {} aims are met{}", met.len(), met.len() + missed.len(), list.concat())
    }

    /// Writes `bench.json` and `bench.html`.
    pub fn write(&self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        fs::write(dir.join("bench.json"), serde_json::to_string_pretty(&self.json()?)?)?;
        fs::write(dir.join("bench.html"), page::html(self))?;
        Ok(())
    }

    /// The report with the ratio of each row, and whether its aim is met.
    fn json(&self) -> Result<Value> {
        let mut report = serde_json::to_value(self)?;
        for (row, value) in self.rows.iter().zip(report["rows"].as_array_mut().into_iter().flatten()) {
            value["ratio"] = json!(row.ratio());
            value["met"] = json!(row.is_met());
        }
        Ok(report)
    }
}

/// Three significant digits, with commas between thousands.
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 0.1 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), String::new()), |(w, r)| (w, format!(".{r}")));
    let digits = whole.trim_start_matches('-');
    let grouped: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|three| std::str::from_utf8(three).ok()).collect();
    format!("{}{}{rest}", if value < 0.0 { "-" } else { "" }, grouped.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        for (value, text) in [
            (0.0, "0"),
            (0.0123, "0.012"),
            (1.5, "1.50"),
            (12.34, "12.3"),
            (1234.5, "1,234"),
            (-1_234_567.0, "-1,234,567"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn an_aim_is_about_the_ratio_where_there_is_one() {
        let row = || Row::new("placing", "orders", 300.0, "a second");
        for (row, met) in [
            (row(), None),
            (row().aim(Aim::AtLeast(300.0)), Some(true)),
            (row().aim(Aim::AtMost(299.0)), Some(false)),
            (row().beside("bare", 200.0).aim(Aim::AtLeast(1.5)), Some(true)),
            (row().beside("bare", 201.0).aim(Aim::AtLeast(1.5)), Some(false)),
        ] {
            assert_eq!(row.is_met(), met, "{row:?}");
        }
    }
}
