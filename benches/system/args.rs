//! What can be asked for on the command line.

use std::{fmt, path::PathBuf};

use clap::{Parser, Subcommand, ValueEnum};

use crate::peers::unqueued::Work;

/// Measures Sincro beside what people use today.
#[derive(Debug, Parser)]
#[command(name = "./just bench")]
pub(crate) struct Args {
    /// How often each figure is taken; medians and spreads are over these.
    #[arg(long, value_name = "N")]
    runs: Option<usize>,
    /// This figure alone; can be given several times.
    #[arg(long, value_name = "FIGURE")]
    only: Vec<Figure>,
    /// One small run, to see whether everything works. Its numbers mean little.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Where the data of the servers is put while it runs; a disk like that of the real servers says most.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data: Option<PathBuf>,
    /// Cargo says this to every bench, after everything else.
    #[arg(long, hide = true, global = true)]
    bench: bool,
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// What the driver does besides measuring.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Puts the last measurements into docs/performance.md and its chart.
    Publish,
    /// Does the work without a queue, as one of the peers.
    #[command(hide = true)]
    Unqueued(Work),
}

/// One figure of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Figure {
    /// Jobs taken in over HTTP.
    Enqueue,
    /// Jobs done.
    Execute,
    /// Redis bytes of a job that waits.
    Bytes,
    /// Redis round trips and Postgres transactions of a job.
    Traffic,
    /// Jobs done while a million wait.
    Depth,
    /// The worker's memory through a million jobs.
    Million,
    /// How much of a limit is used, and whether it holds.
    Limit,
    /// From a request to the gateway while nothing else happens.
    Idle,
    /// The same while a hundred thousand jobs wait.
    Ticket,
    /// What channels of different size get of their server.
    Fairness,
}

impl Args {
    /// Those that were asked for, in the order of the table.
    pub(crate) fn figures(&self) -> Vec<Figure> {
        let all = Figure::value_variants().iter().copied();
        all.filter(|figure| self.only.is_empty() || self.only.contains(figure)).collect()
    }

    /// Whether some figures are left out.
    pub(crate) const fn is_partial(&self) -> bool {
        !self.only.is_empty()
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.unwrap_or(if self.quick { 1 } else { 5 }).max(1)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value().map(|value| value.get_name().to_owned());
        f.write_str(&name.unwrap_or_default())
    }
}
