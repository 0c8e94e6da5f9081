//! The table for people who watch: columns under each other.

use super::Measured;
use crate::{line::number, stats::Spread};

const HEADINGS: [&str; 6] = ["figure", "ours", "beside it", "ratio", "mark", ""];

/// A table of all lines.
pub(super) fn of(lines: &[Measured]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(lines.iter().map(cells));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 6] = std::array::from_fn(width);
    let padded = |row: &[String; 6]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(padded).collect::<Vec<_>>().join("\n")
}

/// The cells of a line; also those of the published table.
pub(super) fn cells(line: &Measured) -> [String; 6] {
    let beside =
        line.peer.as_ref().zip(line.theirs.as_ref()).map(|(peer, theirs)| format!("{peer}: {}", spread(theirs)));
    let verdict = match line.reached {
        Some(true) => "reached",
        Some(false) => "missed",
        None => "",
    };
    [
        line.name.clone(),
        format!("{} {}", spread(&line.ours), line.unit).trim_end().to_owned(),
        beside.unwrap_or_default(),
        line.ratio.as_ref().map(spread).unwrap_or_default(),
        line.mark.to_string(),
        verdict.to_owned(),
    ]
}

/// `61,200 (58,000–63,100)`.
fn spread(spread: &Spread) -> String {
    if spread.runs.len() < 2 {
        return number(spread.median);
    }
    format!("{} ({}–{})", number(spread.median), number(spread.min), number(spread.max))
}
