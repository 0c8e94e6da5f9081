//! What was measured: kept as JSON, printed as a table, published as Markdown and a chart.

mod chart;
mod markdown;
mod table;

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::Context as _;
use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    args::{Args, Figure},
    line::{Line, Mark},
    machine::{self, Machine},
    peers::{Effort, Who},
    stats::Spread,
    world::root,
};

/// Everything that was measured, and where.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    machine: Machine,
    /// The effort at which everybody did most.
    best: BTreeMap<String, String>,
    lines: Vec<Measured>,
}

/// A line over all runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Measured {
    figure: String,
    name: String,
    unit: String,
    peer: Option<String>,
    mark: Mark,
    /// Told of a line with a mark.
    reached: Option<bool>,
    ours: Spread,
    theirs: Option<Spread>,
    /// Ours to theirs, each taken within one run.
    ratio: Option<Spread>,
    /// The commit, and whether it was only a try.
    commit: String,
    quick: bool,
}

impl Report {
    /// Begins with what earlier calls of the driver have measured of other figures.
    pub(crate) fn new(machine: Machine, args: &Args) -> Self {
        let earlier = args.is_partial().then(read).and_then(Result::ok);
        let (best, lines) = earlier.map(|earlier| (earlier.best, earlier.lines)).unwrap_or_default();
        let measured_now: Vec<String> = args.figures().iter().map(ToString::to_string).collect();
        let lines = lines.into_iter().filter(|line| !measured_now.contains(&line.figure)).collect();
        Self { machine, best, lines }
    }

    /// Adds a run of a figure.
    pub(crate) fn add(&mut self, figure: Figure, run: Vec<Line>, quick: bool) {
        for line in run {
            let known = self.lines.iter_mut().find(|known| known.name == line.name);
            if let Some(known) = known {
                known.add(&line);
            } else {
                self.lines.push(Measured::begin(figure, &line, quick));
            }
        }
        let places: Vec<String> = Figure::value_variants().iter().map(ToString::to_string).collect();
        self.lines.sort_by_key(|line| places.iter().position(|figure| *figure == line.figure));
    }

    /// Notes at which effort everybody did most.
    pub(crate) fn chose(&mut self, best: BTreeMap<Who, Effort>) {
        self.best.extend(best.into_iter().map(|(who, effort)| (who.name().to_owned(), effort.to_string())));
    }

    /// Keeps it beside what was built.
    pub(crate) fn save(&self) -> anyhow::Result<()> {
        let path = place()?;
        fs::create_dir_all(path.parent().context("a file in a folder")?)?;
        fs::write(&path, serde_json::to_string_pretty(self)? + "\n").context("cannot keep what was measured")
    }

    /// Says it all.
    pub(crate) fn print(&self) {
        say(&table::of(&self.lines));
    }
}

impl Measured {
    fn begin(figure: Figure, line: &Line, quick: bool) -> Self {
        let mut measured = Self {
            figure: figure.to_string(),
            name: line.name.to_owned(),
            unit: line.unit.to_owned(),
            peer: line.peer.map(|peer| peer.name.to_owned()),
            mark: line.mark,
            reached: None,
            ours: Spread::of(vec![line.ours]),
            theirs: line.peer.map(|peer| Spread::of(vec![peer.value])),
            ratio: line.ratio().map(|ratio| Spread::of(vec![ratio])),
            commit: machine::commit(),
            quick,
        };
        measured.judge();
        measured
    }

    fn add(&mut self, line: &Line) {
        let more = |spread: &Spread, value: f64| Spread::of([spread.runs.clone(), vec![value]].concat());
        self.ours = more(&self.ours, line.ours);
        self.theirs = self.theirs.as_ref().zip(line.peer).map(|(theirs, peer)| more(theirs, peer.value));
        self.ratio = self.ratio.as_ref().zip(line.ratio()).map(|(ratios, ratio)| more(ratios, ratio));
        self.judge();
    }

    /// Medians decide, except on what must never be.
    fn judge(&mut self) {
        let ratio = self.ratio.as_ref().map_or(f64::NAN, |ratio| ratio.median);
        self.reached = match self.mark {
            Mark::TimesAtLeast(times) => Some(ratio >= times),
            Mark::TimesAtMost(times) => Some(ratio <= times),
            Mark::AtLeast(value) => Some(self.ours.median >= value),
            Mark::AtMost(value) => Some(self.ours.median <= value),
            Mark::Never => Some(self.ours.max == 0.0),
            Mark::Told => None,
        };
    }
}

/// Puts what was measured last into the documentation: the numbers, the page's tables, the chart.
pub(crate) fn publish() -> anyhow::Result<()> {
    let report = read()?;
    let docs = root().join("docs");
    let page = docs.join("performance.md");
    let text = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    fs::write(&page, markdown::filled(&text, &report)?)?;
    fs::write(docs.join("performance.svg"), chart::of(&report.lines))?;
    fs::write(docs.join("performance.json"), serde_json::to_string_pretty(&report)? + "\n")?;
    Ok(())
}

fn read() -> anyhow::Result<Report> {
    let text = fs::read_to_string(place()?).context("nothing was measured yet: `./just bench`")?;
    Ok(serde_json::from_str(&text)?)
}

fn place() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.ancestors().nth(3).context("a bench is in target/release/deps")?.join("bench/results.json"))
}

/// Tells whoever watches.
#[expect(clippy::print_stdout, reason = "the driver's output is what it is for")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// Tells the driver, on a line of its own.
pub(crate) fn tell(told: &Value) {
    say(&told.to_string());
}
