//! Two threads and two pipes: a byte goes there and one comes back.

use std::io::PipeReader;
use std::io::PipeWriter;
use std::io::Read as _;
use std::io::Write as _;
use std::io::pipe;
use std::thread;

use anyhow::Context as _;
use anyhow::Result;

use crate::Rounds;

pub fn run(rounds: Rounds) -> Result<f64> {
    let (from_us, mut to_partner) = pipe().context("open a pipe")?;
    let (mut from_partner, to_us) = pipe().context("open a pipe")?;
    let partner = thread::Builder::new().name("partner".into()).spawn(move || answer(from_us, to_us, rounds))?;
    let ns_per_round = rounds.time(|| {
        to_partner.write_all(b"?").context("ask")?;
        from_partner.read_exact(&mut [0]).context("hear the answer")
    })?;
    partner.join().expect("BUG: the partner panicked")?;
    Ok(ns_per_round)
}

fn answer(mut questions: PipeReader, mut answers: PipeWriter, rounds: Rounds) -> Result<()> {
    for _ in 0..rounds.all() {
        questions.read_exact(&mut [0]).context("hear a question")?;
        answers.write_all(b"!").context("answer")?;
    }
    Ok(())
}
