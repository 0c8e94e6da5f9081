//! The page docs/performance.md: what stands between its markers is made from what was measured.

use std::{collections::BTreeSet, fmt::Write as _};

use anyhow::Context as _;

use super::{Report, table};

/// The page with everything between its markers put anew.
pub(super) fn filled(page: &str, report: &Report) -> anyhow::Result<String> {
    let page = between(page, "figures", &figures(report))?;
    between(&page, "machine", &machine(report))
}

fn between(page: &str, name: &str, text: &str) -> anyhow::Result<String> {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = page.split_once(&begin).with_context(|| format!("the page has no {begin}"))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("the page has no {end}"))?;
    Ok(format!("{before}{begin}{text}{end}{after}"))
}

fn figures(report: &Report) -> String {
    let mut text = "| figure | ours | beside it | ratio | mark | |\n|---|---|---|---|---|---|\n".to_owned();
    for line in &report.lines {
        let _ = writeln!(text, "| {} |", table::cells(line).join(" | "));
    }
    text
}

fn machine(report: &Report) -> String {
    let machine = &report.machine;
    let mut rows = vec![
        ("processor".to_owned(), format!("{}, {} cores", machine.processor, machine.cores)),
        ("memory".to_owned(), format!("{} GB", machine.memory_gb)),
        ("system".to_owned(), machine.system.clone()),
    ];
    rows.extend(machine.versions.clone());
    rows.extend(machine.settings.clone());
    rows.extend(report.best.iter().map(|(who, effort)| (format!("{who} at its best"), effort.clone())));
    let runs: BTreeSet<usize> = report.lines.iter().map(|line| line.ours.runs.len()).collect();
    let runs: Vec<String> = runs.iter().map(ToString::to_string).collect();
    rows.push(("runs".to_owned(), runs.join(", ")));
    let commits: BTreeSet<&str> = report.lines.iter().map(|line| line.commit.as_str()).collect();
    rows.push(("commits".to_owned(), commits.into_iter().collect::<Vec<_>>().join(", ")));
    let mut text = "| | |\n|---|---|\n".to_owned();
    for (name, value) in rows {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text
}
