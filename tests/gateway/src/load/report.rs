//! What the tool says. The only place, beside [`super::say`], that writes to standard output.
#![allow(clippy::print_stdout)]

use serde_json::{Map, Value, json};

/// Named numbers, in the order in which they are shown. A name ends in its unit.
#[derive(Clone, Default, Debug)]
pub(super) struct Figures(Vec<(String, f64)>);

impl Figures {
    pub(super) fn add(&mut self, name: impl Into<String>, value: f64) {
        self.0.push((name.into(), value));
    }

    pub(super) fn append(&mut self, mut others: Figures) {
        self.0.append(&mut others.0);
    }

    fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find_map(|(known, value)| (known == name).then_some(*value))
    }

    /// Prints one figure on each line.
    pub(super) fn print(&self, json: bool) {
        if json {
            let figures: Map<_, _> =
                self.0.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            println!("{}", Value::Object(figures));
        } else {
            self.0.iter().for_each(|(name, value)| println!("{name:<28} {:>12}", number(*value)));
        }
    }
}

/// Several runs of two subjects, side by side.
#[derive(Default, Debug)]
pub(super) struct Comparison {
    pub(super) gateway: Vec<Figures>,
    pub(super) plain: Vec<Figures>,
}

impl Comparison {
    /// Prints the median of each, the median of the runs' ratios, and how far these are spread.
    pub(super) fn print(&self, json: bool) {
        let names = self.gateway.first().into_iter().flat_map(|figures| &figures.0);
        let rows: Vec<_> = names.map(|(name, _)| self.row(name)).collect();
        if json {
            let row = |row: &Row| {
                let Row { gateway, plain, ratio: [least, ratio, most], .. } = row;
                (
                    row.name.clone(),
                    json!({ "gateway": gateway, "plain": plain, "ratio": ratio, "ratio_min": least, "ratio_max": most }),
                )
            };
            println!("{}", Value::Object(rows.iter().map(row).collect::<Map<_, _>>()));
            return;
        }
        println!("| median of {} | gateway | plain | ratio | its spread |", self.gateway.len());
        println!("|---|---:|---:|---:|---|");
        for Row { name, gateway, plain, ratio: [least, ratio, most] } in rows {
            let (gateway, plain) = (number(gateway), number(plain));
            println!("| {name} | {gateway} | {plain} | {ratio:.2} | {least:.2}-{most:.2} |");
        }
    }

    fn row(&self, name: &str) -> Row {
        let all = |runs: &[Figures]| sorted(runs.iter().filter_map(|figures| figures.get(name)).collect());
        let pairs = self.gateway.iter().zip(&self.plain);
        let ratios = pairs.filter_map(|(gateway, plain)| Some(gateway.get(name)? / plain.get(name)?));
        let ratios = sorted(ratios.collect());
        let ratio = [ratios.first().copied(), Some(median(&ratios)), ratios.last().copied()];
        Row {
            name: name.to_owned(),
            gateway: median(&all(&self.gateway)),
            plain: median(&all(&self.plain)),
            ratio: ratio.map(|ratio| ratio.unwrap_or(f64::NAN)),
        }
    }
}

struct Row {
    name: String,
    gateway: f64,
    plain: f64,
    /// The least, the median, the most.
    ratio: [f64; 3],
}

/// Prints a line that is for people only.
pub(super) fn note(json: bool, line: &str) {
    if !json {
        println!("{line}");
    }
}

fn sorted(mut numbers: Vec<f64>) -> Vec<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers
}

fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}

/// A number to the digits that mean something.
fn number(value: f64) -> String {
    match value.abs() {
        1000.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_that_of_the_runs_that_belong_together() {
        let run = |value| {
            let mut figures = Figures::default();
            figures.add("cpu_us", value);
            figures
        };
        let comparison = Comparison {
            gateway: [2.0, 30.0, 4.0].map(run).to_vec(),
            plain: [1.0, 10.0, 4.0].map(run).to_vec(),
        };
        let row = comparison.row("cpu_us");
        assert_eq!((row.gateway, row.plain, row.ratio), (4.0, 4.0, [1.0, 2.0, 3.0]));
    }
}
