//! Many CPUs: none is left idle while somebody waits, and nobody is forgotten on any of them.
//!
//! These run on eight CPUs whose common clock counts instructions: each of them looks slow, but none ever
//! stops, as it does where a host has fewer CPUs than the guest.

use std::thread::sleep;
use std::time::Duration;

use procfs::CurrentSI as _;

use crate::load::Load;
use crate::load::Waits;
use crate::load::nr_cpus;
use crate::support::Kept;
use crate::support::attach;
use crate::support::cpu_ns;
use crate::support::one_hog;
use crate::support::pin;
use crate::support::wait_until;

/// Time that each CPU has spent in user space, in ticks of 10 ms.
fn user_ticks() -> Vec<u64> {
    procfs::KernelStats::current().expect("read /proc/stat").cpu_time.iter().map(|cpu| cpu.user).collect()
}

#[test]
fn as_many_hogs_as_cpus_keep_every_cpu_busy() {
    let _scheduler = attach();
    let hogs: Vec<Kept> = (0..nr_cpus()).map(|_| one_hog()).collect();
    wait_until("every hog has run", || hogs.iter().all(|hog| cpu_ns(hog.pid()) > 0));
    sleep(Duration::from_millis(200));
    let before = user_ticks();
    sleep(Duration::from_secs(1));
    let used: Vec<u64> = user_ticks().iter().zip(&before).map(|(after, before)| after - before).collect();
    assert_eq!(used.len(), nr_cpus());
    assert!(used.iter().all(|ticks| *ticks >= 80), "of 100 ticks the CPUs were busy for {used:?}");
}

#[test]
fn nobody_waits_half_a_second_beside_a_game_that_wants_every_cpu() {
    let mut scheduler = attach();
    let game = Load::start("hogs");
    let lease = scheduler.begin_lease(game.pid(), 0).expect("begin a lease");
    pin(&mut scheduler, lease, Some(game.pid()));
    let others = Load::start("hogs");
    let mut waits = Waits::of(&others);
    waits.look_for(Duration::from_secs(2));
    let (others, game) = (others.stop(), game.stop());
    assert!(waits.longest() < Duration::from_millis(500), "a task waited for {:?}", waits.longest());
    assert!(game.spin_chunks > 5 * others.spin_chunks, "the game did {game:?}, the others {others:?}");
}
