//! Answers of scripts.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sincro_queue::fuzz::read_answer(input));
