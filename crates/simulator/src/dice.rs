//! Seeded randomness that does not depend on who asks first.
//!
//! Every draw starts from a seed and the name of what is drawn, never from a generator that calls share; asking for person
//! 900 before person 3 changes nothing. Not for secrets.

use rand::{SeedableRng, rngs::StdRng};

/// What a draw is for, so that two purposes with the same seed stay unrelated.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Identity = 1,
    Messages,
    Fault,
    Latency,
    Channel,
    HookFault,
    Older,
}

/// A generator for one purpose, one thing and, where a thing has several, one part of it.
pub(crate) fn roll(seed: u64, purpose: Purpose, thing: u64, part: u64) -> StdRng {
    StdRng::seed_from_u64(number(seed, purpose, thing, part))
}

/// One number for one purpose, thing and part.
pub(crate) fn number(seed: u64, purpose: Purpose, thing: u64, part: u64) -> u64 {
    [purpose as u64, thing, part].into_iter().fold(seed, |sum, next| scramble(sum ^ scramble(next)))
}

/// Mixes all bits of a number; two different numbers never give the same result (the `SplitMix64` finalizer).
pub(crate) fn scramble(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The number that was scrambled into this one.
pub(crate) fn unscramble(mixed: u64) -> u64 {
    // The steps backwards; each factor is the inverse of the other's modulo 2^64.
    let mut number = mixed ^ (mixed >> 31) ^ (mixed >> 62);
    number = number.wrapping_mul(0x3196_42B2_D24D_8EC3);
    number = number ^ (number >> 27) ^ (number >> 54);
    number = number.wrapping_mul(0x96DE_1B17_3F11_9089);
    number = number ^ (number >> 30) ^ (number >> 60);
    number.wrapping_sub(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_scrambled_is_found_again() {
        for number in [0, 1, 7, u64::MAX, 0x0123_4567_89AB_CDEF, 1 << 63] {
            assert_eq!(unscramble(scramble(number)), number);
        }
    }
}
