//! Numbers in the order of their texts, which is how Redis orders members of equal score.

/// Sorts as its decimal text does: 10 before 9, and whatever is below zero before all else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text {
    /// A minus sign sorts before every digit.
    positive: bool,
    /// The digits, filled up with zeros on the right.
    digits: u64,
    /// Of texts that differ in such zeros alone the shorter one comes first.
    length: u32,
}

/// An i64 has at most so many digits.
const LONGEST: u32 = 19;

impl From<i64> for Text {
    fn from(number: i64) -> Self {
        let size = number.unsigned_abs();
        let length = size.checked_ilog10().unwrap_or(0) + 1;
        Self { positive: number >= 0, digits: size * 10_u64.pow(LONGEST - length), length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sort_as_their_texts_do() {
        let mut numbers = vec![0, 1, 9, 10, 11, 19, 100, 101, 99, 2, 20, -1, -10, -2, i64::MAX, i64::MIN, 922];
        let mut texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        texts.sort();
        numbers.sort_by_key(|number| Text::from(*number));
        assert_eq!(numbers.iter().map(ToString::to_string).collect::<Vec<_>>(), texts);
    }
}
