//! The test vectors of spec/vectors, as raw material. Spec §17.

use std::path::Path;

/// One case.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Case {
    #[expect(dead_code, reason = "shown when a test fails")]
    name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) from: String,
    pub(crate) valid: bool,
    #[serde(default)]
    pub(crate) error: String,
    #[serde(default)]
    schema: String,
    hex: String,
}

#[derive(serde::Deserialize)]
struct File {
    case: Vec<Case>,
}

impl Case {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        from_hex(&self.hex)
    }

    pub(crate) fn hex(&self) -> &str {
        &self.hex
    }

    /// The description that data messages refer to; empty for others.
    pub(crate) fn schema(&self) -> Vec<u8> {
        from_hex(&self.schema)
    }
}

/// The cases of one file.
pub(crate) fn read(file: &str) -> Vec<Case> {
    let path = directory().join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    toml::from_str::<File>(&text).unwrap_or_else(|error| panic!("{path:?}: {error}")).case
}

/// The cases of all files.
pub(crate) fn all() -> Vec<Case> {
    let entries = std::fs::read_dir(directory()).expect("spec/vectors");
    let names =
        entries.map(|entry| entry.expect("a file").file_name().into_string().expect("text"));
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".toml")).collect();
    names.sort_unstable();
    names.iter().flat_map(|name| read(name)).collect()
}

fn directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors")
}

fn from_hex(hex: &str) -> Vec<u8> {
    let byte = |pair: &str| u8::from_str_radix(pair, 16).expect("hex");
    (0..hex.len()).step_by(2).map(|at| byte(&hex[at..at + 2])).collect()
}
