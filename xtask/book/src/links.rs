//! Links of Markdown documents to files of the project and their headings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, ensure};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Directories whose documents are checked, with those below.
const DIRECTORIES: [&str; 4] = ["docs", "spec", "clients", "crates"];
/// Not ours to mend: it stays as it was given.
const HANDOUT: &str = "docs/lab/handout/practica1.md";

/// A document, as far as links go.
pub(crate) struct Document {
    /// Line and target, as written.
    pub(crate) links: Vec<(usize, String)>,
    /// What `#name` can be.
    anchors: BTreeSet<String>,
}

/// Checks every document and returns how many links were followed.
///
/// # Errors
/// Lists every link that leads nowhere, by file and line.
pub(crate) fn check(root: &Path) -> Result<usize> {
    let documents = documents(root)?;
    let mut count = 0;
    let mut mistakes = Vec::new();
    for (path, document) in &documents {
        for (line, link) in &document.links {
            count += 1;
            if let Some(mistake) = mistake(root, &documents, path, link) {
                mistakes.push(format!("{}:{line}: {link}: {mistake}", path.display()));
            }
        }
    }
    ensure!(mistakes.is_empty(), "links that lead nowhere:\n{}", mistakes.join("\n"));
    Ok(count)
}

/// Every document that is checked, by its path from the root.
pub(crate) fn documents(root: &Path) -> Result<BTreeMap<PathBuf, Document>> {
    let mut paths = Vec::new();
    list(root, Path::new(""), false, &mut paths)?;
    for directory in DIRECTORIES {
        list(root, Path::new(directory), true, &mut paths)?;
    }
    let documents = paths.into_iter().map(|path| {
        let text = std::fs::read_to_string(root.join(&path))?;
        Ok((path, read(&text)))
    });
    documents.collect()
}

fn list(root: &Path, directory: &Path, below: bool, paths: &mut Vec<PathBuf>) -> Result<()> {
    let full = root.join(directory);
    for entry in std::fs::read_dir(&full).with_context(|| full.display().to_string())? {
        let entry = entry?;
        let path = directory.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if below && entry.file_name() != "target" {
                list(root, &path, below, paths)?;
            }
        } else if path.extension().is_some_and(|it| it == "md") && path != Path::new(HANDOUT) {
            paths.push(path);
        }
    }
    Ok(())
}

/// Links and headings of a text. Links to other places of the net are left out.
pub(crate) fn read(text: &str) -> Document {
    let mut document = Document { links: Vec::new(), anchors: BTreeSet::new() };
    let mut heading: Option<String> = None;
    let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_GFM;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. })
                if !dest_url.contains(':') =>
            {
                let line = text[..range.start].matches('\n').count() + 1;
                document.links.push((line, dest_url.to_string()));
            }
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(text) | Event::Code(text) => {
                heading.iter_mut().for_each(|heading| heading.push_str(&text));
            }
            Event::End(TagEnd::Heading(_)) => {
                let name = anchor(&heading.take().unwrap_or_default());
                let again = (1..).map(|number| format!("{name}-{number}"));
                let mut names = std::iter::once(name.clone()).chain(again);
                let free = names.find(|name| !document.anchors.contains(name));
                document.anchors.extend(free);
            }
            _ => {}
        }
    }
    document
}

/// What forges and mdBook alike make of a heading.
fn anchor(heading: &str) -> String {
    let characters = heading.trim().chars().filter_map(|c| match c {
        _ if c.is_whitespace() => Some('-'),
        _ if c.is_alphanumeric() || c == '_' || c == '-' => Some(c),
        _ => None,
    });
    characters.flat_map(char::to_lowercase).collect()
}

fn mistake(
    root: &Path,
    documents: &BTreeMap<PathBuf, Document>,
    from: &Path,
    link: &str,
) -> Option<String> {
    let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
    let Some(path) = resolve(from, target) else { return Some("leaves the project".into()) };
    if !root.join(&path).exists() {
        return Some(format!("there is no {}", path.display()));
    }
    let has = |name| documents.get(&path).is_some_and(|it: &Document| it.anchors.contains(name));
    (!anchor.is_empty() && !has(anchor)).then(|| format!("no heading there is #{anchor}"))
}

/// The path from the root that a link of a document means.
pub(crate) fn resolve(from: &Path, target: &str) -> Option<PathBuf> {
    let target = target.split_once('#').map_or(target, |(target, _)| target);
    if target.is_empty() {
        return Some(from.to_owned());
    }
    let mut path = from.parent()?.to_owned();
    for component in Path::new(target).components() {
        match component {
            Component::ParentDir => path.pop().then_some(())?,
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_a_file_and_a_heading_or_is_a_mistake() {
        let room = tempfile::tempdir().expect("a directory");
        for directory in DIRECTORIES {
            std::fs::create_dir(room.path().join(directory)).expect("a directory");
        }
        std::fs::write(room.path().join("spec/one.md"), "# ¿Qué es `struct`?\n\n## A\n\n## A\n")
            .expect("a file");
        let there = "[a](../spec/one.md) [b](../spec/one.md#qué-es-struct) [c](../spec/one.md#a-1) [d](#mine) [e](../spec)\n\n# Mine\n";
        std::fs::write(room.path().join("docs/two.md"), there).expect("a file");
        assert_eq!(check(room.path()).expect("all are there"), 5);
        for (wrong, why) in [
            ("[x](../spec/on.md)", "docs/two.md:3: ../spec/on.md: there is no spec/on.md"),
            ("[x](../spec/one.md#a-2)", "no heading there is #a-2"),
            ("[x](#A)", "no heading"),
            ("[x](../../etc)", "leaves the project"),
            ("![x](no.png)", "there is no docs/no.png"),
            ("[x]\n\n[x]: no.md", "there is no docs/no.md"),
        ] {
            std::fs::write(room.path().join("docs/two.md"), format!("# Two\n\n{wrong}\n"))
                .expect("a file");
            let error = check(room.path()).expect_err(wrong).to_string();
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }
}
