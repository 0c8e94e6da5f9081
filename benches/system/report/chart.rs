//! The chart: every line with a mark, ours and whoever is beside it as bars to one scale, the mark as a stroke.

use std::fmt::Write as _;

use super::Measured;
use crate::line::{Mark, number};

const WIDTH: f64 = 985.0;
const LEFT: f64 = 385.0;
const BARS: f64 = 420.0;
const BAR: f64 = 14.0;
const ROW: f64 = 50.0;
const TOP: f64 = 40.0;

/// An SVG of all lines with a mark.
pub(super) fn of(lines: &[Measured]) -> String {
    let lines: Vec<&Measured> =
        lines.iter().filter(|line| line.mark != Mark::Told && line.mark != Mark::Never).collect();
    let height = lines.iter().fold(TOP, |height, _| height + ROW);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" fill=\"#555555\">medians; blue: Sincro, grey: beside it, stroke: the mark</text>\n"
    );
    let mut y = TOP;
    for line in lines {
        row(&mut svg, line, y);
        y += ROW;
    }
    svg + "</svg>\n"
}

fn row(svg: &mut String, line: &Measured, y: f64) {
    let theirs = line.theirs.as_ref().map(|theirs| theirs.median);
    let mark = match line.mark {
        Mark::TimesAtLeast(times) | Mark::TimesAtMost(times) => theirs.map(|theirs| theirs * times),
        Mark::AtLeast(value) | Mark::AtMost(value) => Some(value),
        Mark::Never | Mark::Told => None,
    };
    let most = [Some(line.ours.median), theirs, mark].into_iter().flatten().fold(f64::MIN_POSITIVE, f64::max);
    let length = |value: f64| BARS * value / most;
    let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>", LEFT - 12.0, y + 16.0, line.name);
    bar(svg, y, length(line.ours.median), "#2f6fb5", &format!("{} {}", number(line.ours.median), line.unit));
    if let (Some(theirs), Some(peer)) = (theirs, &line.peer) {
        bar(svg, y + BAR + 3.0, length(theirs), "#b0b7bf", &format!("{} {peer}", number(theirs)));
    }
    if let Some(mark) = mark {
        let x = LEFT + length(mark);
        let color = if line.reached == Some(true) { "#2e7d32" } else { "#c62828" };
        let (from, to) = (y - 3.0, y + BAR * 2.0 + 6.0);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{from}\" x2=\"{x:.1}\" y2=\"{to}\" stroke=\"{color}\" stroke-width=\"2\"/>"
        );
    }
}

fn bar(svg: &mut String, y: f64, length: f64, color: &str, text: &str) {
    let _ = writeln!(svg, "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" fill=\"{color}\"/>");
    let (x, base) = (LEFT + length + 6.0, y + BAR - 2.0);
    let _ =
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{base}\" font-size=\"11\" fill=\"#333333\">{}</text>", text.trim_end());
}
