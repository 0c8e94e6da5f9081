//! An address, and what it is normalised to.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sincro_core::fuzz::read_address(input));
