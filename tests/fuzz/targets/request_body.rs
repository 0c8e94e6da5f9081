//! Bodies of requests.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sincro_api::fuzz::read_body(input));
