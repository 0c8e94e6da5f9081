//! Columns under headings, and the fields of one record under each other.

use serde_json::{Map, Value};

use super::{NOTHING, one_line, shown};

const GAP: &str = "  ";

/// Rows under headings; columns are as wide as their widest cell, and the last one runs free.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with no rows yet.
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// One row per JSON object; each column is a heading and the JSON pointer to its value.
    pub(crate) fn of(items: &[Value], columns: &[(&'static str, &str)]) -> Self {
        let headings: Vec<_> = columns.iter().map(|(heading, _)| *heading).collect();
        let mut table = Self::new(&headings);
        for item in items {
            let cell = |pointer: &str| item.pointer(pointer).map_or_else(|| NOTHING.to_owned(), shown);
            table.row(columns.iter().map(|(_, pointer)| cell(pointer)).collect());
        }
        table
    }

    /// Adds a row; it has as many cells as there are headings.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.headings.len());
        self.rows.push(cells.into_iter().map(|cell| one_line(&cell)).collect());
    }

    /// Numbers stand under each other by their last digit.
    fn is_numeric(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().map(|row| row[column].as_str()).filter(|cell| *cell != NOTHING).peekable();
        cells.peek().is_some() && cells.all(|cell| cell.parse::<f64>().is_ok())
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let last = self.headings.len().saturating_sub(1);
        let widths: Vec<usize> = (0..self.headings.len())
            .map(|column| {
                let cells = self.rows.iter().map(|row| row[column].chars().count());
                cells.chain([self.headings[column].len()]).max().unwrap_or(0)
            })
            .collect();
        let numeric: Vec<bool> = (0..self.headings.len()).map(|column| self.is_numeric(column)).collect();
        let headings: Vec<String> = self.headings.iter().map(|heading| (*heading).to_owned()).collect();
        for (number, row) in std::iter::once(&headings).chain(&self.rows).enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            for (column, cell) in row.iter().enumerate() {
                let width = widths[column];
                match (numeric[column], column == last) {
                    (true, _) => write!(f, "{cell:>width$}")?,
                    (false, true) => f.write_str(cell)?,
                    (false, false) => write!(f, "{cell:<width$}")?,
                }
                f.write_str(if column == last { "" } else { GAP })?;
            }
        }
        Ok(())
    }
}

/// The fields of a JSON object under each other: those named first in that order, then the rest; nested ones with dots.
pub(crate) fn record(object: &Value, first: &[&str]) -> String {
    let mut fields = Vec::new();
    flatten("", object, &mut fields);
    let rank = |name: &str| first.iter().position(|known| *known == name).unwrap_or(first.len());
    fields.sort_by_key(|(name, _)| rank(name));
    let width = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines: Vec<_> = fields.iter().map(|(name, value)| format!("{name:<width$}{GAP}{}", one_line(value))).collect();
    lines.join("\n")
}

fn flatten(prefix: &str, value: &Value, fields: &mut Vec<(String, String)>) {
    match value {
        Value::Object(object) if !object.is_empty() => flatten_all(prefix, object, fields),
        Value::Object(_) => fields.push((prefix.to_owned(), NOTHING.to_owned())),
        other => fields.push((prefix.to_owned(), shown(other))),
    }
}

fn flatten_all(prefix: &str, object: &Map<String, Value>, fields: &mut Vec<(String, String)>) {
    for (name, value) in object {
        let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        flatten(&name, value, fields);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_line_up_and_numbers_stand_to_the_right() {
        let items =
            [json!({"name": "Zoë", "jobs": {"total": 5}}), json!({"name": "support line", "jobs": {"total": 2000}})];
        let table = Table::of(&items, &[("NAME", "/name"), ("JOBS", "/jobs/total"), ("WHY", "/why")]);
        assert_eq!(table.to_string(), "NAME          JOBS  WHY\nZoë              5  -\nsupport line  2000  -");
    }

    #[test]
    fn a_table_without_rows_is_its_headings() {
        assert_eq!(Table::new(&["ID", "NAME"]).to_string(), "ID  NAME");
    }

    #[test]
    fn a_cell_with_line_breaks_stays_in_its_row() {
        let mut table = Table::new(&["TEXT"]);
        table.row(vec!["one\ntwo".to_owned()]);
        assert_eq!(table.to_string(), "TEXT\none two");
    }

    #[test]
    fn a_record_begins_with_what_matters_and_shows_everything() {
        let object = json!({"a": 1, "limit": {"burst": 1, "rate": 2.5}, "id": "x", "empty": {}});
        assert_eq!(
            record(&object, &["id", "limit.rate"]),
            "id           x\nlimit.rate   2.5\na            1\nempty        -\nlimit.burst  1"
        );
    }
}
