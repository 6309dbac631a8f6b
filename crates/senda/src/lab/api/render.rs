//! A step as text for a terminal, or as one JSON object on a line.

use std::collections::BTreeSet;
use std::io::{Result, Write};

use serde_json::{Value as Json, json};
use unicode_width::UnicodeWidthStr;

use super::super::language::Language;
use super::super::sockets::diag::State;
use super::errno;
use super::kernel::{Seen, SeenSocket};
use super::programs::Code;
use super::reference::{self, Function};
use super::tour::{Chapter, Fact, Step};
use super::world::Protocol;
use crate::text::{Format, Paint, write_columns};

/// Lines are no longer, on whichever terminal.
const WIDTH: usize = 80;
/// Before code, and what was returned.
const INDENT: &str = "    ";
/// What is left for code.
#[cfg(test)]
pub(super) const CODE_WIDTH: usize = WIDTH - INDENT.len();

pub(super) struct Renderer<'a, W> {
    out: &'a mut W,
    language: Language,
    format: Format,
    code: &'static [Code],
    paint: Paint,
}

impl<'a, W: Write> Renderer<'a, W> {
    pub(super) const fn new(
        out: &'a mut W,
        language: Language,
        format: Format,
        code: &'static [Code],
        paint: Paint,
    ) -> Self {
        Self { out, language, format, code, paint }
    }

    /// A chapter with the titles of its steps.
    pub(super) fn contents(&mut self, chapter: &Chapter) -> Result<()> {
        let title = chapter.title.of(self.language);
        if self.format == Format::Json {
            let steps = chapter
                .steps
                .iter()
                .map(|step| json!({ "step": step.name, "title": step.title.of(self.language) }));
            let steps: Vec<Json> = steps.collect();
            let line = json!({ "chapter": chapter.name, "title": title, "steps": steps });
            return writeln!(self.out, "{line}");
        }
        writeln!(self.out, "{} {title}", self.paint.bold(&format!("{:<9}", chapter.name)))?;
        for (place, step) in chapter.steps.iter().enumerate() {
            writeln!(self.out, "{INDENT}{:>2}. {}", place + 1, step.title.of(self.language))?;
        }
        Ok(())
    }

    /// A function of the API.
    pub(super) fn function(&mut self, function: &Function) -> Result<()> {
        let text = function.text.of(self.language);
        if self.format == Format::Json {
            return writeln!(self.out, "{}", json!({ "function": function.name, "text": text }));
        }
        writeln!(self.out, "{}", self.paint.bold(&format!("{}()", function.name)))?;
        self.paragraph(text, INDENT)
    }

    pub(super) fn chapter(&mut self, chapter: &Chapter) -> Result<()> {
        if self.format == Format::Json {
            return Ok(());
        }
        let title = format!("{}: {}", chapter.name, chapter.title.of(self.language));
        let rule = "=".repeat(title.width());
        writeln!(self.out, "{}\n{rule}\n", self.paint.bold(&title))?;
        self.out.flush()
    }

    /// The step at `place` of its chapter: the calls, what they returned, what the kernel says.
    pub(super) fn step(
        &mut self,
        chapter: &Chapter,
        place: usize,
        returned: &[Fact],
        seen: &Seen,
    ) -> Result<()> {
        let step = &chapter.steps[place];
        if self.format == Format::Json {
            let line = self.json(chapter, step, returned, seen);
            writeln!(self.out, "{line}")?;
            return self.out.flush();
        }
        let (number, count) = (place + 1, chapter.steps.len());
        let title = step.title.of(self.language);
        let head = format!("{} {number}/{count} · {title}", chapter.name);
        writeln!(self.out, "{}", self.paint.bold(&head))?;
        self.paragraph(step.explanation.of(self.language), "")?;
        for function in step.introduces.iter().filter_map(|name| reference::find(name)) {
            writeln!(self.out)?;
            let text = format!("{}(): {}", function.name, function.text.of(self.language));
            self.paragraph(&text, "  ")?;
        }
        writeln!(self.out)?;
        for code in self.code {
            writeln!(self.out, "  {}", self.paint.dim(code.name()))?;
            for line in chapter.snippet(*code, step.name).lines() {
                writeln!(self.out, "{}", format!("{INDENT}{line}").trim_end())?;
            }
        }
        self.returned(returned)?;
        self.kernel(seen)?;
        writeln!(self.out)?;
        self.out.flush()
    }

    fn returned(&mut self, returned: &[Fact]) -> Result<()> {
        let heading = self.language.choose("Devolvió", "Returned");
        writeln!(self.out, "\n  {}", self.paint.dim(heading))?;
        let none = self.language.choose("  (en Python: None)", "  (in Python: None)");
        for fact in returned {
            let note = if matches!(fact, Fact::Done(_)) { none } else { "" };
            writeln!(self.out, "{INDENT}{}{note}", fact.line())?;
            if let Some((number, name, meaning)) = self.meaning(fact) {
                self.paragraph(&format!("{number} = {name}: {meaning}"), "      ")?;
            }
        }
        Ok(())
    }

    fn kernel(&mut self, seen: &Seen) -> Result<()> {
        if let Some(failure) = &seen.failure {
            let said = self.language.choose("El núcleo no cuenta nada", "The kernel does not tell");
            return self.paragraph(&format!("{said}: {failure}"), "  ");
        }
        if seen.sockets.is_empty() {
            return Ok(());
        }
        let heading = self.language.choose("El núcleo", "The kernel");
        writeln!(self.out, "\n  {}", self.paint.dim(heading))?;
        let header = self.language.choose(
            ["socket", "fd", "estado", "recib", "enviad", "local", "remota"],
            ["socket", "fd", "state", "recv-q", "send-q", "local", "peer"],
        );
        let rows = seen.sockets.iter().map(|socket| self.row(socket));
        let mut table = Vec::new();
        write_columns(&mut table, &header, rows, &[1, 3, 4])?;
        for line in String::from_utf8_lossy(&table).lines() {
            writeln!(self.out, "{INDENT}{line}")?;
        }
        let legend = self.legend(seen);
        if !legend.is_empty() {
            for line in wrap(&legend, WIDTH - INDENT.len()) {
                writeln!(self.out, "{INDENT}{}", self.paint.dim(&line))?;
            }
        }
        if !seen.as_expected {
            let note = self.language.choose(
                "(Esperábamos ver otra cosa: esto es lo que hay al cabo de 2 segundos. Algunos estados duran un \
                 minuto, y quizá ha pasado ya.)",
                "(We expected to see something else: this is what there is after 2 seconds. Some states last for a \
                 minute, which may be over.)",
            );
            self.paragraph(note, INDENT)?;
        }
        Ok(())
    }

    /// The states by the names that the explanations and `ss` use, where the table has other words.
    fn legend(&self, seen: &Seen) -> String {
        let states = seen.sockets.iter().filter_map(|seen| Some(seen.socket.as_ref()?.state));
        let states: BTreeSet<State> = states.collect();
        let other =
            states.into_iter().filter(|state| state.name(self.language) != state.rfc_name());
        let named =
            other.map(|state| format!("{}: {}", state.name(self.language), state.rfc_name()));
        named.collect::<Vec<_>>().join(" · ")
    }

    fn row(&self, seen: &SeenSocket) -> Vec<String> {
        let dash = || "-".to_owned();
        let fd = seen.fd.map_or_else(dash, |fd| fd.to_string());
        let mut row = vec![seen.name.to_owned(), fd];
        match &seen.socket {
            Some(socket) => row.extend([
                socket.state.name(self.language).to_owned(),
                socket.receive_queue.to_string(),
                socket.send_queue.to_string(),
                socket.local.to_string(),
                socket.peer.map_or_else(|| "*".to_owned(), |peer| peer.to_string()),
            ]),
            None => {
                row.push(self.language.choose("(no está)", "(not there)").to_owned());
                row.extend(std::iter::repeat_with(dash).take(4));
            }
        }
        row
    }

    fn meaning(&self, fact: &Fact) -> Option<(i32, &'static str, &'static str)> {
        let number = fact.errno()?;
        let (name, meaning) = errno::describe(number)?;
        Some((number.raw_os_error(), name, meaning.of(self.language)))
    }

    fn json(&self, chapter: &Chapter, step: &Step, returned: &[Fact], seen: &Seen) -> Json {
        let code = self.code.iter().map(|code| {
            (code.name().to_lowercase(), Json::String(chapter.snippet(*code, step.name)))
        });
        let code: serde_json::Map<String, Json> = code.collect();
        let returned: Vec<Json> = returned.iter().map(|fact| self.fact(fact)).collect();
        let sockets: Vec<Json> = seen.sockets.iter().map(|socket| self.socket(socket)).collect();
        json!({
            "chapter": chapter.name,
            "step": step.name,
            "title": step.title.of(self.language),
            "explanation": step.explanation.of(self.language),
            "introduces": step.introduces,
            "code": code,
            "returned": returned,
            "sockets": sockets,
            "as_expected": seen.as_expected,
            "kernel_error": seen.failure,
        })
    }

    fn fact(&self, fact: &Fact) -> Json {
        let mut object = json!({ "line": fact.line(), "printed": fact.is_printed_by_programs() });
        if let Some((number, name, meaning)) = self.meaning(fact) {
            object["errno"] = json!({ "number": number, "name": name, "meaning": meaning });
        }
        object
    }

    fn socket(&self, seen: &SeenSocket) -> Json {
        let socket = seen.socket.as_ref();
        json!({
            "name": seen.name,
            "protocol": match seen.protocol {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
            },
            "fd": seen.fd,
            "state": socket.map(|socket| socket.state.rfc_name()),
            "state_in_words": socket.map(|socket| socket.state.name(self.language)),
            "receive_queue": socket.map(|socket| socket.receive_queue),
            "send_queue": socket.map(|socket| socket.send_queue),
            "local": socket.map(|socket| socket.local),
            "peer": socket.and_then(|socket| socket.peer),
        })
    }

    fn paragraph(&mut self, text: &str, indent: &str) -> Result<()> {
        for line in wrap(text, WIDTH - indent.len()) {
            writeln!(self.out, "{indent}{line}")?;
        }
        Ok(())
    }
}

/// Lines of words, none wider than `width` unless one word is.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().map_or(0, |line| line.width());
        match lines.last_mut() {
            Some(last) if line == 0 => last.push_str(word),
            Some(last) if line + 1 + word.width() <= width => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::chapters;
    use super::*;

    #[test]
    fn what_the_kernel_does_not_tell_is_said_and_what_was_not_expected_too() {
        let failure = Some("no netlink here".to_owned());
        let silent = Seen { sockets: Vec::new(), as_expected: false, failure };
        let text = shown(&silent);
        assert!(text.contains("El núcleo no cuenta nada: no netlink here"), "{text}");
        let socket = SeenSocket { name: "client", protocol: Protocol::Tcp, fd: None, socket: None };
        let surprise = Seen { sockets: vec![socket], as_expected: false, failure: None };
        let text = shown(&surprise);
        assert!(text.contains("(Esperábamos ver otra cosa"), "{text}");
        assert!(text.contains("(no está)"), "{text}");
    }

    /// A step in Spanish, in Python.
    fn shown(seen: &Seen) -> String {
        let mut out = Vec::new();
        let paint = Paint::for_stdout();
        let mut renderer =
            Renderer::new(&mut out, Language::Es, Format::Text, &[Code::Python], paint);
        let done = [Fact::Done("close")];
        renderer.step(&chapters::ALL[0], 0, &done, seen).expect("memory");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn lines_break_between_words_and_never_lose_one() {
        assert_eq!(wrap("uno dos tres", 7), ["uno dos", "tres"]);
        assert_eq!(wrap("ñandú año", 9), ["ñandú año"], "characters count, not bytes");
        assert_eq!(wrap("larguísimo a", 4), ["larguísimo", "a"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
