//! What comes from outside in short texts, given to their readers: for the fuzzers in `tests/fuzz`, which bring the bytes.

use crate::{
    address::{Address, AddressKind},
    job::Step,
    limit::Match,
    notice::Entry,
};

/// Reads the bytes as an address: what it is normalised to is an address that stays as it is.
pub fn read_address(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(address) = text.parse::<Address>() else { return };
    assert_eq!(address.as_str().parse().as_ref(), Ok(&address));
    let kinds = AddressKind::ALL.iter().filter(|kind| Address::parse_as(**kind, text).is_ok());
    assert_eq!(kinds.copied().collect::<Vec<_>>(), [address.kind()]);
}

/// Reads the bytes as what rules of `/v1/limits` are about, and as what the ledger keeps in JSON: what is written again means
/// the same.
pub fn read_words(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if let Ok(matches) = text.parse::<Match>() {
        assert_eq!(matches.to_string().parse().as_ref(), Ok(&matches));
    }
    if let Ok(step) = serde_json::from_str::<Step>(text) {
        let written = serde_json::to_value(&step).expect("a step can be written");
        assert_eq!(serde_json::from_value::<Step>(written).ok(), Some(step));
    }
    if let Ok(entries) = serde_json::from_str::<Vec<Entry>>(text) {
        let written = serde_json::to_value(&entries).expect("entries can be written");
        assert_eq!(serde_json::from_value::<Vec<Entry>>(written).ok(), Some(entries));
    }
}

#[cfg(test)]
mod tests {
    include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/seeds.rs"));

    #[test]
    fn every_seed_of_address_is_read_without_harm() {
        for seed in seeds("address") {
            super::read_address(&seed);
        }
    }

    #[test]
    fn every_seed_of_words_is_read_without_harm() {
        for seed in seeds("words") {
            super::read_words(&seed);
        }
    }
}
