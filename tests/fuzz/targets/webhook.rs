//! Webhooks of gateways, whole or broken.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sincro_providers::fuzz::read_webhook(input));
