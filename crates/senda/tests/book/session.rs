//! A chapter, being run: a directory, a network, terminals.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::chapter::{Block, Item, Ready};
use crate::expect::Memory;
use crate::namespace::Namespace;
use crate::terminal::{Expected, Terminal};

/// What was done with a chapter's blocks.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Report {
    pub(crate) run: usize,
    /// Lines and reasons.
    pub(crate) skipped: Vec<(usize, String)>,
}

struct Session {
    room: TempDir,
    network: Namespace,
    locale: &'static str,
    memory: Memory,
    terminals: BTreeMap<String, Terminal>,
    report: Report,
}

/// Runs a chapter from its beginning to its end, or to its first mistake.
///
/// # Errors
/// Say the line of the chapter, the command, what was expected and what came.
pub(crate) fn run(items: &[Item], locale: &'static str) -> Result<Report, String> {
    let mut session = Session::new(locale)?;
    for item in items {
        match item {
            Item::File { name, text } => session.save(name, text)?,
            Item::Copy { path } => {
                let name = Path::new(path).file_name().ok_or("copy takes a file")?;
                let text = read(&project().join(path))?;
                session.save(&name.to_string_lossy(), &text)?;
            }
            Item::Handout { number, name } => session.save(name, &handout_program(*number)?)?,
            Item::Block(block) => {
                session.block(block).map_err(|error| format!("line {}: {error}", block.line))?;
            }
        }
    }
    let Session { terminals, report, .. } = session;
    for (name, terminal) in terminals {
        terminal.finish().map_err(|error| format!("at the end, terminal {name}: {error}"))?;
    }
    Ok(report)
}

/// The root of the checkout.
pub(crate) fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// A Python program as the handout has it, byte for byte.
fn handout_program(number: usize) -> Result<String, String> {
    let handout = read(&project().join("docs/lab/handout/practica1.md"))?;
    let blocks = handout.split("```python\n").skip(1);
    let mut programs = blocks.filter_map(|block| block.split_once("```")).map(|(text, _)| text);
    let program = number.checked_sub(1).and_then(|index| programs.nth(index));
    program.map(str::to_owned).ok_or_else(|| format!("the handout has no program {number}"))
}

impl Session {
    fn new(locale: &'static str) -> Result<Self, String> {
        let room = TempDir::new().map_err(|error| error.to_string())?;
        let bin = room.path().join("bin");
        std::fs::create_dir(&bin)
            .and_then(|()| {
                std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_senda"), bin.join("senda"))
            })
            .and_then(|()| std::fs::create_dir(room.path().join("lab")))
            .map_err(|error| error.to_string())?;
        Ok(Self {
            room,
            network: Namespace::new(),
            locale,
            memory: Memory::default(),
            terminals: BTreeMap::new(),
            report: Report::default(),
        })
    }

    fn save(&self, name: &str, text: &str) -> Result<(), String> {
        std::fs::write(self.room.path().join("lab").join(name), text)
            .map_err(|error| format!("{name}: {error}"))
    }

    fn block(&mut self, block: &Block) -> Result<(), String> {
        self.memory.learn(&block.varies);
        if let Some(reason) = &block.skip {
            self.report.skipped.push((block.line, reason.clone()));
            return Ok(());
        }
        if let Some(name) = &block.terminal {
            self.continued(name, block)?;
        }
        for (index, step) in block.steps.iter().enumerate() {
            let is_last = index + 1 == block.steps.len();
            let mut terminal = self.start(&step.command)?;
            // The last one of a named terminal goes on.
            let goes_on = is_last && block.terminal.is_some();
            let exit = if is_last { block.exit } else { 0 };
            let expected = Expected {
                output: &step.output,
                any_spaces: block.any_spaces,
                exit: (!goes_on).then_some(exit),
            };
            terminal.expect(&mut self.memory, &expected)?;
            if let (true, Some(name)) = (goes_on, &block.terminal) {
                self.terminals.insert(name.clone(), terminal);
            }
        }
        if let Some(ready) = block.ready {
            self.wait_for(ready);
        }
        self.report.run += 1;
        Ok(())
    }

    /// What a terminal's command prints further; when another one follows, it must have ended.
    fn continued(&mut self, name: &str, block: &Block) -> Result<(), String> {
        let Some(terminal) = self.terminals.get_mut(name) else {
            let is_new = block.before.is_empty();
            return if is_new { Ok(()) } else { Err(format!("nothing runs in terminal {name}")) };
        };
        let is_interrupted = block.before.iter().any(|line| line == "^C");
        let must_end = is_interrupted || !block.steps.is_empty();
        // What Ctrl-C makes of an exit code is the program's own affair.
        let exit = (must_end && !is_interrupted).then_some(block.exit);
        let any_spaces = block.any_spaces;
        terminal.expect(&mut self.memory, &Expected { output: &block.before, any_spaces, exit })?;
        if must_end {
            self.terminals.remove(name);
        }
        Ok(())
    }

    fn start(&self, text: &str) -> Result<Terminal, String> {
        let text = self.memory.resolve(text);
        let room = self.room.path();
        let path = std::env::var("PATH").unwrap_or_default();
        // Nothing of the tester's own settings but the path.
        let given = [
            ("PATH", format!("{}:{path}", room.join("bin").display())),
            ("HOME", room.join("lab").display().to_string()),
            ("LANG", self.locale.into()),
            ("PYTHONUNBUFFERED", "1".into()),
            ("PYTHONUTF8", "1".into()),
        ];
        let assignments = given.iter().map(|(name, value)| format!("{name}={value}"));
        let mut command = Command::new("env");
        command.arg("--ignore-environment").args(assignments);
        command.args(["bash", "--norc", "-c", &text]).current_dir(room.join("lab"));
        Terminal::start(&mut self.network.inside(&command), &text)
    }

    fn wait_for(&self, ready: Ready) {
        match ready {
            Ready::Tcp(port) => self.network.wait_for_tcp(port),
            Ready::Udp(port) => self.network.wait_for_udp(port),
        };
    }
}
