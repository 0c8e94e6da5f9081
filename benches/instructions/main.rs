//! How many instructions a claim and its settlement cost in the model of the queue, counted by callgrind: the same on every
//! machine, for one compiler. `./just bench-instructions` fails when it is more than the budget.
//!
//! The queue's Lua carries out the same rules step for step, so a rule that looks at more than it has to shows here as well. Two
//! counts that differ only in the number of claims leave nothing else in their difference.

#[path = "../pure/model.rs"]
mod model;

use std::process::Command;

use anyhow::{Context as _, ensure};

use self::model::Model;

/// Channels, jobs of each, and the instructions that a job may cost.
const BUDGETS: [(u128, i64, u64); 3] = [(1, 1_000_000, 3_500), (100, 2_000, 4_900), (10_000, 100, 5_700)];
const ROUNDS: u64 = 200;
const JOBS_OF_A_ROUND: u64 = 64;

#[expect(clippy::print_stdout, reason = "what was counted is what it is for")]
fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<i64> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if let [channels, jobs_each, rounds] = numbers[..] {
        work(u128::try_from(channels)?, jobs_each, rounds);
        return Ok(());
    }
    let mut over = Vec::new();
    for (channels, jobs_each, budget) in BUDGETS {
        let difference = counted(channels, jobs_each, ROUNDS * 2)? - counted(channels, jobs_each, ROUNDS)?;
        let per_job = difference / (ROUNDS * JOBS_OF_A_ROUND);
        let told = format!("{channels} channels of {jobs_each} jobs: {per_job} instructions for a job, of {budget}");
        println!("{told}");
        if per_job > budget {
            over.push(told);
        }
    }
    ensure!(over.is_empty(), "over the budget: {}", over.join("; "));
    Ok(())
}

fn work(channels: u128, jobs_each: i64, rounds: i64) {
    let mut model = Model::of(channels, jobs_each);
    for _ in 0..rounds {
        model.round();
    }
}

/// Instructions of this program with so many rounds, by callgrind.
fn counted(channels: u128, jobs_each: i64, rounds: u64) -> anyhow::Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(std::env::current_exe()?);
    valgrind.args([channels.to_string(), jobs_each.to_string(), rounds.to_string()]);
    let output = valgrind.output().context("cannot run valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "valgrind: {said}");
    let line = said.lines().find_map(|line| line.split_once("Collected : "));
    line.and_then(|(_, count)| count.trim().parse().ok()).with_context(|| format!("valgrind counts nothing: {said}"))
}
