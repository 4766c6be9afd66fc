use super::*;

use std::os::unix::fs::symlink;

use proptest::prelude::*;
use tempfile::TempDir;

/// A store in a directory of its own, with processes that a test makes up.
struct Scene {
    root: TempDir,
}

impl Scene {
    /// We are process 10, born at 1000.
    fn new() -> Self {
        let scene = Self { root: tempfile::tempdir().expect("temporary directory") };
        scene.boot("first-boot");
        scene.be(10, 1000);
        scene
    }

    fn proc_root(&self) -> PathBuf {
        self.root.path().join("proc")
    }

    fn boot(&self, id: &str) {
        let random = self.proc_root().join("sys/kernel/random");
        fs::create_dir_all(&random).expect("make directories");
        fs::write(random.join("boot_id"), format!("{id}\n")).expect("write");
    }

    fn live(&self, pid: i32, start_ticks: u64) {
        let directory = self.proc_root().join(pid.to_string());
        fs::create_dir_all(&directory).expect("make a directory");
        let zeros = "0 ".repeat(30);
        let stat = format!("{pid} (scx_gamer) S 1 1 1 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 {start_ticks} {zeros}\n");
        fs::write(directory.join("stat"), stat).expect("write");
    }

    fn be(&self, pid: i32, start_ticks: u64) {
        self.live(pid, start_ticks);
        let _ = fs::remove_file(self.proc_root().join("self"));
        symlink(pid.to_string(), self.proc_root().join("self")).expect("link");
    }

    fn die(&self, pid: i32) {
        fs::remove_dir_all(self.proc_root().join(pid.to_string())).expect("remove");
    }

    fn store(&self) -> Store {
        Store::new(&self.root.path().join("state"), &self.proc_root())
    }

    fn file(&self) -> PathBuf {
        self.root.path().join("state").join(FILE)
    }
}

fn bpfland() -> Stopped {
    let args = Some(vec!["-s".to_owned(), "3000".to_owned()]);
    Stopped::Loader { ops: "bpfland_1.1.4".to_owned(), scheduler: "scx_bpfland".to_owned(), mode: 0, args }
}

fn service() -> Stopped {
    Stopped::Service { ops: "lavd".to_owned(), unit: "scx.service".to_owned() }
}

#[test]
fn what_was_noted_is_read_back_until_it_is_removed() {
    let (scene, store) = (Scene::new(), Scene::store);
    assert_eq!(store(&scene).read(), Noted::Nothing);
    for stopped in [bpfland(), service()] {
        store(&scene).write(&stopped).expect("write");
        assert_eq!(store(&scene).read(), Noted::Ours(stopped));
    }
    store(&scene).remove();
    assert_eq!(store(&scene).read(), Noted::Nothing);
}

#[test]
fn nobody_else_may_look_at_it_or_into_its_directory() {
    let scene = Scene::new();
    scene.store().write(&bpfland()).expect("write");
    let mode = |path: &Path| fs::metadata(path).expect("metadata").mode() & 0o777;
    assert_eq!((mode(&scene.file()), mode(&scene.root.path().join("state"))), (0o600, 0o700));
}

#[test]
fn it_belongs_to_its_writer_while_that_lives_and_to_anybody_afterwards() {
    let scene = Scene::new();
    scene.store().write(&bpfland()).expect("write");
    scene.be(11, 2000);
    assert_eq!(scene.store().read(), Noted::Anothers(10));
    assert!(scene.store().write(&service()).is_err());
    scene.die(10);
    assert_eq!(scene.store().read(), Noted::Ours(bpfland()));
    scene.store().write(&service()).expect("write");
    assert_eq!(scene.store().read(), Noted::Ours(service()));
}

#[test]
fn another_process_that_has_got_its_writers_number_is_not_its_writer() {
    let scene = Scene::new();
    scene.store().write(&bpfland()).expect("write");
    scene.live(10, 5000);
    scene.be(11, 2000);
    assert_eq!(scene.store().read(), Noted::Ours(bpfland()));
}

#[test]
fn after_the_next_boot_it_means_nothing() {
    let scene = Scene::new();
    scene.store().write(&bpfland()).expect("write");
    scene.boot("second-boot");
    assert_eq!(scene.store().read(), Noted::Nothing);
    assert!(!scene.file().exists());
}

#[test]
fn one_that_others_may_write_or_that_is_a_link_is_not_believed() {
    let scene = Scene::new();
    scene.store().write(&bpfland()).expect("write");
    fs::set_permissions(scene.file(), Permissions::from_mode(0o620)).expect("set permissions");
    assert_eq!(scene.store().read(), Noted::Nothing);
    scene.store().write(&bpfland()).expect("write");
    let elsewhere = scene.root.path().join("elsewhere");
    fs::rename(scene.file(), &elsewhere).expect("rename");
    symlink(&elsewhere, scene.file()).expect("link");
    assert_eq!(scene.store().read(), Noted::Nothing);
}

fn put(scene: &Scene, content: &[u8]) {
    scene.store().write(&bpfland()).expect("write");
    fs::write(scene.file(), content).expect("overwrite");
}

#[test]
fn an_unreadable_one_is_moved_aside_and_told_once() {
    let scene = Scene::new();
    put(&scene, b"{\"boot_id\":\"first-boot\",\"owner\":{\"pid\":1,\"start_ticks\":1},\"stopped\":{\"by\":\"magic\"}}");
    assert_eq!(scene.store().read(), Noted::Nothing);
    assert!(!scene.file().exists() && scene.file().with_file_name(FILE_UNREADABLE).exists());
}

proptest! {
    #[test]
    fn whatever_the_file_holds_reading_it_ends_well(content in proptest::collection::vec(any::<u8>(), 0..200)) {
        let scene = Scene::new();
        put(&scene, &content);
        prop_assert_eq!(scene.store().read(), Noted::Nothing);
    }
}
