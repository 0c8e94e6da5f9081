//! What Redis could answer, given to the readers of it: for the fuzzers in `tests/fuzz`, which bring the bytes.

use crate::{Turns, apply, claim, fields::Fields, settle};

/// Reads the bytes behind the first one, in the wire format of Redis, as the answer of the script that the first one names.
pub fn read_answer(input: &[u8]) {
    let Some((script, answer)) = input.split_first() else { return };
    let Ok(answer) = redis::parse_redis_value(answer) else { return };
    match script % 5 {
        0 => drop(claim::read(answer)),
        1 => drop(settle::read(answer)),
        2 => drop(apply::read(answer)),
        3 => {
            let Ok(entries) = redis::from_redis_value::<Vec<String>>(answer) else { return };
            drop(Turns::of(&entries));
        }
        _ => {
            let Ok(fields) = redis::from_redis_value::<Vec<String>>(answer) else { return };
            let fields = Fields(fields);
            if let Ok(level) = fields.level() {
                drop(fields.waits_for(&level, &level));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/seeds.rs"));

    #[test]
    fn every_seed_of_queue_answer_is_read_without_harm() {
        for seed in seeds("queue_answer") {
            super::read_answer(&seed);
        }
    }
}
