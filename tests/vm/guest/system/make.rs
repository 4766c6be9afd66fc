//! `make install` and `make uninstall` on a machine that is in use.

use std::path::Path;
use std::path::PathBuf;

use super::Player;
use super::package::ensure_purged;
use super::package::left_behind;
use super::player;
use super::service::Game;
use super::service::SERVICE;
use super::service::SOCKET_UNIT;
use super::service::attaches;
use super::service::leases;
use super::service::service_pid;
use super::service::unit;
use super::service::wrapped;
use crate::support::is_alive;
use crate::support::state;
use crate::support::wait_for_state;
use crate::users::told;

/// Runs `make` of this project for what was built; what it says.
fn make(target: &str) -> String {
    let built = Path::new(env!("CARGO_BIN_EXE_scx_gamer")).parent().expect("a directory").display();
    told(&["make", "--no-print-directory", "-C", env!("CARGO_MANIFEST_DIR"), target, &format!("BUILT={built}")])
}

#[test]
fn installed_by_make_it_serves_players_is_replaced_beside_a_game_and_uninstalled_without_a_trace() {
    ensure_purged();
    let Player { session, .. } = player();
    let said = make("install");
    assert!(said.contains("scx-gamer.socket is enabled and listens at /run/scx-gamer.sock"), "{said}");

    let game = Game::start(session.command(&wrapped("83201")), "83201");
    let held = || (state(), attaches(), service_pid(), leases());
    let before = held();
    make("install");
    assert_eq!(held(), before, "it is installed once more beside a game");
    assert!(is_alive(game.pid));
    game.end();
    wait_for_state("disabled");

    let game = Game::start(session.command(&wrapped("83202")), "83202");
    let said = make("uninstall");
    assert!(said.contains("launch options"), "{said}");
    assert!(is_alive(game.pid), "uninstalled beside a game, which goes on");
    assert_eq!((state().as_str(), service_pid()), ("disabled", None));
    let said = game.end();
    assert!(said.contains("scx_gamer was told to stop; the game goes on"), "{said}");

    assert_eq!(left_behind(), Vec::<PathBuf>::new());
    assert_eq!([SERVICE, SOCKET_UNIT].map(|name| unit(name, "LoadState")), ["not-found", "not-found"]);
    make("uninstall"); // what is not there does no harm
}
