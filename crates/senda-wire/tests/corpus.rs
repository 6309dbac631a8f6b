//! Replays the fuzzing corpus (`fuzz/corpus`) with the fuzz targets' own function bodies.

#[path = "../../../fuzz/targets.rs"]
mod targets;

use std::path::Path;

/// Spec §5.26: no bytes make the codec panic, and what decodes encodes to the same bytes.
#[test]
fn frames_of_the_corpus_are_safe() {
    replay("frame", targets::frame);
}

/// Spec §4.2: a description is taken whole or refused.
#[test]
fn schemas_of_the_corpus_are_safe() {
    replay("schema", targets::schema);
}

/// Spec §5.7a: rows that are taken can be read.
#[test]
fn rows_of_the_corpus_are_safe() {
    replay("rows", targets::rows);
}

/// Each input as it is, and cut at every place, and with each byte changed once.
fn replay(target: &str, run: impl Fn(&[u8])) {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus")).join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&dir).unwrap() {
        let mut input = std::fs::read(entry.unwrap().path()).unwrap();
        run(&input);
        for at in 0..input.len() {
            run(&input[..at]);
            for change in [0x01, 0x80, 0xFF] {
                input[at] ^= change;
                run(&input);
                input[at] ^= change;
            }
        }
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", dir.display());
}
