//! The guide in `docs/lab` does what it says: every command block of its chapters is run, and what comes out is compared.
//!
//! A chapter is one session: a directory and a network of its own, `senda` on the path, and terminals as the text has them.
//! What a block needs beyond its text stands in an HTML comment before it, which readers don't see:
//!
//! ````text
//! <!-- run terminal=server ready=tcp:65432
//! 61234 ~ port
//! -->
//! ```console
//! $ senda lab echo-server
//! ```
//! ````
//!
//! | in the comment | means |
//! |---|---|
//! | `terminal=NAME` | a terminal of its own: its last command goes on, and later blocks show what else it prints; `^C` ends it |
//! | `ready=tcp:PORT`, `ready=udp:PORT` | the block is over when somebody has that port |
//! | `exit=N` | the exit code of its last command, if not 0; in a terminal, of the one that ended before its last |
//! | `spaces=any` | columns may be wider or narrower |
//! | `skip=REASON` | not run; the reason is printed and counted |
//! | `TEXT ~ KIND` | from here to the chapter's end TEXT stands for what varies: `port`, `number`, `decimal`, `hex`, `time` or `/REGEX/`; it is the same in all places, in commands too |
//! | `TEXT ~ KIND anew` | the same, and every place may have another |
//!
//! Other comments: `<!-- file NAME -->` before a code block, whose first line says the name too, saves it; `<!-- copy PATH -->` brings a file of the
//! project; `<!-- handout N NAME -->` saves the Nth Python program of the handout. A line `...` of output is any number of lines.

mod chapter; // what a chapter asks for
mod expect; // output as it is written, and as it came
mod guide; // the chapters, and that they are complete
#[path = "../e2e/namespace.rs"]
mod namespace; // a network of its own
#[expect(dead_code, reason = "the end-to-end tests use the rest")]
#[path = "../e2e/processes.rs"]
mod processes; // children, and what they say
mod runner; // that the runner itself can fail
mod session; // a chapter, being run
mod terminal; // one command after the other
