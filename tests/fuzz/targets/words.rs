//! What rules are about, and what the ledger keeps in JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sincro_core::fuzz::read_words(input));
