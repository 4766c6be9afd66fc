//! The file that a run is kept in: JSON lines, written as they come.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;

use crate::plan::Scene;
use crate::record::Record;

/// A run under way.
pub struct Journal {
    path: PathBuf,
    file: File,
    finished_scenes: Vec<Scene>,
    has_costs: bool,
}

impl Journal {
    /// Begins `directory/name.jsonl`.
    pub fn create(directory: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
        let path = directory.join(name).with_extension("jsonl");
        let file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self { path, file, finished_scenes: Vec::new(), has_costs: false })
    }

    /// Continues a run that was cut short, and returns what it has. Half a line at its end is removed.
    pub fn resume(path: &Path) -> Result<(Self, Vec<Record>)> {
        let records = read(path)?;
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let whole_bytes = text.rfind('\n').map_or(0, |last| last + 1);
        let file = OpenOptions::new().append(true).open(path).with_context(|| format!("open {}", path.display()))?;
        file.set_len(whole_bytes as u64).with_context(|| format!("cut {}", path.display()))?;
        let mut journal = Self { path: path.to_owned(), file, finished_scenes: Vec::new(), has_costs: false };
        records.iter().for_each(|record| journal.note(record));
        Ok((journal, records))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether `scene` is complete, all of it from one boot.
    pub fn has_finished(&self, scene: Scene) -> bool {
        self.finished_scenes.contains(&scene)
    }

    /// Whether the deterministic rig is done.
    pub fn has_costs(&self) -> bool {
        self.has_costs
    }

    /// Keeps a record, in one piece.
    pub fn keep(&mut self, record: &Record) -> Result<()> {
        self.note(record);
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.file.write_all(&line).with_context(|| format!("write {}", self.path.display()))
    }

    fn note(&mut self, record: &Record) {
        match record {
            Record::SceneDone { scene, .. } => self.finished_scenes.push(*scene),
            Record::CostDone { .. } => self.has_costs = true,
            _ => {}
        }
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
    use crate::game::Game;
    use crate::workload::Workload;

    fn scene(load: Workload) -> Scene {
        Scene { game: Game::Usual, load }
    }

    fn done(load: Workload) -> Record {
        Record::SceneDone { boot: "boot".into(), scene: scene(load) }
    }

    #[test]
    fn a_run_is_resumed_after_its_last_whole_line() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut journal = Journal::create(directory.path(), "run").expect("journal");
        journal.keep(&done(Workload::Hogs)).expect("keep");
        journal.file.write_all(b"{\"kind\":\"scene_d").expect("write");

        let (mut resumed, records) = Journal::resume(journal.path()).expect("resume");
        assert!(matches!(records[..], [Record::SceneDone { .. }]));
        assert!(resumed.has_finished(scene(Workload::Hogs)) && !resumed.has_finished(scene(Workload::Mixed)));
        assert!(!resumed.has_costs());

        resumed.keep(&done(Workload::Mixed)).expect("keep");
        resumed.keep(&Record::CostDone { boot: "boot".into() }).expect("keep");
        assert!(resumed.has_finished(scene(Workload::Mixed)) && resumed.has_costs());
        assert_eq!(read(journal.path()).expect("read").len(), 3);
    }

    #[test]
    fn a_damaged_line_is_reported_with_its_number() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("run.jsonl");
        fs::write(&path, "{\"kind\":\"cost_done\",\"boot\":\"b\"}\nno record\n").expect("write");
        let why = read(&path).expect_err("damaged").to_string();
        assert!(why.contains("line 2"), "{why}");
    }
}
