//! The child that knows better: CPython.

use std::io::{BufWriter, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use senda_struct::{Error, PackError, Value, ValueError};

use crate::marshal::Item;

/// Questions that travel together.
const BATCH: usize = 4_000;
/// What stands for all of Python's ways to say it.
const OUT_OF_RANGE: &str = "integer out of range";

/// One call, of this crate and of Python.
pub(crate) enum Question<'a> {
    CalcSize {
        text: &'a str,
    },
    Pack {
        text: &'a str,
        values: &'a [Value],
    },
    PackInto {
        text: &'a str,
        buffer: &'a [u8],
        offset: isize,
        values: &'a [Value],
        hidden: (usize, usize),
    },
    Unpack {
        text: &'a str,
        bytes: &'a [u8],
    },
    UnpackFrom {
        text: &'a str,
        bytes: &'a [u8],
        offset: isize,
    },
    IterUnpack {
        text: &'a str,
        bytes: &'a [u8],
    },
}

/// A python3 with `judge.py`. It is told what this crate answers, and says where it would not have said so.
pub(crate) struct Judge {
    child: Child,
    pipe: BufWriter<ChildStdin>,
    batch: Vec<Item>,
    asked: u64,
}

impl Judge {
    pub(crate) fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential/judge.py");
        let mut command = Command::new("python3");
        // Nothing of the user's: no site packages, no PYTHONPATH.
        command.args(["-I", "-S", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("python3: {error}"));
        let pipe = BufWriter::new(child.stdin.take().expect("a pipe"));
        Self { child, pipe, batch: Vec::new(), asked: 0 }
    }

    pub(crate) fn asked(&self) -> u64 {
        self.asked
    }

    /// Answers a question with this crate and passes both on; true when the answer was no refusal.
    pub(crate) fn ask(&mut self, question: &Question<'_>) -> bool {
        let (name, arguments) = question.call();
        let (is_good, answer) = question.answer();
        self.batch.push(Item::Tuple(vec![
            Item::Text(name.to_owned()),
            answer,
            Item::Tuple(arguments),
        ]));
        self.asked += 1;
        if self.batch.len() == BATCH {
            self.send();
        }
        is_good
    }

    /// Panics with the differences, if there are any.
    pub(crate) fn finish(mut self, replay: &str) {
        self.send();
        let Self { mut child, pipe, asked, .. } = self;
        drop(pipe); // The end of its input.
        let mut said = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        stdout.take(1 << 20).read_to_string(&mut said).expect("text");
        let status = child.wait().expect("a child of ours");
        let expected = format!("judged {asked}, wrong 0\n");
        assert!(status.success() && said == expected, "{replay}: {status}\n{said}");
    }

    fn send(&mut self) {
        let batch = Item::List(std::mem::take(&mut self.batch)).to_vec();
        let len = u32::try_from(batch.len()).expect("a batch is small");
        let sent =
            self.pipe.write_all(&len.to_le_bytes()).and_then(|()| self.pipe.write_all(&batch));
        sent.and_then(|()| self.pipe.flush()).expect("python3 reads to the end");
    }
}

impl Question<'_> {
    /// The function's name, and its arguments as `judge.py` takes them.
    fn call(&self) -> (&'static str, Vec<Item>) {
        let text = |text: &str| Item::Text(text.to_owned());
        match *self {
            Self::CalcSize { text: format } => ("calcsize", vec![text(format)]),
            Self::Pack { text: format, values } => {
                ("pack", vec![text(format), Item::values(values)])
            }
            Self::PackInto { text: format, buffer, offset, values, hidden: (start, end) } => {
                let hidden = Item::Tuple(vec![Item::int(start), Item::int(end)]);
                let offset = Item::int(offset);
                let values = Item::values(values);
                ("pack_into", vec![text(format), Item::bytes(buffer), offset, hidden, values])
            }
            Self::Unpack { text: format, bytes } => {
                ("unpack", vec![text(format), Item::bytes(bytes)])
            }
            Self::UnpackFrom { text: format, bytes, offset } => {
                let offset = Item::int(offset);
                ("unpack_from", vec![text(format), Item::bytes(bytes), offset])
            }
            Self::IterUnpack { text: format, bytes } => {
                ("iter_unpack", vec![text(format), Item::bytes(bytes)])
            }
        }
    }

    /// What this crate says, in the form in which `judge.py` says it.
    fn answer(&self) -> (bool, Item) {
        let values = |values: Vec<Value>| Item::bytes(&Item::values(&values).to_vec());
        let answer = match *self {
            Self::CalcSize { text } => {
                senda_struct::calcsize(text).map(Item::int).map_err(Error::from)
            }
            Self::Pack { text, values } => {
                senda_struct::pack(text, values).map(|bytes| Item::bytes(&bytes))
            }
            Self::PackInto { text, buffer, offset, values, hidden: (start, end) } => {
                let mut buffer = buffer.to_vec();
                let said = senda_struct::pack_into(text, &mut buffer, offset, values);
                buffer.drain(start..end);
                return match said {
                    Ok(()) => (true, Item::bytes(&buffer)),
                    Err(error) => {
                        let said = Item::Text(refusal(&error));
                        (false, Item::Tuple(vec![said, Item::bytes(&buffer)]))
                    }
                };
            }
            Self::Unpack { text, bytes } => senda_struct::unpack(text, bytes).map(values),
            Self::UnpackFrom { text, bytes, offset } => {
                senda_struct::unpack_from(text, bytes, offset).map(values)
            }
            Self::IterUnpack { text, bytes } => {
                senda_struct::iter_unpack(text, bytes).map(|records| {
                    let records = records.map(|record| Item::values(&record)).collect();
                    Item::bytes(&Item::Tuple(records).to_vec())
                })
            }
        };
        match answer {
            Ok(item) => (true, item),
            Err(error) => (false, Item::Text(refusal(&error))),
        }
    }
}

/// As Python's exception would be written, in words that are the same in all versions.
fn refusal(error: &Error) -> String {
    match error {
        Error::Pack(PackError::Value {
            error: ValueError::IntegerOutOfRange { .. } | ValueError::IntegerTooLarge,
            ..
        }) => format!("error: {OUT_OF_RANGE}"),
        Error::Pack(PackError::Value { error: ValueError::FloatTooLarge { .. }, .. }) => {
            format!("OverflowError: {error}")
        }
        _ => format!("error: {error}"),
    }
}
