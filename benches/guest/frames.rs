//! The parallel rig: the synthetic game under each scheduler, beside each load.

use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;

use crate::claim::Claim;
use crate::claim::read_once_detached;
use crate::contestant::Contestant;
use crate::guest::Machine;
use crate::guest::attached::Attached;
use crate::guest::emit;
use crate::guest::waits::Waits;
use crate::plan::Cell;
use crate::plan::Plan;
use crate::plan::Turn;
use crate::play::play_beside;
use crate::play::start_load;
use crate::record::Frames;
use crate::record::Record;
use crate::record::Rig;
use crate::record::ThrownOut;
use crate::sched_ext::SchedExt;
use crate::spin::calibrate_spins_per_ms;

/// What the slowest scheduler may take for a frame, and a cell besides its frames.
const FRAME_LIMIT: Duration = Duration::from_millis(500);
const CELL_LIMIT: Duration = Duration::from_secs(60);
const WARMUP_FRAMES: u32 = 60;

/// Everything that stays the same from cell to cell.
struct Stage<'a> {
    plan: &'a Plan,
    machine: Machine,
    spins_per_ms: u64,
    waits: Waits,
    start: Instant,
}

/// Plays the repeats that are left of `plan`.
pub fn run(plan: &Plan) -> Result<()> {
    let mut machine = Machine::here(Rig::Parallel)?;
    let spins_per_ms = calibrate_spins_per_ms();
    machine.boot.spins_per_ms = Some(spins_per_ms);
    emit(&Record::Boot(machine.boot.clone()))?;
    let mut waits = Waits::watch()?;
    waits.check().context("check how waits are measured")?;
    let mut stage = Stage { plan, machine, spins_per_ms, waits, start: Instant::now() };
    for repeat in plan.finished_repeats..plan.repeats {
        for turn in plan.turns(repeat) {
            stage.play_turn(&turn, repeat)?;
        }
        emit(&Record::RepeatDone { boot: stage.machine.boot.id.clone(), repeat })?;
    }
    Ok(())
}

impl Stage<'_> {
    /// All cells of one scheduler. A cell that fails says nothing; the next one starts the scheduler anew.
    fn play_turn(&mut self, turn: &Turn, repeat: u32) -> Result<()> {
        let contestant = turn.contestant;
        let mut attached = None;
        for &cell in &turn.cells {
            self.tell(&format!("repeat {}, {}: {cell}", repeat + 1, contestant.label()));
            match self.play(contestant, cell, repeat, &mut attached) {
                Ok(frames) => emit(&Record::Frames(Box::new(frames)))?,
                Err(why) => {
                    if let Some(attached) = attached.take() {
                        attached.stop(&self.machine.sched_ext)?;
                    }
                    self.throw_out(contestant, cell, repeat, format!("{why:#}"))?;
                }
            }
        }
        match attached {
            Some(attached) => attached.stop(&self.machine.sched_ext),
            None => Ok(()),
        }
    }

    fn play(
        &mut self,
        contestant: Contestant,
        cell: Cell,
        repeat: u32,
        attached: &mut Option<Attached>,
    ) -> Result<Frames> {
        if contestant.is_attached_beforehand() && attached.is_none() {
            *attached = Some(Attached::start(contestant, &self.machine)?);
        }
        let sched_ext = &self.machine.sched_ext;
        let before = SchedExt::read(sched_ext);
        self.expect(attached.as_ref(), "before the game starts")?;

        let load = start_load(&self.machine.programs.load, cell.load)?;
        let limit = CELL_LIMIT + FRAME_LIMIT * (self.plan.frames + WARMUP_FRAMES);
        let mut command = self.game_command(contestant, cell);
        let waits = &mut self.waits;
        waits.start_anew();
        let played = play_beside(&mut command, load, limit, || waits.start_anew());
        let waits = self.waits.longest();
        if played.is_err() {
            // That it was thrown out is why the game did badly, not the other way round.
            self.expect(attached.as_ref(), "after the game")?;
        }
        let (game, load) = played?;

        let after = if attached.is_some() { SchedExt::read(sched_ext) } else { read_once_detached(sched_ext) };
        self.expect(attached.as_ref(), "after the game")?;
        let is_the_same = contestant == Contestant::Ours || before.enable_seq == after.enable_seq;
        ensure!(is_the_same, "another scheduler was attached in between: {before} before, {after} after");
        contestant.claim().expect_throughout(&game.scheduler)?;
        Ok(Frames { boot: self.machine.boot.id.clone(), repeat, contestant, cell, game, load, waits })
    }

    /// What has to be true around a cell: the scheduler in its place, or none where the wrapper brings it.
    fn expect(&self, attached: Option<&Attached>, when: &str) -> Result<()> {
        match attached {
            Some(attached) => attached.expect(&self.machine.sched_ext, when),
            None => Claim::Disabled.expect(&SchedExt::read(&self.machine.sched_ext), when),
        }
    }

    fn game_command(&self, contestant: Contestant, cell: Cell) -> Command {
        let programs = &self.machine.programs;
        let before: Vec<&OsStr> = match contestant {
            Contestant::Ours => vec![programs.wrapper.as_os_str(), "--require".as_ref(), "--".as_ref()],
            Contestant::RealTime => ["chrt", "--fifo", "1"].map(OsStr::new).into(),
            _ => Vec::new(),
        };
        let mut words = before.into_iter().chain([programs.game.as_os_str()]);
        let mut command = Command::new(words.next().expect("the game at least"));
        command.args(words);
        let numbers = [
            ("--frames", u64::from(self.plan.frames)),
            ("--warmup-frames", u64::from(WARMUP_FRAMES)),
            ("--fps", u64::from(cell.fps)),
            ("--spins-per-ms", self.spins_per_ms),
        ];
        command.arg("--json").args(numbers.iter().flat_map(|(flag, number)| [(*flag).to_owned(), number.to_string()]));
        command
    }

    fn throw_out(&self, contestant: Contestant, cell: Cell, repeat: u32, reason: String) -> Result<()> {
        self.tell(&format!("thrown out: {reason}"));
        let boot = self.machine.boot.id.clone();
        emit(&Record::ThrownOut(ThrownOut { boot, repeat: Some(repeat), contestant, cell: Some(cell), reason }))
            .context("tell what was thrown out")
    }

    fn tell(&self, what: &str) {
        eprintln!("[{:6.1} s] {what}", self.start.elapsed().as_secs_f64());
    }
}
