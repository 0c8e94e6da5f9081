/// The seeds of a fuzzer, and whatever it once found. Included by the tests beside each reader.
fn seeds(fuzzer: &str) -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds").join(fuzzer);
    let files = std::fs::read_dir(folder).unwrap();
    let seeds: Vec<_> = files.map(|seed| std::fs::read(seed.unwrap().path()).unwrap()).collect();
    assert!(!seeds.is_empty());
    seeds
}
