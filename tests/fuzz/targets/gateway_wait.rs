//! The wait that a gateway asks for.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sincro_providers::fuzz::read_wait(input));
