//! The book: the documents that `docs/SUMMARY.md` lists, and what they link to, as they lie in the project.
//!
//! mdBook wants its summary at the top of one directory, and ours lists documents beside `docs`, such as the
//! specification. So what the book needs is copied into a directory of its own, each file at its place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use mdbook_driver::MDBook;
use mdbook_driver::config::Config;

use crate::links;

const SUMMARY: &str = "docs/SUMMARY.md";
const CONFIG: &str = "docs/book.toml";

/// Writes the book to `output` and returns the number of its chapters.
///
/// # Errors
/// A chapter that links to a document which is no chapter would link to nothing in the book.
pub(crate) fn build(root: &Path, output: &Path) -> Result<usize> {
    let summary = std::fs::read_to_string(root.join(SUMMARY)).context(SUMMARY)?;
    let mut config = Config::from_disk(root.join(CONFIG))?;
    let chapters = chapters(&summary)?;
    let stage = tempfile::tempdir()?;
    let mut needed: BTreeSet<PathBuf> = chapters.iter().cloned().collect();
    needed.extend(config.html_config().unwrap_or_default().additional_css);
    for chapter in &chapters {
        needed.extend(linked_files(root, chapter, &chapters)?);
    }
    for path in &needed {
        let to = stage.path().join(path);
        std::fs::create_dir_all(to.parent().context("a place")?)?;
        std::fs::copy(root.join(path), to).with_context(|| path.display().to_string())?;
    }
    let moved = summary.replace("](", "](docs/").replace("](docs/../", "](");
    std::fs::write(stage.path().join("SUMMARY.md"), moved)?;
    config.book.src = PathBuf::new();
    config.build.build_dir = output.to_owned();
    MDBook::load_with_config(stage.path(), config)?.build()?;
    // mdBook puts the first chapter here too, from where its links would lead nowhere.
    let first = chapters.first().context("chapters")?.with_extension("html");
    let first = first.display();
    let page = format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"refresh\" content=\"0; url={first}\">\n\
         <a href=\"{first}\">Senda</a>\n"
    );
    std::fs::write(output.join("index.html"), page)?;
    Ok(chapters.len())
}

/// The documents of the book, in its order, by their paths from the root.
fn chapters(summary: &str) -> Result<Vec<PathBuf>> {
    let links = links::read(summary).links.into_iter();
    let paths = links.map(|(line, link)| {
        let path = links::resolve(Path::new(SUMMARY), &link);
        path.with_context(|| format!("{SUMMARY}:{line}: {link}"))
    });
    paths.collect()
}

/// Files that a chapter links to, other chapters aside.
fn linked_files(root: &Path, chapter: &Path, chapters: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let text = std::fs::read_to_string(root.join(chapter))
        .with_context(|| chapter.display().to_string())?;
    let mut files = Vec::new();
    // The handout stays as it was given, and its figure was never given.
    if chapter.starts_with("docs/lab/handout") {
        return Ok(files);
    }
    for (line, link) in links::read(&text).links {
        let at = || format!("{}:{line}: {link}", chapter.display());
        let path = links::resolve(chapter, &link).with_context(at)?;
        if chapters.contains(&path) {
            continue;
        }
        let is_page = path.extension().is_some_and(|extension| extension == "md");
        ensure!(!is_page, "{}: not in {SUMMARY}, so the book doesn't have it", at());
        ensure!(root.join(&path).is_file(), "{}: a book can't link to a directory", at());
        files.push(path);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a place")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    }

    #[test]
    fn a_book_has_its_chapters_and_the_files_they_link_to() {
        let room = tempfile::tempdir().expect("a directory");
        let (root, output) = (room.path().join("root"), room.path().join("output"));
        write(&root, CONFIG, "[book]\ntitle = \"T\"\n[build]\nuse-default-preprocessors = false\n");
        write(&root, SUMMARY, "# S\n\n- [One](README.md)\n- [Two](../spec/two.md)\n");
        write(&root, "docs/README.md", "# One\n\n[t](../spec/two.md#b) [f](../a.py)\n");
        write(&root, "spec/two.md", "# Two\n\n## B\n");
        write(&root, "a.py", "pass\n");
        assert_eq!(build(&root, &output).expect("a book"), 2);
        let page = std::fs::read_to_string(output.join("docs/README.html")).expect("a page");
        assert!(page.contains("href=\"../spec/two.html#b\""), "{page}");
        assert!(output.join("spec/two.html").is_file() && output.join("a.py").is_file());
        let index = std::fs::read_to_string(output.join("index.html")).expect("a page");
        assert!(index.contains("url=docs/README.html"), "{index}");

        write(&root, "docs/README.md", "[x](three.md)\n");
        let error = build(&root, &output).expect_err("no such chapter").to_string();
        assert!(error.contains("docs/README.md:1: three.md: not in docs/SUMMARY.md"), "{error}");
        write(&root, "docs/README.md", "[x](../spec)\n");
        let error = build(&root, &output).expect_err("a directory").to_string();
        assert!(error.contains("can't link to a directory"), "{error}");
    }
}
