//! A line of Steam's launch options, with the wrapper put in or taken out. Pure.
//!
//! Steam puts the game's command where `%command%` stands and gives the line to `/bin/sh -c`; a line without it is more
//! arguments for the game. Of the shell's language we read words and quotes, which is what such lines are made of, and
//! refuse the rest, since a line that we misread would be a game that does not start.
//!
//! What is not given back byte for byte: a line that begins with `%command%` comes back without it, which means the same
//! to Steam. It can't be told from one into which we wrote `%command%`.

use std::ffi::OsString;
use std::fmt;
use std::iter::Peekable;
use std::ops::Range;
use std::str::CharIndices;

use crate::wrapper::setup::flags;

/// What the wrapper is called, in whatever directory it lies.
pub const NAME: &str = "scx-gamer-run";

/// Where Steam puts the game's command.
const COMMAND: &str = "%command%";

/// Longer lines are nobody's; the bound keeps what follows short.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Why a line stays as it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `options` with `wrapper` before the outermost command, or as they are if it is there already.
///
/// # Errors
/// When the line can't be read safely.
pub fn add(options: &str, wrapper: &str) -> Result<String, Refused> {
    let line = Line::read(options)?;
    let Some(game) = line.game()? else {
        let gap = if options.is_empty() { "" } else { " " };
        return Ok(format!("{wrapper} {COMMAND}{gap}{options}"));
    };
    if line.wrapper_before(game).is_some() {
        return Ok(options.to_owned());
    }
    let outermost = line.outermost_command(game)?;
    let (before, after) = options.split_at(outermost.span.start);
    Ok(format!("{before}{wrapper} {after}"))
}

/// `options` without the wrapper, its own options and the `--` after them, or as they are if it is not there.
///
/// # Errors
/// When the line can't be read safely.
pub fn remove(options: &str) -> Result<String, Refused> {
    if !options.contains(NAME) {
        return Ok(options.to_owned());
    }
    let mut rest = options.to_owned();
    loop {
        let line = Line::read(&rest)?;
        let Some(game) = line.game()? else { break };
        let Some(at) = line.wrapper_before(game) else { break };
        let following: Vec<OsString> = line.words[at + 1..].iter().map(|word| word.text.clone().into()).collect();
        let command = flags::options_before_command(&following).map(|own| at + 1 + own);
        let Some(command) = command.filter(|command| *command <= game) else {
            return Err(Refused(format!("give {NAME} options that it does not know")));
        };
        let span = line.words[at].span.start..line.words[command].span.start;
        rest.replace_range(span, "");
    }
    Ok(if rest == options { rest } else { without_needless_command(&rest).to_owned() })
}

fn without_needless_command(options: &str) -> &str {
    let arguments = if options == COMMAND { Some("") } else { options.strip_prefix("%command% ") };
    // Alone they must still be read as arguments.
    let means_the_same = |arguments: &&str| Line::read(arguments).is_ok_and(|line| matches!(line.game(), Ok(None)));
    arguments.filter(means_the_same).unwrap_or(options)
}

/// A line in words.
struct Line<'a> {
    options: &'a str,
    words: Vec<Word>,
}

impl<'a> Line<'a> {
    fn read(options: &'a str) -> Result<Self, Refused> {
        if options.len() > LINE_BYTES_MAX {
            return Err(Refused(format!("are longer than {} KiB", LINE_BYTES_MAX / 1024)));
        }
        let mut rest = options.char_indices().peekable();
        let mut words = Vec::new();
        while let Some((start, next)) = rest.peek().copied() {
            if is_blank(next) {
                rest.next();
                continue;
            }
            let text = word(&mut rest)?;
            let end = rest.peek().map_or(options.len(), |(index, _)| *index);
            words.push(Word { span: start..end, is_assignment: is_assignment(&options[start..end]), text });
        }
        Ok(Self { options, words })
    }

    /// Number of the word in which the game's command stands.
    fn game(&self) -> Result<Option<usize>, Refused> {
        let game = self.words.iter().position(|word| self.options[word.span.clone()].contains(COMMAND));
        if game.is_none() && self.words.iter().any(Word::is_wrapper) {
            return Err(Refused(format!("name {NAME} without {COMMAND}, which makes it an argument of the game")));
        }
        Ok(game)
    }

    fn wrapper_before(&self, game: usize) -> Option<usize> {
        self.words[..game].iter().position(Word::is_wrapper)
    }

    /// What the shell starts first.
    fn outermost_command(&self, game: usize) -> Result<&Word, Refused> {
        match self.words[..=game].iter().find(|word| !word.is_assignment) {
            None => Err(Refused(format!("give {COMMAND} to a variable"))),
            Some(word) if word.text.starts_with('-') => {
                Err(Refused(format!("begin with '{}', which is no command", word.text)))
            }
            Some(word) if SHELL_OWN.contains(&word.text.as_str()) => {
                Err(Refused(format!("begin with '{}', which is the shell's own and no program", word.text)))
            }
            Some(word) => Ok(word),
        }
    }
}

/// What the shell does itself: behind the wrapper it would be looked for as a program.
const SHELL_OWN: &[&str] = &[
    "!", "{", "}", "[[", "]]", "if", "then", "else", "elif", "fi", "do", "done", "case", "esac", "for", "while",
    "until", "in", "function", "select", "time", "coproc", ".", ":", "alias", "bg", "break", "builtin", "cd",
    "command", "continue", "declare", "eval", "exec", "exit", "export", "fg", "getopts", "hash", "jobs", "let",
    "local", "read", "readonly", "return", "set", "shift", "source", "times", "trap", "type", "typeset", "ulimit",
    "umask", "unalias", "unset", "wait",
];

struct Word {
    span: Range<usize>,
    /// Without its quotes.
    text: String,
    is_assignment: bool,
}

impl Word {
    fn is_wrapper(&self) -> bool {
        let is_path_to_it = self.text.strip_suffix(NAME).is_some_and(|directory| directory.ends_with('/'));
        (self.text == NAME || is_path_to_it) && !is_assignment(&self.text) && !self.text.starts_with('-')
    }
}

/// `NAME=value`, written without quotes up to the equals sign, as the shell demands.
fn is_assignment(word: &str) -> bool {
    let Some((name, _)) = word.split_once('=') else { return false };
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// Reads one word and returns it without its quotes.
fn word(rest: &mut Peekable<CharIndices>) -> Result<String, Refused> {
    let mut text = String::new();
    let mut is_first = true;
    while let Some((_, c)) = rest.next_if(|(_, c)| !is_blank(*c)) {
        match c {
            '\'' => single_quoted(rest, &mut text)?,
            '"' => double_quoted(rest, &mut text)?,
            '\\' => text.push(rest.next().ok_or_else(|| Refused("end with a backslash".to_owned()))?.1),
            '$' => text.push(dollar(rest, &['(', '{', '\'', '"'])?),
            '#' if is_first => return Err(unread("#")),
            ';' | '&' | '|' | '<' | '>' | '(' | ')' | '`' => return Err(unread(&c.to_string())),
            c if c.is_control() => return Err(Refused("hold a control character".to_owned())),
            c => text.push(c),
        }
        is_first = false;
    }
    Ok(text)
}

fn single_quoted(rest: &mut Peekable<CharIndices>, text: &mut String) -> Result<(), Refused> {
    for (_, c) in rest {
        match c {
            '\'' => return Ok(()),
            c => text.push(c),
        }
    }
    Err(Refused("hold a quote that is not closed".to_owned()))
}

fn double_quoted(rest: &mut Peekable<CharIndices>, text: &mut String) -> Result<(), Refused> {
    while let Some((_, c)) = rest.next() {
        match c {
            '"' => return Ok(()),
            '\\' => match rest.next() {
                Some((_, c @ ('$' | '`' | '"' | '\\'))) => text.push(c),
                Some((_, c)) => text.extend(['\\', c]),
                None => break,
            },
            '$' => text.push(dollar(rest, &['(', '{'])?),
            '`' => return Err(unread("`")),
            c => text.push(c),
        }
    }
    Err(Refused("hold a quote that is not closed".to_owned()))
}

/// A plain `$`, as in `$HOME`.
fn dollar(rest: &mut Peekable<CharIndices>, unread_after: &[char]) -> Result<char, Refused> {
    match rest.peek() {
        Some((_, next)) if unread_after.contains(next) => Err(unread(&format!("${next}"))),
        _ => Ok('$'),
    }
}

fn unread(what: &str) -> Refused {
    Refused(format!("hold '{what}', beside which no place is safe"))
}

#[cfg(test)]
mod tests;
