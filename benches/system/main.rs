//! The system runs of `./just bench`: every figure of the table in docs/performance.md, ours and what people use today in turn,
//! on private servers and behind the same gateway.
//!
//! | module | what it holds |
//! |---|---|
//! | `args` | what can be asked for |
//! | `figures` | one file for each figure: what is done, and what of it counts |
//! | `session` | what all runs of one call of the driver share |
//! | `world` | servers, gateways, processes, installations: where it is done |
//! | `peers` | whoever does the same work beside us |
//! | `line` | one measured line, and the mark it has to reach |
//! | `stats` | medians and spreads |
//! | `report` | what was measured, as a table, as JSON, as Markdown and as a chart |
//! | `machine` | where it was measured, and of which versions |
//!
//! Everything is a process of its own: the driver loads nothing that it measures. What it starts ends with it, however it ends.

mod args;
mod figures;
mod line;
mod machine;
mod peers;
mod report;
mod session;
mod stats;
mod world;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    args::{Args, Verb},
    report::{Report, say},
    session::Session,
};

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.verb {
        Some(Verb::Unqueued(work)) => peers::unqueued::work(work).await,
        Some(Verb::Publish) => report::publish(),
        None => measure_until_told_otherwise(args).await,
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    say(&format!("bench: {error:#}"));
    ExitCode::FAILURE
}

/// Whoever presses Ctrl-C finds nothing left: what was started ends when it is dropped.
async fn measure_until_told_otherwise(args: Args) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    tokio::select! {
        measured = measure(args) => measured,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("told to end"),
    }
}

async fn measure(args: Args) -> anyhow::Result<()> {
    let session = Session::begin(&args).await?;
    let mut report = Report::new(machine::look(&session.world).await?, &args);
    for figure in args.figures() {
        for run in 1..=args.runs() {
            say(&format!("{figure}, run {run} of {}", args.runs()));
            let lines = figures::run(figure, &session).await.with_context(|| format!("{figure}, run {run}"))?;
            for line in &lines {
                say(&format!("  {line}"));
            }
            report.add(figure, lines, args.quick);
        }
        report.chose(session.best_so_far().await);
        report.save()?;
    }
    report.print();
    Ok(())
}
