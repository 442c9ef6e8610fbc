//! What the tool says. The only place, beside [`super::say`], that writes to standard output.
#![allow(clippy::print_stdout)]

use std::io::Write;

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

    pub(super) fn get(&self, name: &str) -> Option<f64> {
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

/// Several runs of one subject.
#[derive(Debug)]
pub(super) struct Series {
    name: &'static str,
    /// In their order; `None`: that one failed.
    pub(super) runs: Vec<Option<Figures>>,
}

impl Series {
    pub(super) const fn new(name: &'static str) -> Self {
        Series { name, runs: Vec::new() }
    }

    fn all(&self, figure: &str) -> Vec<f64> {
        sorted(self.runs.iter().flatten().filter_map(|figures| figures.get(figure)).collect())
    }

    /// What this one has of a figure in relation to `other`: least, median and most of the ratios of the runs that
    /// belong together.
    fn ratio(&self, other: &Series, figure: &str) -> Option<[f64; 3]> {
        let pairs = self.runs.iter().zip(&other.runs);
        let ratio = |(one, other): (&Option<Figures>, &Option<Figures>)| {
            Some(one.as_ref()?.get(figure)? / other.as_ref()?.get(figure)?)
        };
        let ratios = sorted(pairs.filter_map(ratio).collect());
        Some([*ratios.first()?, median(&ratios), *ratios.last()?])
    }
}

/// What the gateway is held to: a figure, in relation to whom (nobody: as it is), and what it may be at the most; or
/// at least, where that is the better.
struct Target {
    figure: &'static str,
    against: Option<&'static str>,
    limit: f64,
    at_least: bool,
}

const fn at_most(figure: &'static str, against: Option<&'static str>, limit: f64) -> Target {
    Target { figure, against, limit, at_least: false }
}

const fn at_least(figure: &'static str, against: Option<&'static str>, limit: f64) -> Target {
    Target { figure, against, limit, at_least: true }
}

const TARGETS: [Target; 17] = [
    at_most("closed_100x64.cpu_us", Some("floor"), 1.5),
    at_most("closed_1000x256.cpu_us", Some("floor"), 1.5),
    at_most("closed_100x64.cpu_us", Some("plain"), 1.15),
    at_most("closed_1000x256.cpu_us", Some("plain"), 1.15),
    at_most("closed_100x64.cpu_us", Some("node"), 0.4),
    at_most("closed_1000x256.cpu_us", Some("node"), 0.4),
    at_most("open_5000.cpu_us", Some("floor"), 1.3),
    at_least("closed_100x64.messages_per_s", Some("floor"), 0.75),
    at_least("closed_1000x256.messages_per_s", Some("floor"), 0.75),
    at_least("closed_100x64.messages_per_s", Some("node"), 2.5),
    at_least("closed_1000x256.messages_per_s", Some("node"), 2.5),
    at_most("fan_out_20.cpu_us", Some("floor"), 1.4),
    at_most("open_5000.p50_us", Some("plain"), 1.5),
    at_most("open_5000.p99_us", Some("plain"), 1.5),
    at_most("handshake.cpu_us", None, 60.0),
    at_most("growth_100_to_15000", Some("floor"), 1.15),
    at_most("idle_10000.bytes_per_client", None, 2500.0),
];

/// Prints the median of each figure of each, the first's ratio to the others, how far that is spread, and what
/// targets are met.
pub(super) fn compare(all: &[Series], json: bool) {
    let Some((first, others)) = all.split_first() else { return };
    let mut names: Vec<&str> = Vec::new();
    for figures in all.iter().flat_map(|series| series.runs.iter().flatten()) {
        for (name, _) in &figures.0 {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    if json {
        let rows = names.iter().map(|name| ((*name).to_owned(), row(name, first, others)));
        println!("{}", Value::Object(rows.collect()));
        return;
    }
    let heads = |all: &[Series]| all.iter().map(|series| format!(" {} |", series.name)).collect::<String>();
    println!("| median of {} |{}", first.runs.len(), heads(all));
    println!("|---|{}", "---:|".repeat(all.len()));
    for name in &names {
        let cell = |series: &Series| match series.all(name) {
            runs if runs.is_empty() => " - |".to_owned(),
            runs => format!(" {} |", number(median(&runs))),
        };
        println!("| {name} |{}", all.iter().map(cell).collect::<String>());
    }
    println!("\n| {} in relation to |{}", first.name, heads(others));
    println!("|---|{}", "---|".repeat(others.len()));
    for name in &names {
        let cell = |other: &Series| match first.ratio(other, name) {
            None => " - |".to_owned(),
            Some([least, ratio, most]) => format!(" {ratio:.2} ({least:.2}-{most:.2}) |"),
        };
        println!("| {name} |{}", others.iter().map(cell).collect::<String>());
    }
    print_targets(first, others);
}

fn row(name: &str, first: &Series, others: &[Series]) -> Value {
    let mut row = Map::new();
    for series in std::iter::once(first).chain(others) {
        let runs = series.all(name);
        if let (Some(least), Some(most)) = (runs.first(), runs.last()) {
            row.insert(series.name.to_owned(), json!({ "median": median(&runs), "min": least, "max": most }));
        }
    }
    for other in others {
        if let Some([least, ratio, most]) = first.ratio(other, name) {
            let name = format!("{}/{}", first.name, other.name);
            row.insert(name, json!({ "median": ratio, "min": least, "max": most }));
        }
    }
    Value::Object(row)
}

fn print_targets(first: &Series, others: &[Series]) {
    if first.name != "gateway" {
        return;
    }
    println!("\n| target | wanted | measured | |\n|---|---:|---:|---|");
    for Target { figure, against, limit, at_least } in TARGETS {
        let measured = match against {
            None => first.all(figure).first().map(|_| median(&first.all(figure))),
            Some(against) => {
                let other = others.iter().find(|other| other.name == against);
                other.and_then(|other| first.ratio(other, figure)).map(|[_, ratio, _]| ratio)
            }
        };
        let Some(measured) = measured else { continue };
        let met = if at_least { measured >= limit } else { measured <= limit };
        let against = against.map_or(String::new(), |against| format!(" / {against}"));
        let (sign, met) =
            (if at_least { "\u{2265}" } else { "\u{2264}" }, if met { "met" } else { "missed" });
        println!("| {figure}{against} | {sign} {} | {} | {met} |", number(limit), number(measured));
    }
}

/// Says on standard error how far the tool has come.
pub(super) fn progress(line: &str) {
    // Whoever does not listen does not need to hear it.
    let _ = writeln!(std::io::stderr(), "{line}");
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

    fn series(name: &'static str, values: [Option<f64>; 3]) -> Series {
        let run = |value: Option<f64>| {
            let mut figures = Figures::default();
            figures.add("cpu_us", value?);
            Some(figures)
        };
        Series { name, runs: values.map(run).to_vec() }
    }

    #[test]
    fn a_ratio_is_that_of_the_runs_that_belong_together() {
        let gateway = series("gateway", [Some(2.0), Some(30.0), Some(4.0)]);
        let plain = series("plain", [Some(1.0), Some(10.0), Some(4.0)]);
        assert_eq!(median(&gateway.all("cpu_us")), 4.0);
        assert_eq!(gateway.ratio(&plain, "cpu_us"), Some([1.0, 2.0, 3.0]));
    }

    #[test]
    fn a_run_that_failed_has_no_ratio() {
        let gateway = series("gateway", [Some(2.0), Some(30.0), Some(4.0)]);
        let node = series("node", [None, Some(10.0), None]);
        assert_eq!(gateway.ratio(&node, "cpu_us"), Some([3.0, 3.0, 3.0]));
        assert_eq!(gateway.ratio(&series("nobody", [None; 3]), "cpu_us"), None);
    }
}
