//! The parallel rig: one scene, played under each scheduler in turn.

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;

use crate::claim::Claim;
use crate::claim::read_once_detached;
use crate::contestant::Contestant;
use crate::game::Purpose;
use crate::guest::Machine;
use crate::guest::attached::Attached;
use crate::guest::emit;
use crate::guest::program;
use crate::guest::program::Screen;
use crate::guest::waits::Waits;
use crate::plan::Cell;
use crate::plan::Plan;
use crate::plan::Turn;
use crate::play::count_load_from_now;
use crate::play::end_load;
use crate::play::play_beside;
use crate::play::start_load;
use crate::record::Frames;
use crate::record::Record;
use crate::record::Rig;
use crate::record::ThrownOut;
use crate::report::GameReport;
use crate::report::LoadReport;
use crate::sched_ext::SchedExt;
use crate::spin::calibrate_spins_per_ms;

/// What the slowest scheduler may take for a frame, and a cell besides its frames.
const FRAME_LIMIT: Duration = Duration::from_millis(500);
const CELL_LIMIT: Duration = Duration::from_secs(60);
const WARMUP_FRAMES: u32 = 60;
/// What a program of others may take: Doom's demo takes half a minute beside a mixed load under EEVDF.
const PROGRAM_LIMIT: Duration = Duration::from_secs(300);

/// What came out of a game, and what its load got done.
struct Played {
    fps: f64,
    game: Option<GameReport>,
    load: LoadReport,
}

/// Everything that stays the same from cell to cell.
struct Stage<'a> {
    plan: &'a Plan,
    machine: Machine,
    spins_per_ms: u64,
    waits: Waits,
    start: Instant,
}

/// Plays every repeat of `plan`, which has one scene.
pub fn run(plan: &Plan) -> Result<()> {
    let mut machine = Machine::here(Rig::Parallel, plan)?;
    let spins_per_ms = calibrate_spins_per_ms();
    machine.boot.spins_per_ms = Some(spins_per_ms);
    emit(&Record::Boot(machine.boot.clone()))?;
    let mut waits = Waits::watch()?;
    waits.check().context("check how waits are measured")?;
    let mut stage = Stage { plan, machine, spins_per_ms, waits, start: Instant::now() };
    for repeat in 0..plan.repeats {
        for turn in plan.turns(repeat) {
            stage.play_turn(&turn, repeat)?;
        }
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
        let before = SchedExt::read(&self.machine.sched_ext);
        self.expect(attached.as_ref(), "before the game starts")?;

        let played = self.play_game(contestant, cell);
        let waits = self.waits.longest();
        if played.is_err() {
            // That it was thrown out is why the game did badly, not the other way round.
            self.expect(attached.as_ref(), "after the game")?;
        }
        let Played { fps, game, load } = played?;

        let sched_ext = &self.machine.sched_ext;
        let after = if attached.is_some() { SchedExt::read(sched_ext) } else { read_once_detached(sched_ext) };
        self.expect(attached.as_ref(), "after the game")?;
        let is_the_same = contestant.is_wrapped() || before.enable_seq == after.enable_seq;
        ensure!(is_the_same, "another scheduler was attached in between: {before} before, {after} after");
        Ok(Frames { boot: self.machine.boot.id.clone(), repeat, contestant, cell, fps, game, load, waits })
    }

    fn play_game(&mut self, contestant: Contestant, cell: Cell) -> Result<Played> {
        match cell.game.purpose() {
            Purpose::Program => self.play_program(contestant, cell),
            _ => self.play_synthetic(contestant, cell),
        }
    }

    fn play_synthetic(&mut self, contestant: Contestant, cell: Cell) -> Result<Played> {
        let load = start_load(&self.machine.programs.load, cell.load.outside())?;
        let limit = CELL_LIMIT + FRAME_LIMIT * (cell.game.frames(self.plan.frames) + WARMUP_FRAMES);
        let mut command = self.synthetic_command(contestant, cell);
        let waits = &mut self.waits;
        waits.start_anew();
        let (game, load) = play_beside(&mut command, load, limit, || waits.start_anew())?;
        contestant.claim().expect_throughout(&game.scheduler)?;
        Ok(Played { fps: game.avg_fps, game: Some(game), load })
    }

    fn play_program(&mut self, contestant: Contestant, cell: Cell) -> Result<Played> {
        // The frames of a real-time program wait for its screen.
        let before_screen = if contestant == Contestant::RealTime { self.before(contestant) } else { Vec::new() };
        let screen = Screen::start(&before_screen)?;
        let load = start_load(&self.machine.programs.load, cell.load.outside())?;
        let command = screen.command(cell.game, &self.before(contestant))?;
        let (waits, sched_ext) = (&mut self.waits, &self.machine.sched_ext);
        let fps = program::play(command, cell.game, contestant.claim(), sched_ext, PROGRAM_LIMIT, || {
            waits.start_anew();
            count_load_from_now(&load);
        })?;
        Ok(Played { fps, game: None, load: end_load(load)? })
    }

    /// What has to be true around a cell: the scheduler in its place, or none where the wrapper brings it.
    fn expect(&self, attached: Option<&Attached>, when: &str) -> Result<()> {
        match attached {
            Some(attached) => attached.expect(&self.machine.sched_ext, when),
            None => Claim::Disabled.expect(&SchedExt::read(&self.machine.sched_ext), when),
        }
    }

    /// The beginning of a command that starts a game for `contestant`.
    fn before(&self, contestant: Contestant) -> Vec<OsString> {
        match (contestant, self.machine.programs.wrapper_of(contestant)) {
            (_, Some(wrapper)) => vec![wrapper.into(), "--require".into(), "--".into()],
            (Contestant::RealTime, _) => ["chrt", "--fifo", "1"].map(OsString::from).into(),
            _ => Vec::new(),
        }
    }

    fn synthetic_command(&self, contestant: Contestant, cell: Cell) -> Command {
        let mut words = self.before(contestant).into_iter().chain([self.machine.programs.game.clone().into()]);
        let mut command = Command::new(words.next().expect("the game at least"));
        command.args(words);
        command.args(cell.game.args()).args(cell.load.game_args(self.machine.boot.cpus));
        if contestant == Contestant::RealTimeFrames {
            command.arg("--real-time-frames");
        }
        let numbers = [
            ("--frames", u64::from(cell.game.frames(self.plan.frames))),
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
