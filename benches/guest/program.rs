//! Programs that this project did not write, on a screen in memory: they report frames per second and nothing else.

use std::ffi::OsString;
use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use tempfile::TempDir;

use crate::claim::Claim;
use crate::game::Game;
use crate::play::pid_of;
use crate::process::Killed;
use crate::process::spawn_tied;
use crate::sched_ext::SchedExt;
use crate::vm::read_lines;

/// Software rendering without vertical sync. llvmpipe does not know the emulated CPU.
const ENVIRONMENT: [(&str, &str); 7] = [
    ("GALLIUM_DRIVER", "softpipe"),
    ("LIBGL_ALWAYS_SOFTWARE", "1"),
    ("vblank_mode", "0"),
    // SDL's: draw without GL, and make no sound.
    ("SDL_VIDEODRIVER", "x11"),
    ("SDL_AUDIODRIVER", "dummy"),
    ("SDL_RENDER_DRIVER", "software"),
    ("SDL_FRAMEBUFFER_ACCELERATION", "0"),
];
const SCREEN: [&str; 8] = ["Xvfb", "-displayfd", "1", "-screen", "0", "640x480x24", "-nolisten", "tcp"];
/// How often the scheduler is looked at while a program runs.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const END_LIMIT: Duration = Duration::from_secs(20);
/// glxgears reports every 5 s. Its first report includes its start.
const GEARS_REPORTS: usize = 3;
/// Steps of the player in the demo, one a frame.
const DEMO_TICS: usize = 500;
const WAD: &str = "/usr/share/games/doom/freedoom1.wad";
const TICS_PER_S: f64 = 35.0;

/// A screen without a device, for one program.
pub struct Screen {
    _server: Killed,
    display: String,
    /// The program's home directory: its settings are its own defaults.
    home: TempDir,
}

/// Frames that a program drew, and the seconds that it took.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Drawn {
    frames: f64,
    seconds: f64,
}

impl Screen {
    /// Starts a display server, below `before` if that is the beginning of a command, and waits until it serves.
    pub fn start(before: &[OsString]) -> Result<Self> {
        let mut words = before.iter().cloned().chain(SCREEN.map(OsString::from));
        let mut command = Command::new(words.next().context("BUG: no command")?);
        command.args(words).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = Killed(spawn_tied(&mut command).context("start Xvfb")?);
        let output = server.0.stdout.take().context("BUG: no pipe from Xvfb")?;
        let mut number = String::new();
        BufReader::new(output).read_line(&mut number).context("read the display's number")?;
        ensure!(!number.is_empty(), "Xvfb ended before it served");
        let home = tempfile::tempdir().context("make a home directory")?;
        Ok(Self { _server: server, display: format!(":{}", number.trim()), home })
    }

    /// What starts `game`, below `before`.
    pub fn command(&self, game: Game, before: &[OsString]) -> Result<Command> {
        let demo = self.home.path().join("demo.lmp");
        fs::write(&demo, doom_demo(DEMO_TICS)).with_context(|| format!("write {}", demo.display()))?;
        let mut words = before.iter().cloned().chain(words_of(game, &demo));
        let mut command = Command::new(words.next().context("BUG: no command")?);
        command.args(words).envs(ENVIRONMENT).env("DISPLAY", &self.display).env("HOME", self.home.path());
        Ok(command)
    }
}

fn words_of(game: Game, demo: &Path) -> Vec<OsString> {
    let words: &[&str] = match game {
        Game::Glxgears => &["glxgears", "-geometry", "160x120"],
        Game::Glmark2 => &["glmark2", "-s", "64x48", "-b", "texture:duration=10"],
        _ => &["/usr/games/dsda-doom", "-iwad", WAD, "-nosound", "-window", "-geometry", "640x400", "-timedemo"],
    };
    let demo = (game == Game::Doom).then(|| demo.into());
    words.iter().map(OsString::from).chain(demo).collect()
}

/// A recorded demo of Doom 1.9: the player walks to and fro and turns.
fn doom_demo(tics: usize) -> Vec<u8> {
    const VERSION: u8 = 109;
    /// Skill, episode and map; single player, watched from the first; four options off; the first player only.
    const HEADER: [u8; 12] = [2, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    const WALK: i8 = 25;
    const END: u8 = 0x80;
    let tic = |number: usize| {
        let forward = if (number / 70).is_multiple_of(2) { WALK } else { -WALK };
        let turn = if (number / 35).is_multiple_of(2) { 3 } else { 1 };
        [forward.cast_unsigned(), 0, turn, 0]
    };
    [VERSION].into_iter().chain(HEADER).chain((0..tics).flat_map(tic)).chain([END]).collect()
}

/// Runs `game` to its end, or until it has reported often enough, and returns its frames per second. `on_counting` is
/// called when the counted time begins. The scheduler has to be `claim` from then on.
pub fn play(
    mut command: Command,
    game: Game,
    claim: Claim,
    sched_ext: &Path,
    limit: Duration,
    mut on_counting: impl FnMut(),
) -> Result<f64> {
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let start = Instant::now();
    let mut process = Killed(spawn_tied(&mut command).with_context(|| format!("start {game}"))?);
    let output = process.0.stdout.take().context("BUG: no pipe from the program")?;
    let (sender, lines) = mpsc::channel();
    let reader = std::thread::spawn(move || read_lines(output, &sender));
    let mut drawn = Vec::new();
    let mut first_seen: Option<SchedExt> = None;
    // glxgears counts from its first report on, the others from their first words.
    let mut is_counting = false;
    while drawn.len() < reports_of(game) {
        match lines.recv_timeout(LOOK_EVERY) {
            Ok(line) => {
                drawn.extend(parse(game, &line));
                let has_begun = game != Game::Glxgears || !drawn.is_empty();
                if has_begun && !is_counting {
                    is_counting = true;
                    on_counting();
                }
            }
            Err(RecvTimeoutError::Timeout) if is_counting => {
                let seen = SchedExt::read(sched_ext);
                claim.expect_throughout(&[first_seen.get_or_insert_with(|| seen.clone()).clone(), seen])?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => bail!("{game} ended without a report"),
        }
        ensure!(start.elapsed() < limit, "{game} has not finished in {} s", limit.as_secs());
    }
    ensure!(first_seen.is_some(), "{game} was too short to see its scheduler");
    end(&mut process, game)?;
    let _ = reader.join();
    Ok(frames_per_second(game, &drawn))
}

/// Ends a program that would run for ever, and lets the wrapper detach.
fn end(process: &mut Killed, game: Game) -> Result<()> {
    if game == Game::Glxgears {
        kill(pid_of(&process.0), Signal::SIGTERM).context("end glxgears")?;
    }
    let start = Instant::now();
    while process.0.try_wait()?.is_none() {
        ensure!(start.elapsed() < END_LIMIT, "{game} does not end");
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

fn reports_of(game: Game) -> usize {
    if game == Game::Glxgears { GEARS_REPORTS } else { 1 }
}

fn frames_per_second(game: Game, drawn: &[Drawn]) -> f64 {
    let counted = if game == Game::Glxgears { &drawn[1..] } else { drawn };
    let sum = |part: fn(&Drawn) -> f64| counted.iter().map(part).sum::<f64>();
    sum(|drawn| drawn.frames) / sum(|drawn| drawn.seconds)
}

fn parse(game: Game, line: &str) -> Option<Drawn> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |word: &str| word.parse::<f64>().ok();
    match (game, &words[..]) {
        (Game::Glxgears, [frames, "frames", "in", seconds, "seconds", ..]) => {
            Some(Drawn { frames: number(frames)?, seconds: number(seconds)? })
        }
        (Game::Glmark2, [_, _, "FPS:", _, "FrameTime:", ms, "ms"]) => {
            Some(Drawn { frames: 1.0, seconds: number(ms)? / 1e3 })
        }
        (Game::Doom, ["Timed", tics, "gametics", "in", real_tics, "realtics", ..]) => {
            Some(Drawn { frames: number(tics)?, seconds: number(real_tics)? / TICS_PER_S })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_programs_own_line_is_understood() {
        let drawn = |frames, seconds| Some(Drawn { frames, seconds });
        assert_eq!(parse(Game::Glxgears, "35 frames in 5.1 seconds =  6.844 FPS"), drawn(35.0, 5.1));
        assert_eq!(
            parse(Game::Glmark2, "[texture] duration=10: FPS: 40 FrameTime: 25.000 ms").map(|drawn| drawn.seconds),
            Some(0.025)
        );
        let doom = parse(Game::Doom, "Timed 1000 gametics in 420 realtics = 83.3 frames per second");
        assert_eq!(doom, drawn(1000.0, 12.0));
        assert_eq!(parse(Game::Glmark2, "    glmark2 2023.01"), None);
    }

    #[test]
    fn the_start_of_glxgears_is_not_counted() {
        let reports = [(10.0, 5.0), (250.0, 5.0), (255.0, 5.1)].map(|(frames, seconds)| Drawn { frames, seconds });
        assert_eq!(frames_per_second(Game::Glxgears, &reports), 50.0);
    }

    #[test]
    fn a_demo_has_a_header_four_bytes_a_step_and_an_end() {
        let demo = doom_demo(100);
        assert_eq!(demo.len(), 13 + 4 * 100 + 1);
        assert_eq!((demo[0], demo[13], demo[13 + 4 * 70]), (109, 25, 231));
        assert_eq!(demo.last(), Some(&0x80));
    }

    #[test]
    fn only_doom_is_given_a_demo() {
        let has_demo = |game| words_of(game, Path::new("/demo.lmp")).contains(&"/demo.lmp".into());
        assert!(has_demo(Game::Doom) && !has_demo(Game::Glxgears) && !has_demo(Game::Glmark2));
    }
}
