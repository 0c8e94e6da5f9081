//! The system from outside.
fn main() {}
