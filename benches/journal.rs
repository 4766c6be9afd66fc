//! The file that a run is kept in: JSON lines, written as they come.

use std::fs;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;

use crate::record::Record;

/// A run under way.
pub struct Journal {
    path: PathBuf,
    file: File,
    finished_repeats: u32,
}

impl Journal {
    /// Begins `directory/name.jsonl`.
    pub fn create(directory: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
        let path = directory.join(name).with_extension("jsonl");
        let file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self { path, file, finished_repeats: 0 })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Repeats that are complete, all from the first on.
    pub fn finished_repeats(&self) -> u32 {
        self.finished_repeats
    }

    /// Keeps a record, in one piece.
    pub fn keep(&mut self, record: &Record) -> Result<()> {
        if let Record::RepeatDone { repeat, .. } = record {
            self.finished_repeats = repeat + 1;
        }
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.file.write_all(&line).with_context(|| format!("write {}", self.path.display()))
    }
}

/// Every record of a run; the last line of one that was killed may be half a line.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let lines: Vec<&str> = text.lines().collect();
    let whole = if text.ends_with('\n') { &lines[..] } else { &lines[..lines.len().saturating_sub(1)] };
    whole
        .iter()
        .enumerate()
        .map(|(index, line)| {
            serde_json::from_str(line).with_context(|| format!("understand line {} of {}", index + 1, path.display()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(repeat: u32) -> Record {
        Record::RepeatDone { boot: "boot".into(), repeat }
    }

    #[test]
    fn what_was_kept_is_read_again_and_half_a_line_is_not() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut journal = Journal::create(directory.path(), "run").expect("journal");
        journal.keep(&done(0)).expect("keep");
        journal.keep(&done(1)).expect("keep");
        assert_eq!(journal.finished_repeats(), 2);
        journal.file.write_all(b"{\"kind\":\"repeat_d").expect("write");

        let records = read(journal.path()).expect("read");
        assert!(matches!(records[..], [Record::RepeatDone { repeat: 0, .. }, Record::RepeatDone { repeat: 1, .. }]));
    }

    #[test]
    fn a_damaged_line_is_told_with_its_number() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("run.jsonl");
        fs::write(&path, "{\"kind\":\"repeat_done\",\"boot\":\"b\",\"repeat\":0}\nno record\n").expect("write");
        let why = read(&path).expect_err("damaged").to_string();
        assert!(why.contains("line 2"), "{why}");
    }
}
