//! A chapter, as what it asks to be done.

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// One thing after the other.
#[derive(Debug)]
pub(crate) enum Item {
    /// Save `text` as a file of the session.
    File { name: String, text: String },
    /// Copy a file of the project into the session's directory.
    Copy { path: String },
    /// Save a Python program of the handout, the first being 1.
    Handout { number: usize, name: String },
    /// Run commands.
    Block(Block),
}

/// A block of commands and what they print.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// Of the file, counted from 1.
    pub(crate) line: usize,
    pub(crate) terminal: Option<String>,
    pub(crate) ready: Option<Ready>,
    pub(crate) exit: i32,
    pub(crate) any_spaces: bool,
    pub(crate) skip: Option<String>,
    pub(crate) varies: Vec<Varies>,
    /// Output before the first command: of what already runs in the terminal.
    pub(crate) before: Vec<String>,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) command: String,
    pub(crate) output: Vec<String>,
}

/// A port that somebody must have before the next block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ready {
    Tcp(u16),
    Udp(u16),
}

/// A text that stands for what is different every time.
#[derive(Clone, Debug)]
pub(crate) struct Varies {
    pub(crate) text: String,
    pub(crate) regex: String,
    /// Every place may have another value.
    pub(crate) anew: bool,
}

/// Reads a chapter. The error says where.
pub(crate) fn read(markdown: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let mut note = None;
    let mut code: Option<(String, String)> = None;
    let mut comment = String::new();
    for (event, range) in Parser::new_ext(markdown, Options::all()).into_offset_iter() {
        let line = line_of(markdown, &range);
        let at = |error: String| format!("line {line}: {error}");
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                let language = match kind {
                    CodeBlockKind::Fenced(language) => language.to_string(),
                    CodeBlockKind::Indented => String::new(),
                };
                code = Some((language, String::new()));
            }
            Event::Text(text) if code.is_some() => {
                code.as_mut().expect("just seen").1.push_str(&text);
            }
            Event::End(TagEnd::CodeBlock) => {
                let (language, text) = code.take().expect("it began");
                items.extend(item(&language, text, note.take(), line).map_err(at)?);
            }
            Event::Start(Tag::HtmlBlock) => comment.clear(),
            Event::Html(html) => comment.push_str(&html),
            Event::End(TagEnd::HtmlBlock) => {
                let Some(found) = Note::read(&comment).map_err(at)? else { continue };
                if let Some(item) = found.alone().map_err(at)? {
                    items.push(item);
                } else if note.replace(found).is_some() {
                    return Err(at("a comment before another, for the same block".into()));
                }
            }
            _ if code.is_none() && note.is_some() => {
                return Err(at("a comment that is not before a code block".into()));
            }
            _ => {}
        }
    }
    if note.is_some() { Err("a comment at the end, before no block".into()) } else { Ok(items) }
}

fn line_of(markdown: &str, range: &Range<usize>) -> usize {
    markdown[..range.start].matches('\n').count() + 1
}

/// What a code block asks for: most ask for nothing.
fn item(
    language: &str,
    text: String,
    note: Option<Note>,
    line: usize,
) -> Result<Option<Item>, String> {
    match (language, note) {
        ("console", None) => Ok(Some(Item::Block(block(&text, &[], line)?))),
        ("console", Some(note)) if note.word == "run" => {
            Ok(Some(Item::Block(block(&text, &note.lines, line)?)))
        }
        (_, Some(note)) if note.word == "file" && language != "console" => {
            let name = note.only_word()?;
            let first = text.lines().next().unwrap_or_default();
            if !first.contains(&name) {
                return Err(format!(
                    "readers don't see that this is {name}: say so in its first line"
                ));
            }
            Ok(Some(Item::File { name, text }))
        }
        (_, Some(note)) => Err(format!("`{}` before a block of `{language}`", note.word)),
        (_, None) => Ok(None),
    }
}

/// A comment of ours.
struct Note {
    word: String,
    lines: Vec<String>,
}

impl Note {
    const WORDS: [&str; 4] = ["run", "file", "copy", "handout"];

    /// `None` for what is not a comment. A comment of others is an error: it might be a misspelt one of ours.
    fn read(html: &str) -> Result<Option<Self>, String> {
        let Some(inner) = html.trim().strip_prefix("<!--") else { return Ok(None) };
        let inner =
            inner.strip_suffix("-->").ok_or("after a comment nothing follows in its line")?;
        let (word, rest) =
            inner.trim().split_once(char::is_whitespace).unwrap_or((inner.trim(), ""));
        if !Self::WORDS.contains(&word) {
            return Err(format!("a comment begins with one of {:?}, not {word:?}", Self::WORDS));
        }
        let lines = rest.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(Some(Self { word: word.into(), lines: lines.map(str::to_owned).collect() }))
    }

    /// What it asks for without a block.
    fn alone(&self) -> Result<Option<Item>, String> {
        match self.word.as_str() {
            "copy" => Ok(Some(Item::Copy { path: self.only_word()? })),
            "handout" => {
                let words = self.only_line()?;
                let (number, name) = words.split_once(' ').ok_or("handout NUMBER NAME")?;
                let number = number.parse().map_err(|error| format!("{number}: {error}"))?;
                Ok(Some(Item::Handout { number, name: name.trim().into() }))
            }
            _ => Ok(None),
        }
    }

    fn only_line(&self) -> Result<String, String> {
        match &self.lines[..] {
            [line] => Ok(line.clone()),
            _ => Err(format!("`{}` takes one line", self.word)),
        }
    }

    fn only_word(&self) -> Result<String, String> {
        let line = self.only_line()?;
        if line.contains(' ') { Err(format!("one name, not {line:?}")) } else { Ok(line) }
    }
}

/// Commands follow `$ `, and go on in lines that begin with `> `, as a shell shows it.
fn block(text: &str, notes: &[String], line: usize) -> Result<Block, String> {
    let mut block = Block { line, ..Block::default() };
    for note in notes {
        block.note(note)?;
    }
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            block.steps.push(Step { command: command.to_owned(), output: Vec::new() });
            continue;
        }
        match (block.steps.last_mut(), line.strip_prefix("> ")) {
            (Some(step), Some(more)) if step.output.is_empty() => {
                step.command.push('\n');
                step.command.push_str(more);
            }
            (Some(step), _) => step.output.push(line.to_owned()),
            (None, _) => block.before.push(line.to_owned()),
        }
    }
    if block.terminal.is_none() && !block.before.is_empty() {
        return Err(
            "output without a command, and without a terminal that something runs in".into()
        );
    }
    Ok(block)
}

impl Block {
    fn note(&mut self, note: &str) -> Result<(), String> {
        if let Some((text, kind)) = note.split_once(" ~ ") {
            self.varies.push(Varies::read(text, kind)?);
            return Ok(());
        }
        if let Some(reason) = note.strip_prefix("skip=") {
            self.skip = Some(reason.into());
            return Ok(());
        }
        for word in note.split_whitespace() {
            let (key, value) = word.split_once('=').ok_or_else(|| format!("{word:?}?"))?;
            match (key, value) {
                ("terminal", name) => self.terminal = Some(name.into()),
                ("ready", port) => self.ready = Some(Ready::read(port)?),
                ("exit", code) => {
                    self.exit = code.parse().map_err(|error| format!("{word}: {error}"))?;
                }
                ("spaces", "any") => self.any_spaces = true,
                _ => return Err(format!("{word:?} is nothing that a block can have")),
            }
        }
        Ok(())
    }
}

impl Ready {
    fn read(text: &str) -> Result<Self, String> {
        let (transport, port) = text.split_once(':').ok_or("ready=tcp:PORT")?;
        let port = port.parse().map_err(|error| format!("{port}: {error}"))?;
        match transport {
            "tcp" => Ok(Self::Tcp(port)),
            "udp" => Ok(Self::Udp(port)),
            _ => Err(format!("{transport:?} is neither tcp nor udp")),
        }
    }
}

impl Varies {
    fn read(text: &str, kind: &str) -> Result<Self, String> {
        let (kind, anew) = match kind.trim().strip_suffix(" anew") {
            Some(kind) => (kind.trim(), true),
            None => (kind.trim(), false),
        };
        let regex = match kind {
            "port" => r"\d{1,5}",
            "number" => r"\d+",
            "decimal" => r"-?\d+(?:[.,]\d+)?",
            "hex" => r"[0-9a-f]+",
            "time" => r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?",
            _ => kind
                .strip_prefix('/')
                .and_then(|kind| kind.strip_suffix('/'))
                .ok_or_else(|| format!("{kind:?} is no kind of text, and no /REGEX/"))?,
        };
        let groups = regex::Regex::new(regex).map_err(|error| error.to_string())?.captures_len();
        if groups > 1 {
            return Err(format!("{kind}: groups are written (?:...)"));
        }
        Ok(Self { text: text.trim().into(), regex: regex.into(), anew })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_commands_output_and_what_its_comment_says() {
        let items = read(
            "Text.\n\n<!-- run terminal=server ready=tcp:7 exit=1\n61 ~ port\n-->\n\n```console\nmore\n$ one \\\n>   two\n\
             out\n$ three\n```\n\n<!-- file a.py -->\n```python\n# a.py\n```\n<!-- copy a/b -->\n<!-- handout 2 c.py -->\n\nEnd.\n",
        )
        .expect("it is right");
        let [
            Item::Block(block),
            Item::File { name, text },
            Item::Copy { path },
            Item::Handout { .. },
        ] = &items[..]
        else {
            panic!("{items:?}")
        };
        assert_eq!((block.line, block.exit), (7, 1));
        assert_eq!((block.terminal.as_deref(), block.ready), (Some("server"), Some(Ready::Tcp(7))));
        assert_eq!(
            (block.varies[0].text.as_str(), &block.before[..]),
            ("61", &["more".into()][..])
        );
        assert_eq!(block.steps[0].command, "one \\\n  two");
        assert_eq!((&block.steps[0].output[..], block.steps.len()), (&["out".into()][..], 2));
        assert_eq!((name.as_str(), text.as_str(), path.as_str()), ("a.py", "# a.py\n", "a/b"));
    }

    #[test]
    fn what_would_be_overlooked_is_refused() {
        for (wrong, why) in [
            ("<!-- rum -->\n```console\n$ a\n```\n", "begins with one of"),
            ("<!-- run colour=red -->\n```console\n$ a\n```\n", "nothing that a block can have"),
            ("<!-- run\n6 ~ prot\n-->\n```console\n$ a\n```\n", "no kind of text"),
            ("<!-- run exit=1 -->\n\nText.\n", "not before a code block"),
            ("<!-- run exit=1 -->\n```python\npass\n```\n", "before a block of `python`"),
            ("<!-- file a.py -->\n```python\npass\n```\n", "in its first line"),
            ("```console\noutput alone\n```\n", "without a command"),
        ] {
            let error = read(wrong).expect_err(wrong);
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }
}
